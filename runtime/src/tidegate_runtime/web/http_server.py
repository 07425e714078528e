"""One HTTP port: uvicorn on a socket that is already bound."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from fastapi import FastAPI

from tidegate_runtime.tls import Certificate


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers of its own, from here on."""

    def __init__(
        self,
        app: FastAPI,
        connection: type[asyncio.Protocol],
        listener: socket.socket,
        grace_seconds: float,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=(lambda *_: certificate.server_context()) if certificate else None,
                timeout_graceful_shutdown=round(grace_seconds),
            )
        )
        self._task = asyncio.create_task(self.serve(sockets=[listener]))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves the signals alone."""
        yield

    async def close(self) -> None:
        """Closes the listener and idle connections, and returns once requests in progress are answered."""
        self.should_exit = True
        await self._task
