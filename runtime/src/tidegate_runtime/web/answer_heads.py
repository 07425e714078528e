"""The heads of common answers up to their length, kept while they are the same: uvicorn renews the date each second."""

from collections.abc import Callable
from typing import Final

from uvicorn.server import ServerState

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.web.faults import fault_headers
from tidegate_runtime.web.reply import BINARY, JSON, JSON_LENGTH, VARY, Header, reply

MAX_HEADS: Final = 256

_NO_LENGTH: Final = b"0\r\n\r\n"


class AnswerHeads:
    """Of the connections of one server. The length, and the end of the head, come behind."""

    def __init__(self) -> None:
        self._default_headers: list[Header] | None = None
        self._heads: dict[object, bytes] = {}

    def good(self, state: ServerState, json_length: int | None) -> bytes:
        """For an answer whose first `json_length` bytes are JSON; None: all of it."""
        known = self._heads.get(json_length) if state.default_headers is self._default_headers else None
        if known is not None:  # Mostly; it isn't worth a closure.
            return known

        def headers() -> list[Header]:
            kind = [JSON] if json_length is None else [BINARY, (JSON_LENGTH, b"%d" % json_length)]
            return [VARY, *kind]

        return self._kept(state, json_length, 200, headers)

    def bad(self, state: ServerState, fault: RuntimeFault) -> bytes:
        """For a fault."""

        def headers() -> list[Header]:
            return [JSON, *((name.encode(), value.encode()) for name, value in fault_headers(fault).items())]

        status = fault.http_status
        key = (status, fault.retry_after_seconds, fault.refusal, fault.challenge)
        return self._kept(state, key, status, headers)

    def _kept(self, state: ServerState, key: object, status: int, headers: Callable[[], list[Header]]) -> bytes:
        if state.default_headers is not self._default_headers or len(self._heads) >= MAX_HEADS:
            self._default_headers = state.default_headers
            self._heads = {}
        head = self._heads.get(key)
        if head is None:
            whole = b"".join(reply(status, [*state.default_headers, *headers()], [], close=False))
            head = self._heads[key] = whole.removesuffix(_NO_LENGTH)
        return head
