"""What a method is told of its call, and how it fails, whatever carries it."""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_runtime.errors import BodyTooLarge, RuntimeFault
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.naming import REFUSED_HEADER, ROUTE_HEADER, ROUTED_BY_MATCH

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 1024
"""Of a status' message in UTF-8, which takes up to three times as much on the wire: clients take 8 KiB of trailers."""


@dataclass(slots=True)
class Call:
    """`received` is when the request's last byte came, or a stream began, by the service's clock.

    `seconds_left` was left of the client's deadline then; None without one. Metadata keys are in lower case. It isn't
    frozen: one is made for each call, and so costs half.
    """

    received: float
    seconds_left: float | None
    metadata: Mapping[str, str]
    peer: Hashable = None
    """The connection's other end."""
    handed: Handing | None = None
    """By what it was handed over; an answer from here is in another server's stead then."""

    @property
    def chosen(self) -> bool:
        """Whether it came here for what it is, or because another server failed: its time is no evidence then."""
        return self.handed is not None or self.metadata.get(ROUTE_HEADER) == ROUTED_BY_MATCH

    @property
    def limit_seconds(self) -> float:
        """What it has here where that is more than its model gives any; else 0."""
        return 0.0 if self.handed is None else self.handed.timeout_seconds


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended: a gRPC status code's name, a message for the client, trailing metadata."""

    code: str
    message: str
    trailers: tuple[tuple[str, str], ...] = ()


def status_of(error: Exception) -> Status:
    """What the client is told. Of anything but a `RuntimeFault` it gets no detail; the log does."""
    if not isinstance(error, RuntimeFault):
        logger.error("gRPC call failed", exc_info=error)
        return Status("INTERNAL", "internal error; the server's log says more")
    trailers = []
    if error.retry_after_seconds is not None:
        trailers.append(("retry-after", str(error.retry_after_seconds)))
    if error.refusal is not None:
        trailers.append((REFUSED_HEADER.lower(), error.refusal))
    if error.challenge is not None:
        trailers.append(("www-authenticate", error.challenge))
    return Status(error.grpc_status, _cut(str(error)), tuple(trailers))


def _cut(message: str) -> str:
    text = message.encode()
    if len(text) <= MAX_MESSAGE_BYTES:
        return message
    return text[:MAX_MESSAGE_BYTES].decode(errors="ignore") + "…"


def check_answer(size: int, limit: int) -> None:
    """Raises `BodyTooLarge` for an answer of more bytes than a message may have."""
    if size > limit:
        raise BodyTooLarge(f"the answer has {size} bytes; the limit is {limit}")
