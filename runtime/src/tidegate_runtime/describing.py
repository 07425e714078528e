"""What is told of models, over HTTP and gRPC alike: metadata, configuration and statistics as JSON objects."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tidegate_runtime.histogram import Histogram
from tidegate_runtime.metrics import Batches, ModelMetrics
from tidegate_runtime.model.graph_policy import Graphs
from tidegate_runtime.model.signature import shown_shape
from tidegate_runtime.model.triton_config import VersionPolicy
from tidegate_runtime.naming import FETCHED_FILE, PLATFORM
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, TensorSpec

BACKEND: Final = "onnxruntime"
TRITON_PLATFORM: Final = "onnxruntime_onnx"

_EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "schedule_policy",
    "statistics",
)
_SHARED_MEMORY: Final = "system_shared_memory"
_TRACE: Final = "trace"
_ADMINISTRATIVE: Final = ("logging", "model_repository", "model_repository(unload_dependents)")
_KIND: Final = {"cpu": "KIND_CPU", "cuda": "KIND_GPU", "tensorrt": "KIND_GPU"}


def extensions(service: Service, *, administrative: bool) -> tuple[str, ...]:
    """The protocol's extensions that are served, as the server's metadata names them; some on some ports alone.

    Shared memory is named wherever requests may use it, though its regions are registered where it is administered.
    """
    shared = (_SHARED_MEMORY,) if service.regions is not None else ()
    trace = (_TRACE,) if administrative and service.tracer is not None else ()
    return (*_EXTENSIONS, *shared, *(_ADMINISTRATIVE if administrative else ()), *trace)


def metadata(model: ServedModel, versions: Iterable[str]) -> dict[str, Any]:
    """A model's metadata; `versions` are all that are served of it."""
    return {
        "name": model.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in model.signature.inputs],
        "outputs": [_tensor(spec) for spec in model.signature.outputs],
    }


def configuration(model: ServedModel) -> dict[str, Any]:
    """The model's configuration in Triton's form: what is in force, whether it was configured, proved or is a default.

    `max_batch_size` is 0 unless requests share batches, so `dims` are whole then.
    """
    batched = model.verdict.batched
    config: dict[str, Any] = {
        "name": model.name,
        "platform": TRITON_PLATFORM,
        "backend": BACKEND,
        "version_policy": _policy(model.config.versions if model.config is not None else VersionPolicy()),
        "max_batch_size": model.limits.max_batch_size if batched else 0,
        "input": [_configured(spec, batched) for spec in model.signature.inputs],
        "output": [_configured(spec, batched) for spec in model.signature.outputs],
        "instance_group": [{"name": model.name, "count": 1, "kind": _KIND[model.metrics.device]}],
        "default_model_filename": FETCHED_FILE,
        "parameters": {"batching": {"string_value": model.verdict.reason}},
    }
    if model.metrics.device != "cpu":
        config["parameters"]["graphs"] = {"string_value": _described(model.graphs)}
    if batched:
        config["dynamic_batching"] = {
            "preferred_batch_size": list(model.config.preferred_rows) if model.config is not None else [],
            "max_queue_delay_microseconds": round(model.limits.max_delay_seconds * 1e6),
        }
    return config


def _described(graphs: Graphs) -> str:
    rows = ", ".join(map(str, graphs.rows))
    found = f"batches of {rows}" if rows else "none"
    return f"{found}: {graphs.reason}" if graphs.reason else found


def statistics(metrics: ModelMetrics, now: float, wall_seconds: float) -> dict[str, Any]:
    """One version's statistics since the process began. `now` is by the service's clock, `wall_seconds` by the world's.

    `compute_input` is what batches took to be put together, `compute_output` what answers took to be written. None is
    cached.
    """
    runs = sum(batches.runs for batches in metrics.batches.values())
    requests = sum(batches.requests for batches in metrics.batches.values())
    failed = sum(count for code, count in metrics.codes.items() if code != 200)
    last = 0 if metrics.last_run is None else round((wall_seconds - (now - metrics.last_run)) * 1000)
    return {
        "name": metrics.model,
        "version": metrics.version,
        "last_inference": last,
        "inference_count": sum(rows * batches.runs for rows, batches in metrics.batches.items()),
        "execution_count": runs,
        "inference_stats": {
            "success": _observed(metrics.request_duration),
            "fail": _duration(failed, metrics.failed_seconds),
            "queue": _observed(metrics.queue_seconds),
            "compute_input": _duration(requests, metrics.request_assemble_seconds),
            "compute_infer": _duration(requests, metrics.request_compute_seconds),
            "compute_output": _duration(requests, metrics.encode_seconds.total),
            "cache_hit": _duration(0),
            "cache_miss": _duration(0),
        },
        "response_stats": {},
        "batch_stats": [_batch(rows, batches) for rows, batches in sorted(metrics.batches.items())],
        "memory_usage": [],
    }


async def statistics_of(
    service: Service,
    name: str,
    version: str | None,
    wall_seconds: float,
    told: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """The statistics of one version, of all of one model, or for a name of "" of all models that are served.

    Only of models that `told` says yes to.
    Raises `NotFound` or `NotReady` where `Service.model` does.
    """
    if name:
        service.model(name, version)
    counted = await service.gather()
    now = service.clock()
    return {
        "model_stats": [
            statistics(metrics, now, wall_seconds)
            for metrics in counted
            if metrics.version in service.versions(metrics.model)
            and name in {"", metrics.model}
            and version in {None, metrics.version}
            and told(metrics.model)
        ]
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": shown_shape(spec)}


def _configured(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    kind = "TYPE_STRING" if spec.datatype is Datatype.BYTES else f"TYPE_{spec.datatype.value}"
    return {"name": spec.name, "data_type": kind, "dims": shown_shape(spec)[1 if batched else 0 :]}


def _policy(policy: VersionPolicy) -> Mapping[str, Any]:
    if policy.specific:
        return {"specific": {"versions": list(policy.specific)}}
    return {"latest": {"num_versions": policy.latest}} if policy.latest else {"all": {}}


def _observed(histogram: Histogram) -> dict[str, int]:
    return _duration(sum(histogram.counts), histogram.total)


def _duration(count: int, seconds: float = 0.0) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _batch(rows: int, batches: Batches) -> dict[str, Any]:
    return {
        "batch_size": rows,
        "compute_input": _duration(batches.runs),
        "compute_infer": _duration(batches.runs, batches.seconds),
        "compute_output": _duration(batches.runs),
    }
