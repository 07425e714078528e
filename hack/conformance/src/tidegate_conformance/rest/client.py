"""Requests over REST: well-formed unless a check asks otherwise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.connection import Connection

_SHOWN = 700


def head(method: str, target: str, headers: Mapping[str, str], version: str = "HTTP/1.1") -> bytes:
    """A request's head, exactly as given."""
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def written(
    method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None, connection: Connection
) -> bytes:
    """A well-formed request for this connection; `headers` replace those that it would have."""
    fields = {"Host": connection.host}
    if body is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= headers or {}
    return head(method, connection.prefix + path, fields) + (body or b"")


@dataclass(slots=True)
class Exchange:
    """What the last request and its answer were, bounded, for the report of a failure."""

    sent: bytes = b""
    received: bytes = b""

    def __str__(self) -> str:
        if not self.sent:
            return ""
        return f"--- sent\n{_bounded(self.sent)}\n--- received\n{_bounded(self.received)}"


def _bounded(data: bytes) -> str:
    text = data[:_SHOWN].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    text = "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
    return text if len(data) <= _SHOWN else f"{text}… ({len(data)} bytes)"


@dataclass(slots=True)
class RestClient:
    """A server's REST side at `base`. Each request has a connection of its own unless a check opens one."""

    base: str
    last: Exchange = field(default_factory=Exchange)

    def connect(self, seconds: float = 15.0) -> Connection:
        """A connection; `raw` notes what is sent on it."""
        return Connection(self.base, seconds)

    def raw(self, data: bytes, method: str = "POST", connection: Connection | None = None) -> Answer:
        """The answer to exactly these bytes."""
        if connection is None:
            with self.connect() as own:
                return self.raw(data, method, own)
        connection.send(data)
        try:
            return connection.receive(method)
        finally:
            self.last = Exchange(connection.sent, connection.received)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connection: Connection | None = None,
    ) -> Answer:
        """The answer to a well-formed request; `headers` replace those that it would have."""
        if connection is None:
            with self.connect() as own:
                return self.request(method, path, body, {"Connection": "close"} | dict(headers or {}), own)
        return self.raw(written(method, path, body, headers, connection), method, connection)

    def get(self, path: str) -> Answer:
        """The answer to a GET."""
        return self.request("GET", path)

    def post(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a POST of `document` as JSON, or of bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
        return self.request("POST", path, body, headers)


def model_path(model: str, version: str = "", verb: str = "") -> str:
    """`/v2/models/<model>[/versions/<version>][/<verb>]`."""
    parts = ["/v2/models", quote(model, safe="")]
    parts += ["versions", quote(version, safe="")] if version else []
    return "/".join([*parts, verb] if verb else parts)
