"""How long clients may take on grpcio, which tells when a message is whole, but not how much of one has come. Pure."""

from typing import Final

from tidegate_runtime.rpc.http2_patience import IDLE_SECONDS, REQUEST_IDLE_SECONDS

MIN_BYTES_PER_SECOND: Final = 1024 * 1024
"""At which the longest message is in time. At the rate that is counted elsewhere it would have most of a day."""


def message_seconds(max_message_bytes: int) -> float:
    """What a request's one message may take from the call's beginning on."""
    return REQUEST_IDLE_SECONDS + max_message_bytes / MIN_BYTES_PER_SECOND


def idle_seconds(max_message_bytes: int) -> float:
    """How long a connection may be without a call. To grpcio a call is over while its answer is still being read."""
    return max(IDLE_SECONDS, message_seconds(max_message_bytes))
