"""Calls over gRPC: each method by its name, with our own messages or with any bytes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from tidegate_conformance.expect import Mismatch, Skip, fail
from tidegate_conformance.rpc.messages import CLASSES, Message, message
from tidegate_conformance.rpc.schema import METHODS, SERVICE

CALL_SECONDS: Final = 15.0
_SHOWN = 700
_UNLIMITED: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(slots=True)
class RpcClient:
    """A server's gRPC side at `address` (host:port)."""

    address: str
    _channel: grpc.Channel = field(init=False, repr=False)
    _last: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._channel = grpc.insecure_channel(self.address, options=_UNLIMITED)

    @property
    def last(self) -> str:
        """The last call and its outcome, bounded, for the report of a failure."""
        return "\n".join(self._last)

    def forget(self) -> None:
        """Forgets the last call."""
        self._last = []

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def call(self, method: str, request: Message | None = None, **options: Any) -> Message:
        """The answer. `method` is one of the inference service's or a whole path; `options` as grpcio's calls take.

        Raises `Mismatch` if the call fails.
        """
        try:
            return self._call(method, request, **options)
        except grpc.RpcError as error:
            raise Mismatch(f"{method} fails with {error.code().name}: {error.details()}") from None

    def offered(self, method: str, request: Message | None = None, **options: Any) -> Message:
        """As `call`, but raises `Skip` where the server hasn't got the method."""
        try:
            return self._call(method, request, **options)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise Skip(f"the server doesn't implement {method}") from None
            raise Mismatch(f"{method} fails with {error.code().name}: {error.details()}") from None

    def refusal(self, method: str, request: Message | bytes, *codes: str, **options: Any) -> str:
        """The details of the failure that must come, with one of `codes` or, without any, with all but UNKNOWN."""
        try:
            answer = self._call(method, request, **options)
        except grpc.RpcError as error:
            code = error.code().name
            wrong = code == "UNKNOWN" if not codes else code not in codes
            if wrong:
                fail("gRPC status", " or ".join(codes) or "one that says what is wrong", f"{code}: {error.details()}")
            return str(error.details() or "")
        return fail("gRPC status", " or ".join(codes) or "a failure", f"OK: {_bounded(answer)}")

    def stream(self, requests: Iterable[Message], method: str = "ModelStreamInfer") -> list[Message]:
        """All answers to all requests on one stream that the client closes. Raises `Skip` and `Mismatch`."""
        path, answer_class = self._path(method)
        self._last = [f"--- sent\n{method} (stream)"]
        call = self._channel.stream_stream(path, _serialized, answer_class.FromString)
        with self._noting():
            try:
                return list(call(iter(requests), timeout=CALL_SECONDS))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    raise Skip(f"the server doesn't implement {method}") from None
                raise Mismatch(f"{method} fails with {error.code().name}: {error.details()}") from None

    def first_of(self, method: str, request: Message) -> Message:
        """The first answer of a method that answers with a stream; the rest is cancelled."""
        path, answer_class = self._path(method)
        call = self._channel.unary_stream(path, _serialized, answer_class.FromString)(request, timeout=CALL_SECONDS)
        try:
            return next(iter(call))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise Skip(f"the server doesn't implement {method}") from None
            raise Mismatch(f"{method} fails with {error.code().name}: {error.details()}") from None
        finally:
            call.cancel()

    def callable(self, method: str) -> Callable[..., Any]:
        """The grpcio callable of a method, for calls that are cancelled, awaited together, or looked into."""
        path, answer_class = self._path(method)
        made: Callable[..., Any] = self._channel.unary_unary(path, _serialized, answer_class.FromString)
        return made

    def _call(self, method: str, request: Message | bytes | None, **options: Any) -> Message:
        path, _ = self._path(method)
        if request is None:
            request = message(METHODS[path][0])
        self._last = [f"--- sent\n{path}\n{_bounded(request)}"]
        with self._noting():
            answer = self.callable(method)(request, **({"timeout": CALL_SECONDS} | options))
        self._last.append(f"--- received\n{_bounded(answer)}")
        return answer

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            self._last.append(f"--- received\n{error.code().name}: {error.details()}")
            raise

    def _path(self, method: str) -> tuple[str, Any]:
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        answer = METHODS[path][1] if path in METHODS else "inference.ServerLiveResponse"
        return path, CLASSES[answer]


def _serialized(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else bytes(request.SerializeToString())


def _bounded(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
