"""Options that can't be honoured together, or not on this system. Pure, but for what system it is."""

import sys

from tidegate_runtime.naming import GrpcTransport


def combination_refusal(
    workers: int,
    grpc_port: int,
    grpc_transport: GrpcTransport,
    admin_on_data_port: bool,
    shared_memory_bytes: int,
) -> str | None:
    """Why these can't all be honoured, with the way out; None if they can."""
    linux = sys.platform == "linux"
    if shared_memory_bytes and not linux:
        return "shared memory needs Linux: leave out --shared-memory-bytes"
    if workers == 1:
        return None
    if not linux:
        return "several front ends need Linux: give --workers 1"
    if grpc_port >= 0 and grpc_transport is GrpcTransport.GRPCIO:
        return (
            "grpcio can't share a port between processes: give --grpc-transport nghttp2, --grpc-port -1 or --workers 1"
        )
    if admin_on_data_port:
        return "front ends serve no administration: leave out --admin-on-data-port, or --workers"
    return None
