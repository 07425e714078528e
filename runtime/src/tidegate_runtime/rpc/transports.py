"""Which transport carries gRPC in this process. All methods go by the one that was chosen."""

import logging
import socket
from pathlib import Path
from typing import Protocol

from tidegate_runtime.administration import Administration
from tidegate_runtime.naming import GrpcTransport
from tidegate_runtime.service import Service

logger = logging.getLogger(__name__)


class Server(Protocol):
    """A transport, as the process sees it."""

    async def start(
        self,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None = None,
        inherited: socket.socket | None = None,
    ) -> int:
        """The port that is listened on, over TLS if there are a certificate chain and its key, in PEM.

        `inherited` is what listens already, instead of `host` and `port`. Raises `OSError` if the port can't be had.
        """

    def readiness_changed(self) -> None:
        """Tells those who watch."""

    async def stop(self, grace_seconds: float) -> None:
        """Takes no more calls, and returns once those in progress are answered or the grace is over."""


def make_server(service: Service, administered: Administration | None, wanted: GrpcTransport) -> Server:
    """The wanted transport; grpcio where libnghttp2 isn't there, which log, metric and server metadata tell.

    With what may be `administered`, administrative methods are served, too.

    Each is imported only if it is used, for what it costs in memory and in time at the start.
    """
    service.grpc_transport = wanted
    if wanted is GrpcTransport.NGHTTP2:
        from tidegate_nghttp2 import Unavailable  # noqa: PLC0415
        from tidegate_runtime.rpc.http2_server import Http2Server  # noqa: PLC0415

        try:
            return Http2Server(service, administered)
        except Unavailable as error:
            logger.warning("gRPC falls back to grpcio", extra={"wanted": wanted.value, "reason": str(error)})
            service.grpc_transport, service.grpc_reason = GrpcTransport.GRPCIO, str(error)
    from tidegate_runtime.rpc.grpcio_server import RpcServer  # noqa: PLC0415

    return RpcServer(service, administered)


def check_inheritable(wanted: GrpcTransport) -> None:
    """Raises `OSError` if processes can't carry gRPC on a listener that they share."""
    from tidegate_nghttp2 import Scratch, Unavailable  # noqa: PLC0415

    try:
        if wanted is not GrpcTransport.NGHTTP2:
            raise Unavailable("--grpc-transport nghttp2 was not asked for")
        Scratch()
    except Unavailable as error:
        raise OSError(
            f"several front ends need nghttp2 for gRPC: {error}; give --grpc-port -1, or --workers 1"
        ) from None
