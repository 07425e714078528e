"""The options of `serve` once they are read and checked; docs/api.md says what each means."""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

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
    shared_memory_bytes: int = 0
    """The most that registered regions of shared memory may have together; 0: shared memory is not served."""
    workers: int = 1
    """Processes that read requests; with more than one the models are in another one."""
    warmup_seconds: float | None = None
    """What a run of a model's warm-up may take; None: what is usual."""
    share_url: str = ""
    """Where to ask what share of requests is copied to a canary; "": none is."""
    tenants_file: Path | None = None
    """Who may ask for what, and how often; None: anybody for anything."""


def encode_settings(settings: ServeSettings) -> str:
    """The settings as an argument of another process."""
    return orjson.dumps(asdict(settings), default=str).decode()


def decode_settings(argument: str) -> ServeSettings:
    """What `encode_settings` was given."""
    told = orjson.loads(argument)
    tls, tenants_file = told["tls"], told["tenants_file"]
    return ServeSettings(
        **told
        | {
            "path": Path(told["path"]),
            "limits": Limits(**told["limits"]),
            "options": DeviceOptions(**told["options"]),
            "grpc_transport": GrpcTransport(told["grpc_transport"]),
            "tenants_file": Path(tenants_file) if tenants_file else None,
            "tls": (Path(tls[0]), Path(tls[1])) if tls else None,
        }
    )
