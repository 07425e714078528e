"""What the child is to load, and what it says of it, as JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Datatype, TensorSpec


@dataclass(frozen=True, slots=True)
class LoadTask:
    """The arguments of `load_model`."""

    path: str
    device: str
    threads: int
    max_rows: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What there is to know of a loaded model outside the process that runs it."""

    signature: Signature
    verdict: Verdict


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
        }
    )


def decode_report(content: bytes) -> LoadReport:
    """What `encode_report` was given. Raises it if that was a `StartupFailure`."""
    told = orjson.loads(content)
    if "reason" in told:
        raise StartupFailure(Reason(told["reason"]), told["message"])
    return LoadReport(Signature(_specs(told["inputs"]), _specs(told["outputs"])), Verdict(**told["verdict"]))


def name_of(task: LoadTask) -> str:
    """The model as messages call it."""
    return Path(task.path).name


def _specs(told: list[tuple[str, str, list[int | str]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, Datatype(datatype), tuple(shape)) for name, datatype, shape in told)
