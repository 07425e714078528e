"""Every failure as the protocol's `{"error": …}`, whichever layer it comes from."""

from collections.abc import Mapping

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.naming import REFUSED_HEADER

CLIENT_GONE = 499
"""Counted for answers that nobody waited for; never sent."""

BUG = "internal error; the server's log says more"
_MEANINGS = {404: "no such path; see /v2", 405: "this method is not allowed here"}


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a failure."""
    body = orjson.dumps({"error": message})
    return Response(body, status, media_type="application/json", headers=dict(headers or {}))


def fault_headers(fault: RuntimeFault) -> dict[str, str]:
    """`Retry-After` where it helps to come back, a reason where load is refused, and what a caller has to show."""
    headers = {} if fault.retry_after_seconds is None else {"retry-after": str(fault.retry_after_seconds)}
    if fault.refusal is not None:
        headers[REFUSED_HEADER.lower()] = fault.refusal
    if fault.challenge is not None:
        headers["www-authenticate"] = fault.challenge
    return headers


def fault_response(fault: RuntimeFault) -> Response:
    """The answer for a fault."""
    return error_response(fault.http_status, str(fault), fault_headers(fault))


def install(app: FastAPI) -> None:
    """Makes `app` answer its own failures, too, in this form: unknown paths, wrong methods, bugs."""
    app.add_exception_handler(RuntimeFault, _on_fault)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_bug)


async def _on_fault(request: Request, error: Exception) -> Response:
    return fault_response(error) if isinstance(error, RuntimeFault) else await _on_bug(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _on_bug(request, error)
    return error_response(error.status_code, _MEANINGS.get(error.status_code, error.detail), error.headers)


async def _on_validation_error(_request: Request, _error: Exception) -> Response:
    return error_response(400, "the request's path or query is not valid")


async def _on_bug(_request: Request, _error: Exception) -> Response:
    return error_response(500, BUG)
