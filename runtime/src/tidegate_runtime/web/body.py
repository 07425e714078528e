"""A request's body: its declared type and encoding, its bound, and the client that may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from tidegate_runtime.errors import BodyTooLarge, UnsupportedMedia

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before the answer; nobody reads what is sent now."""


def check_media(request: Request) -> None:
    """Raises `UnsupportedMedia` unless the body is declared as plain JSON in UTF-8.

    A missing `Content-Type` is taken as JSON: Triton's HTTP client sends none.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMedia(f"Content-Encoding {encoding[:32]!r} is not served; send the body uncompressed")
    media_type, _, parameters = request.headers.get("content-type", "application/json").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if media_type.strip() != "application/json" or (charset and charset != "charset=utf-8"):
        raise UnsupportedMedia("the body must be JSON in UTF-8: send Content-Type: application/json")
    json_bytes = request.headers.get("inference-header-content-length")
    if json_bytes is not None and json_bytes != request.headers.get("content-length"):
        raise UnsupportedMedia('binary tensor data is not served; send the numbers in "data"')


async def read_body(request: Request, max_bytes: int) -> bytearray:
    """The whole body. Raises `BodyTooLarge` from the declared length or as soon as more came, and `ClientGone`."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    try:
        if int(declared) <= max_bytes:
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    break
            else:
                return body
    except ClientDisconnect:
        raise ClientGone from None
    raise BodyTooLarge(f"the body is over the limit of {max_bytes} bytes; send fewer rows at once")


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
