"""The administration port that each of our processes has: probes for the kubelet, metrics for Prometheus."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Check = Callable[[], tuple[bool, str]]
"""Whether all is well, and the words for it."""


def administration(registry: CollectorRegistry, *, ready: Check, healthy: Check = lambda: (True, "ok\n")) -> Starlette:
    """`/healthz` and `/livez` (503 where `healthy` says no: restart me), `/readyz`, and `/metrics` of `registry`."""

    # Coroutines throughout: plain functions would run in threads, beside the loop whose state they tell.
    async def healthz(_: Request) -> Response:
        return _answer(healthy)

    async def readyz(_: Request) -> Response:
        return _answer(ready)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/livez", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def _answer(check: Check) -> Response:
    well, words = check()
    return PlainTextResponse(words, 200 if well else 503)
