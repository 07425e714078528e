"""The administration port that each of our processes has: probes for the kubelet, metrics for Prometheus.

By aiohttp's server, which kopf has loaded anyway: uvicorn and Starlette would take the controller 6 MiB more.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidegate_operator.process.listening import listening

Check = Callable[[], tuple[bool, str]]
"""Whether all is well, and the words for it."""


@contextlib.asynccontextmanager
async def administration(
    registry: CollectorRegistry,
    host: str,
    port: int,
    *,
    ready: Check,
    healthy: Check = lambda: (True, "ok\n"),
) -> AsyncIterator[socket.socket]:
    """Serve `/healthz` and `/livez` (503 where `healthy` says no: restart me), `/readyz`, and `/metrics` of `registry`.

    The port answers when the block is entered, and is closed after it. Raises OSError where the address can't be bound.
    """
    listener = listening(host, port)
    runner = web.AppRunner(_application(registry, ready, healthy), access_log=None, shutdown_timeout=5)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield listener
    finally:
        await runner.cleanup()
        listener.close()


def _application(registry: CollectorRegistry, ready: Check, healthy: Check) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return _answer(healthy)

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/livez", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    application.on_response_prepare.append(_unnamed)
    return application


async def _unnamed(_: web.Request, response: web.StreamResponse) -> None:
    """Nobody needs to know which server this is, of which release."""
    response.headers.pop("Server", None)


def _answer(check: Check) -> web.Response:
    well, words = check()
    return web.Response(text=words, status=200 if well else 503)
