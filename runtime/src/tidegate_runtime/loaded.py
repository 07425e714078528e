"""A model that is loaded and warm, the bounds on what it takes, and the scheduler that runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.dispatcher import Clock, Dispatcher
from tidegate_runtime.batching.engine import Engine
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.requests import Requests
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.graph_policy import NO_GRAPHS, Graphs
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.model.triton_config import ModelConfig


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a request and on a model's queue; the command line's options of the same names."""

    max_batch_size: int
    max_delay_seconds: float
    queue_size: int
    max_body_bytes: int
    timeout_seconds: float
    queue_bytes: int = 512 * 1024 * 1024
    max_element_bytes: int = 1024 * 1024
    """Of an element of BYTES."""
    reject_non_finite: bool = False
    """Whether NaN and infinities are refused, however they come."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is known of a model once it is warm, and the engine that runs it, or what takes its requests `elsewhere`.

    `labels` names the classes of outputs that are scores; `config` is what its config.pbtxt says, None without one.
    """

    signature: Signature
    verdict: Verdict
    engine: Engine | None
    costs: CostTable | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    config: ModelConfig | None = None
    drop: Callable[[], object] | None = None
    """Called once the engine has nothing more to do."""
    engine_ready: Callable[[], bool] = lambda: True
    """Whether the engine can run a batch now."""
    engine_takes: Callable[[], bool] = lambda: True
    """Whether it can take one, if only to refuse it: not while its process is started again."""
    ends_runs: bool = False
    """Whether the engine ends a run that hangs by itself, whatever that takes."""
    elsewhere: Requests | None = None
    """Takes the requests, where `engine` is None."""
    graphs: Graphs = NO_GRAPHS
    device: str = ""
    """Models of one device take turns at it. "" is this process's launch thread, whatever device that uses."""
    retire: Callable[[], object] = lambda: None
    """Called once nothing new is promised to it, while the engine may have its last requests to run."""


def scheduler_of(
    loaded: Loaded,
    limits: Limits,
    metrics: ModelMetrics,
    clock: Clock,
    dispatcher: Dispatcher | None,
    on_stuck: Callable[[], None] | None,
) -> Scheduler:
    """The scheduler of a model that has an engine; the rest is as `ServedModel` says."""
    assert loaded.engine is not None
    assert dispatcher is not None
    policy = BatchPolicy(
        max_rows=limits.max_batch_size if loaded.verdict.batched else 1,
        max_delay_seconds=limits.max_delay_seconds,
        queue_size=limits.queue_size,
        queue_bytes=limits.queue_bytes,
        run_seconds=limits.timeout_seconds,
        preferred=loaded.config.preferred_rows if loaded.config is not None else (),
    )
    return Scheduler(
        loaded.engine,
        policy,
        metrics,
        clock,
        loaded.costs,
        None if loaded.ends_runs else on_stuck,
        dispatcher,
        loaded.engine_takes,
        _padding(loaded),
    )


def _padding(loaded: Loaded) -> Padding | None:
    declared = loaded.config.padding if loaded.config is not None else None
    if declared is None or not loaded.verdict.batched:
        return None
    return replace(declared, names=tuple(spec.name for spec in loaded.signature.outputs))
