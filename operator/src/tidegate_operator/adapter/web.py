"""`custom.metrics.k8s.io` over HTTP; paths and parameters as in k8s.io/metrics, pkg/client/custom_metrics."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate_operator.adapter import documents
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.frontproxy import FrontProxy
from tidegate_operator.adapter.label_selectors import InvalidSelector, Selector, parse
from tidegate_operator.adapter.names import METRICS_GROUP, METRICS_VERSIONS, POD_METRICS, SERVICE_METRICS
from tidegate_operator.adapter.query import ALL, Value, pod_values, service_values
from tidegate_operator.adapter.scraper import Clock
from tidegate_operator.process.serving import CLIENT_NAME

_GROUP = f"/apis/{METRICS_GROUP}"
_METRIC = f"{_GROUP}/{{version}}/namespaces/{{namespace}}/{{resource}}/{{name}}/{{metric}}"


class OnlyFrontProxy:
    """Passes on requests of the API server's front proxy, and answers all others 401 or 403."""

    def __init__(self, application: ASGIApp, proxy: Callable[[], FrontProxy]) -> None:
        self._application = application
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = scope.get("state", {}).get(CLIENT_NAME)
        handle: ASGIApp = self._application
        if name is None:
            handle = _status(401, "a client certificate of the API server's front proxy is needed")
        elif not self._proxy().admits(name):
            handle = _status(403, f"client certificate {name!r} is not among requestheader-allowed-names")
        await handle(scope, receive, send)


def metrics_api(fleet: Fleet, clock: Clock) -> FastAPI:
    """The metrics API over what `fleet` knows."""
    app = FastAPI(openapi_url=None)
    app.add_exception_handler(HTTPException, _failure)

    for path, document in {
        "/apis": documents.group_list(),
        _GROUP: documents.group(),
        "/openapi/v2": documents.openapi_v2(),
        "/openapi/v3": documents.openapi_v3(),
    }.items():
        app.add_api_route(path, _constant(document))

    @app.get(f"{_GROUP}/{{version}}")
    async def resources(version: str) -> JSONResponse:
        _check_version(version)
        return JSONResponse(documents.resource_list(version))

    @app.get(_METRIC)
    async def metric(request: Request, version: str, namespace: str, resource: str, name: str, metric: str) -> Response:
        _check_version(version)
        now = clock()
        selector = _selector(request, "labelSelector")
        metric_selector = _selector(request, "metricLabelSelector")
        values: Sequence[Value]
        match resource:
            case "pods" if metric in POD_METRICS:
                values = pod_values(fleet, namespace, name, metric, selector, now)
            case documents.SERVICES if metric in SERVICE_METRICS:
                values = service_values(fleet, namespace, name, selector, metric_selector, now)
            case _:
                raise HTTPException(404, f"metric {metric} of {resource} is not served: see {_GROUP}/{version}")
        if not values and name != ALL:
            raise HTTPException(404, _no_value(namespace, resource, name, metric))
        return JSONResponse(documents.metric_values(version, metric, metric_selector, values, now))

    @app.get("/healthz")
    @app.get("/livez")
    @app.get("/readyz")
    async def alive() -> Response:
        return PlainTextResponse("ok")

    return app


def _constant(document: dict[str, Any]) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return JSONResponse(document)

    return answer


def _selector(request: Request, parameter: str) -> Selector:
    try:
        return parse(request.query_params.get(parameter, ""))
    except InvalidSelector as error:
        raise HTTPException(400, f"{parameter}: {error}") from error


def _check_version(version: str) -> None:
    if version not in METRICS_VERSIONS:
        raise HTTPException(404, f"{METRICS_GROUP}/{version} is not served: use {' or '.join(METRICS_VERSIONS)}")


def _no_value(namespace: str, resource: str, name: str, metric: str) -> str:
    return (
        f"no value of {metric} for {resource} {namespace}/{name}: it doesn't exist, or none of its pods that the"
        " selector matches has answered on port 8082 lately"
    )


async def _failure(request: Request, error: Any) -> Response:
    return _status(error.status_code, str(error.detail))


def _status(code: int, message: str) -> JSONResponse:
    return JSONResponse(documents.failure(code, message), status_code=code)
