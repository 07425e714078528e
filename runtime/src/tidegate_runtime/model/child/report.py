"""What the child is to load, and what it says of it, as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import BatchingRules, Verdict
from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions
from tidegate_runtime.model.graph_policy import NO_GRAPHS, Graphs
from tidegate_runtime.model.ladder import MEASURE_SECONDS, Costs
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Datatype, TensorSpec


@dataclass(frozen=True, slots=True)
class LoadTask:
    """The arguments of `load_model`, `config` as the text of a config.pbtxt; with `vetting`, those of `load_vetted`."""

    path: str
    device: str
    threads: int
    max_rows: int
    vetting: bool = True
    rules: BatchingRules = field(default_factory=BatchingRules)
    config: str | None = None
    measure_seconds: float = MEASURE_SECONDS
    options: DeviceOptions = AS_IT_COMES
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What there is to know of a loaded model outside the process that runs it."""

    signature: Signature
    verdict: Verdict
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    graphs: Graphs = NO_GRAPHS


def encode_task(task: LoadTask) -> str:
    """The task as the child's argument."""
    return orjson.dumps(asdict(task), option=orjson.OPT_NON_STR_KEYS).decode()


def decode_task(argument: str) -> LoadTask:
    """What `encode_task` was given."""
    told = orjson.loads(argument)
    rules = told["rules"]
    tolerance = {Datatype(name): value for name, value in rules["tolerance"].items()}
    options = DeviceOptions(**told["options"])
    return LoadTask(**told | {"rules": BatchingRules(rules["declared"], tolerance), "options": options})


def encode_report(report: LoadReport | StartupFailure) -> bytes:
    """The report, or why there is none."""
    if isinstance(report, StartupFailure):
        return orjson.dumps({"reason": report.reason, "message": report.message})
    signature = report.signature
    return orjson.dumps(
        {
            "inputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in signature.inputs],
            "outputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in signature.outputs],
            "verdict": asdict(report.verdict),
            "labels": report.labels,
            "costs": {"shapes": report.costs.shapes, "seconds": list(report.costs.seconds.items())},
            "graphs": asdict(report.graphs),
        }
    )


def decode_report(content: bytes) -> LoadReport:
    """What `encode_report` was given. Raises it if that was a `StartupFailure`."""
    told = orjson.loads(content)
    if "reason" in told:
        raise StartupFailure(Reason(told["reason"]), told["message"])
    return LoadReport(
        Signature(_specs(told["inputs"]), _specs(told["outputs"])),
        Verdict(**told["verdict"]),
        {name: tuple(classes) for name, classes in told["labels"].items()},
        Costs(
            {name: tuple(shape) for name, shape in told["costs"]["shapes"].items()},
            {rows: tuple(seconds) for rows, seconds in told["costs"]["seconds"]},
        ),
        Graphs(tuple(told["graphs"]["rows"]), told["graphs"]["reason"]),
    )


def name_of(task: LoadTask) -> str:
    """The model as messages call it."""
    return Path(task.path).name


def _specs(told: list[tuple[str, str, list[int | str]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, Datatype(datatype), tuple(shape)) for name, datatype, shape in told)
