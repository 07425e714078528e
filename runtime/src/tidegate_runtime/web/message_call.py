"""Messages over HTTP that the connection answers itself: the common form of what `web.connect` serves."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from uvicorn.server import ServerState

from tidegate_runtime.errors import Malformed
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.handed_call import MEDIA_TYPE, PATH
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.rpc.submission import Withdraw
from tidegate_runtime.service import Service
from tidegate_runtime.web.connect import refusal, seconds_of
from tidegate_runtime.web.head import has_plain_body
from tidegate_runtime.web.hot_answer import Connection, NoEvent
from tidegate_runtime.web.reply import Header, reply
from tidegate_runtime.web.turn import JOINED_BYTES

MESSAGE_PATH: Final = PATH.encode()

_PROTO: Final = (b"content-type", MEDIA_TYPE.encode())


class Messages:
    """What takes messages, whichever model they are for: to a connection it is like a model."""

    def __init__(self, service: Service) -> None:
        self.servicer = Servicer(service)
        self.max_body_bytes = service.limits.max_body_bytes

    def hold(self) -> None:
        """A message is promised to some model; which one isn't known."""

    def release(self) -> None:
        """It was submitted, or won't be."""


class MessageHead(NamedTuple):
    """What the head of a message says, but for its length."""

    url: bytes
    model: Messages
    keep_alive: bool
    metadata: Mapping[str, str]
    seconds: float | None
    """What its client gives it."""


def message_head(given: Sequence[Header], messages: Messages, *, keep_alive: bool) -> MessageHead | None:
    """What the head of an HTTP/1.1 POST says if it is of the common form: a message of known length, as it is."""
    headers = dict(given)
    if headers.get(b"content-type") != _PROTO[1] or not has_plain_body(headers, given, messages.max_body_bytes):
        return None
    metadata = {name.decode("latin-1"): value.decode("latin-1") for name, value in given}
    try:
        seconds = seconds_of(metadata)
    except Malformed:
        return None
    return MessageHead(MESSAGE_PATH, messages, keep_alive, metadata, seconds)


class MessageCall:
    """A connection's message, one at a time; to uvicorn it looks like the cycle of a request."""

    __slots__ = (
        "_connection",
        "_withdraw",
        "body",
        "clock",
        "disconnected",
        "head",
        "keep_alive",
        "response_complete",
        "server_state",
        "transport",
    )

    takes = MessageHead
    response_started = False
    message_event = NoEvent()

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self.transport: asyncio.Transport = connection.transport
        self.server_state: ServerState = connection.server_state
        self.clock = clock
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.head: MessageHead
        self.body: bytes | bytearray = b""
        self._withdraw: Withdraw | None = None
        self._connection = connection

    def begin(self, head: MessageHead) -> None:
        """A message with this head is what the call is about from here on; its body follows."""
        self.response_complete = False
        self.keep_alive = head.keep_alive
        self.head = head
        self.body = b""
        self._withdraw = None

    def arrive(self) -> None:
        """Has the message, which is whole, answered."""
        head = self.head
        call = Call(self.clock(), head.seconds, head.metadata, self._connection.client)
        try:
            withdraw = head.model.servicer.submit_infer(bytes(self.body), call, self._deliver)
        except Exception as error:
            self._deliver(error)
            return
        if not self.response_complete:
            self._withdraw = withdraw

    def lost(self, *, reading: bool) -> None:
        """The client left."""
        if not self.response_complete:
            self.response_complete = True
            if self._withdraw is not None:
                self._withdraw()

    def _deliver(self, outcome: bytes | Exception) -> None:
        if self.response_complete:
            return
        if isinstance(outcome, bytes):
            status, headers, body = 200, [_PROTO], outcome
        else:
            told = refusal(outcome)
            status, body = told.status, told.body
            headers = [(name.encode(), value.encode()) for name, value in told.headers.items()]
        pieces = reply(status, [*self.server_state.default_headers, *headers], [body], close=not self.keep_alive)
        if len(body) <= JOINED_BYTES:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)
        self.response_complete = True
        # A connection may be idle for long: it doesn't hold a message of megabytes meanwhile.
        self.body, self._withdraw = b"", None
        if not self.keep_alive:
            self.transport.close()
        self._connection.on_response_complete()
