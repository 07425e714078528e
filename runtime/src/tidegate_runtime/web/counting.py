"""Inference over HTTP, counted: whatever comes of a request is one answer of its model."""

from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.naming import ROUTE_HEADER, ROUTED_BY_MATCH
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import InferResponse
from tidegate_runtime.tracing.request import current
from tidegate_runtime.web.body import ClientGone
from tidegate_runtime.web.faults import CLIENT_GONE, fault_response
from tidegate_runtime.web.handed_request import ended_elsewhere, handed_by
from tidegate_runtime.web.tracing import begin


async def counted(
    service: Service, request: Request, name: str, version: str | None, work: Awaitable[Response]
) -> Response:
    """What `work` answers, its faults as answers too; counted if this server has a model called `name`."""
    status, response = 500, Response()
    begun = service.clock()
    metrics = service.counts(name, version)
    trace = begin(service, request, name)
    current.set(trace)
    try:
        response = await work
        status = response.status_code
    except RuntimeFault as fault:
        response, status = fault_response(fault), fault.http_status
    except ClientGone:
        response, status = Response(), CLIENT_GONE
    finally:
        handing = handed_by(request)
        if metrics is not None and not ended_elsewhere(request, response):
            metrics.answered(status, 0.0 if status == 200 else service.clock() - begun)
            if handing is not None:
                handing.figures.fell_back(status)
        if trace is not None:
            trace.end(name, version or (metrics.version if metrics is not None else ""), status)
    return response


def note_served(
    service: Service, request: Request, model: ServedModel, answer: InferResponse, times: tuple[float, float, float]
) -> None:
    """Notes the stages of a request that is answered 200, in the metrics and, if it is recorded, in its trace.

    `times` are when it was received, parsed and delivered.
    """
    received, parsed, delivered = times
    written = service.clock()
    chosen = request.headers.get(ROUTE_HEADER) == ROUTED_BY_MATCH or handed_by(request) is not None
    model.metrics.served(received, parsed, delivered, written, leads=answer.leads and not chosen)
    trace = current.get()
    if trace is not None:
        trace.served(received, parsed, delivered, written)
