"""Bodies over HTTP: a request's declared type and encoding, its bound, the client that may leave; an answer's form."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tidegate_runtime.errors import Malformed, UnsupportedMedia
from tidegate_runtime.protocol.compression import (
    MIN_BYTES,
    Encoding,
    accepted_encoding,
    compress,
    content_encoding,
    too_large,
)
from tidegate_runtime.protocol.v2_request import parse_header_length
from tidegate_runtime.protocol.v2_response import Encoded
from tidegate_runtime.web.unpacking import unpacked

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"

OFF_LOOP_BYTES: Final = 64 * 1024
"""Answers from this size on are compressed in a thread: 1 to 3 ms that other connections would wait."""

MAX_OBJECT_BYTES: Final = 64 * 1024
"""Bodies that ask for something to be administered are small."""

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before the answer; nobody reads what is sent now."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a request's head says of its body: how it is packed, and how much of it is JSON (None: all of it)."""

    encoding: Encoding | None = None
    json_length: int | None = None


def media_of(headers: Headers) -> Media:
    """Raises `UnsupportedMedia` unless the body is declared as JSON in UTF-8 or as JSON with binary tensors.

    `Malformed` if how much of it is JSON is said twice. Where that isn't said all of it is, whatever its type: Triton's
    asyncio client sends JSON as `application/octet-stream`.

    A missing `Content-Type` is taken as JSON: Triton's HTTP client sends none.
    """
    encoding = content_encoding(headers.get("content-encoding"))
    lengths = headers.getlist(JSON_LENGTH_HEADER)
    if len(lengths) > 1:
        raise Malformed(f"{JSON_LENGTH_HEADER} is given {len(lengths)} times; send it once")
    length = lengths[0] if lengths else None
    media_type, _, parameters = headers.get("content-type", JSON).lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if media_type.strip() not in (JSON, BINARY) or (charset and charset != "charset=utf-8"):
        raise UnsupportedMedia("the body must be JSON in UTF-8: send Content-Type: application/json")
    return Media(encoding, None if length is None else parse_header_length(length))


async def read_body(request: Request, max_bytes: int, encoding: Encoding | None = None) -> bytearray:
    """The whole body, unpacked. Raises `BodyTooLarge` from the declared length or as soon as more came, packed or not.

    Raises `ClientGone`, and `Malformed` if the body is not of its `encoding`. What is packed stays so until its last
    byte: who sends slowly holds no more than what was sent.
    """
    declared = request.headers.get("content-length", "0")
    if int(declared) > max_bytes:
        raise too_large(max_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > max_bytes:
                raise too_large(max_bytes)
            body += chunk
    except ClientDisconnect:
        raise ClientGone from None
    return body if encoding is None else await unpacked(body, encoding, max_bytes, request.client)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that a small body is; an empty one for no body. Raises `Malformed` and as `read_body`."""
    body = await read_body(request, MAX_OBJECT_BYTES)
    try:
        content = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        raise Malformed("the body is not JSON") from None
    if not isinstance(content, dict):
        raise Malformed("the body must be a JSON object, or empty")
    return content


async def response_of(encoded: Encoded, accept_encoding: str | None) -> Response:
    """The answer over HTTP, packed if the client accepts that and it is long enough to gain by it."""
    headers = {"vary": "Accept-Encoding"}
    if encoded.json_length is not None:
        headers[JSON_LENGTH_HEADER] = str(encoded.json_length)
    parts: Sequence[bytes | memoryview] = encoded.parts
    encoding = accepted_encoding(accept_encoding) if encoded.size >= MIN_BYTES else None
    if encoding is not None:
        headers["content-encoding"] = encoding.value
        off_loop = encoded.size >= OFF_LOOP_BYTES
        parts = await asyncio.to_thread(compress, parts, encoding) if off_loop else compress(parts, encoding)
    body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
    return Response(body, media_type=JSON if encoded.json_length is None else BINARY, headers=headers)


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. If the client closes its connection first, `work` is cancelled and `ClientGone` raised."""
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_client_gone(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
