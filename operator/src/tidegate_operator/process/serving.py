"""HTTP servers that live inside a process's event loop and leave signals to it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidegate_operator.process.listening import listening

CLIENT_NAME = "client_name"
"""Where a request's state holds the common name of its verified client certificate."""


class _CertificateProtocol(HttpToolsProtocol):
    """Tells the application whom a connection's client certificate names; uvicorn itself doesn't pass it on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CLIENT_NAME: common_name(transport.get_extra_info("peercert"))}


def common_name(certificate: dict[str, Any] | None) -> str | None:
    """The subject's common name, of a certificate as the ssl module describes it."""
    for relative_name in (certificate or {}).get("subject", ()):
        for attribute, value in relative_name:
            if attribute == "commonName":
                return str(value)
    return None


@contextlib.asynccontextmanager
async def serving(
    application: Any, host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[socket.socket]:
    """Serve an ASGI application; the port answers when the block is entered, and is closed after it.

    Requests in progress at its end have five seconds. Raises OSError where the address can't be bound.
    """
    listener = listening(host, port)
    config = uvicorn.Config(
        application,
        http=_CertificateProtocol if tls else "httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not serve(): it takes over the process's signals.
    await server.startup(sockets=[listener])
    running = asyncio.create_task(server.main_loop(), name=f"server on port {listener.getsockname()[1]}")
    try:
        yield listener
    finally:
        server.should_exit = True
        await running
        await server.shutdown(sockets=[listener])
