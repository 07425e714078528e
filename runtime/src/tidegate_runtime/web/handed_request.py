"""A request above ASGI that is another server's to answer: sent on once it is read, answered here where that fails."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.naming import HOP_HEADER, ROUTE_HEADER
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.web.body import unless_client_leaves
from tidegate_runtime.web.onward import back, onward, reader

_HANDED: Final = "tidegate.handed"
"""In a request's scope: by what it was handed over."""
_ELSEWHERE: Final = "tidegate.elsewhere"
"""Whether the server that it was handed over to has it now."""


class _FromElsewhere(Response):
    """An answer that is counted where it was given."""


async def handed_over(
    request: Request, model: ServedModel, body: bytearray, own_seconds: Callable[[], float | None] = lambda: None
) -> Response | None:
    """The answer that another server gave; None: the request is to be answered here.

    `own_seconds` is what it gives itself; it is asked for only if that matters.
    What another server has sent on, or a router has chosen a revision for, is answered where it arrives, and so is what
    names a version. Raises `ClientGone`.
    """
    handing = model.handing
    decided = HOP_HEADER in request.headers or ROUTE_HEADER in request.headers
    if handing is None or decided or request.path_params.get("version") is not None:
        return None
    headers = request.scope["headers"]
    reason = handing.reason(reader(headers))
    if reason is None:
        return None
    given = handing.given(model.limits.timeout_seconds, own_seconds())
    if given is None:
        return None
    request.scope[_HANDED] = handing
    request.scope[_ELSEWHERE] = True
    # Headers alone aren't enough to know the path by: a part of it may be quoted.
    path: bytes = request.scope["raw_path"]
    asking = handing.ask(reason, path, onward(headers), body, given.seconds, hurried=given.hurried)
    answer = await unless_client_leaves(request, asking)
    request.scope[_ELSEWHERE] = False
    if answer is None:
        return None
    response = _FromElsewhere(answer.body, answer.status)
    response.raw_headers.extend(back(answer.headers, handing.figures.canary))
    return response


def handed_by(request: Request) -> Handing | None:
    """By what the request was handed over; an answer from here is in another server's stead then."""
    handing: Handing | None = request.scope.get(_HANDED)
    return handing


def limit_of(request: Request) -> float:
    """What the request has here, in seconds, where that is more than its model gives any; else 0."""
    handing = handed_by(request)
    return 0.0 if handing is None else handing.timeout_seconds


def ended_elsewhere(request: Request, response: Response) -> bool:
    """Whether the answer is another server's, or the client left while that had the request: it is counted there."""
    return isinstance(response, _FromElsewhere) or bool(request.scope.get(_ELSEWHERE))
