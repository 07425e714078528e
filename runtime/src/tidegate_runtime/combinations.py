"""Options that can't be honoured together, or not on this system. Pure, but for what system it is."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from tidegate_runtime.naming import Device, GrpcTransport


def combination_refusal(
    workers: int,
    grpc_port: int,
    grpc_transport: GrpcTransport,
    shared_memory_bytes: int,
    tenants_file: Path | None = None,
) -> str | None:
    """Why these can't all be honoured, with the way out; None if they can."""
    linux = sys.platform == "linux"
    if shared_memory_bytes and not linux:
        return "shared memory needs Linux: leave out --shared-memory-bytes"
    if shared_memory_bytes and tenants_file is not None:
        return "regions of shared memory are any tenant's: leave out --shared-memory-bytes, or --tenants-file"
    if workers == 1:
        return None
    if not linux:
        return "several front ends need Linux: give --workers 1"
    if grpc_port >= 0 and grpc_transport is GrpcTransport.GRPCIO:
        return (
            "grpcio can't share a port between processes: give --grpc-transport nghttp2, --grpc-port -1 or --workers 1"
        )
    return None


def isolation_refusal(device: Device, isolate: bool | None) -> str | None:
    """Why the model can't have, or can't do without, a process of its own; None if all is well. A GPU's always has."""
    if device is not Device.CPU and isolate is False:
        return (
            f"--no-isolate can't be honoured with --device {device.value}: after a fault of the GPU only the end of "
            "the process that uses it helps; leave it out"
        )
    if (device is not Device.CPU or isolate) and sys.platform != "linux":
        return "a process of its own for the model needs Linux: give --no-isolate"
    return None


def share_refusal(share_url: str, workers: int, *, tls: bool) -> str | None:
    """Why the share can't be asked for there, or not with these, with the way out; None if it can, or isn't."""
    if not share_url:
        return None
    if not _plain_http(share_url):
        return "--share-url must be a URL like http://tidegate-xds.tidegate-system:18000/v1/share/ml/churn-6f3c9d1a"
    if workers > 1:
        return "front ends neither hand requests over nor copy them: leave out --share-url, or --workers"
    if tls:
        return "a canary is asked over plain HTTP: leave out --share-url, or --tls-certificate and --tls-key"
    return None


def _plain_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return plain and url.isascii() and url.isprintable() and " " not in url and parts.username is None
