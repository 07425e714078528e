"""ModelInfer as a message over HTTP/1.1: the unary form of the Connect protocol, by which servers hand messages over.

https://connectrpc.com/docs/protocol has it; errors are as it says. Of other methods there is gRPC.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson
from fastapi import APIRouter, Request, Response

from tidegate_runtime.errors import Malformed, RuntimeFault, UnsupportedMedia
from tidegate_runtime.protocol.compression import content_encoding
from tidegate_runtime.rpc.call import Call, status_of
from tidegate_runtime.rpc.handed_call import MEDIA_TYPE, PATH, TIMEOUT_HEADER
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.service import Service
from tidegate_runtime.web.access import permit
from tidegate_runtime.web.body import ClientGone, read_body, unless_client_leaves

_HTTP_STATUS: Final = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""By code, as the protocol has it; all others are 500."""


def connect_routes(service: Service) -> APIRouter:
    """The route of the one method."""
    router = APIRouter()
    servicer = Servicer(service)

    @router.post(PATH)
    async def infer(request: Request) -> Response:
        try:
            permit(service.guard, request)
            message = await _message(service, request)
            headers = dict(request.headers)
            call = Call(service.clock(), seconds_of(headers), headers, request.client)
            answer = await unless_client_leaves(request, _answer(servicer, message, call))
        except ClientGone:
            return Response()
        except Exception as error:
            told = refusal(error)
            return Response(told.body, told.status, headers=dict(told.headers))
        return Response(answer, media_type=MEDIA_TYPE)

    return router


class Refusal(NamedTuple):
    """An error, in the protocol's form."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def refusal(error: Exception) -> Refusal:
    """What a client is told of an error."""
    status = status_of(error)
    # What HTTP knows more exactly than the protocol's codes: a body that is too large is no load.
    known = error.http_status if isinstance(error, RuntimeFault) and error.http_status in (413, 415) else None
    code = status.code.lower().replace("cancelled", "canceled")
    body = orjson.dumps({"code": code, "message": status.message})
    headers = {"content-type": "application/json", **dict(status.trailers)}
    return Refusal(known or _HTTP_STATUS.get(status.code, 500), headers, body)


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """What the client gives its message; None if it doesn't say. Raises `Malformed`."""
    text = headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Malformed(f"{TIMEOUT_HEADER} must be milliseconds, of at most 10 digits")
    return int(text) / 1000


async def _message(service: Service, request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise UnsupportedMedia(f"the body must be a message: send Content-Type: {MEDIA_TYPE}")
    encoding = content_encoding(request.headers.get("content-encoding"))
    return bytes(await read_body(request, service.limits.max_body_bytes, encoding))


async def _answer(servicer: Servicer, message: bytes, call: Call) -> bytes:
    """Raises any `RuntimeFault`."""
    outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def deliver(told: bytes | Exception) -> None:
        if outcome.done():
            return  # Its client has left in this very turn.
        if isinstance(told, bytes):
            outcome.set_result(told)
        else:
            outcome.set_exception(told)

    withdraw = servicer.submit_infer(message, call, deliver)
    try:
        return await outcome
    except asyncio.CancelledError:
        withdraw()
        raise
