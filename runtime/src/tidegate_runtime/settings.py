"""The options of `serve` once they are read and checked; docs/api.md says what each means."""

from dataclasses import dataclass
from pathlib import Path

from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions
from tidegate_runtime.naming import GrpcTransport
from tidegate_runtime.served_model import Limits


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where the model is, where it is served, and on what.

    `threads` = 0: the CPUs that may be used. `grpc_port` = -1: no gRPC.
    """

    path: Path
    name: str
    model_version: str
    host: str
    port: int
    grpc_port: int
    admin_port: int
    device: str
    threads: int
    drain_seconds: float
    vetting: bool
    admin_on_data_port: bool
    limits: Limits
    isolate: bool = False
    """Whether the model runs in a process of its own."""
    options: DeviceOptions = AS_IT_COMES
    grpc_transport: GrpcTransport = GrpcTransport.NGHTTP2
    tls: tuple[Path, Path] | None = None
    """Certificate chain and key of the data port, in PEM; None: plain HTTP."""
    triton_metrics: bool = False
    trace_endpoint: str = ""
    """Where spans are sent, by OTLP over HTTP; "": requests are not recorded."""
    trace_ratio: float = 1.0
