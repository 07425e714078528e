"""Inference over HTTP, counted: whatever comes of a request is one answer of its model."""

from collections.abc import Awaitable

from starlette.responses import Response

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.service import Service
from tidegate_runtime.web.body import ClientGone
from tidegate_runtime.web.faults import CLIENT_GONE, fault_response


async def counted(service: Service, name: str, version: str | None, work: Awaitable[Response]) -> Response:
    """What `work` answers, its faults as answers too; counted if this server has a model called `name`."""
    status = 500
    begun = service.clock()
    metrics = service.counts(name, version)
    try:
        response = await work
        status = response.status_code
    except RuntimeFault as fault:
        response, status = fault_response(fault), fault.http_status
    except ClientGone:
        response, status = Response(), CLIENT_GONE
    finally:
        if metrics is not None:
            metrics.answered(status, 0.0 if status == 200 else service.clock() - begun)
    return response
