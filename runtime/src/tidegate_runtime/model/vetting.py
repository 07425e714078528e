"""A model file tried out in a child process before this one opens it.

A file may crash ONNX Runtime, take all memory or never end; then the child dies of it, and this process says why.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import TOLERANCE, BatchingRules, Probe, Verdict
from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions
from tidegate_runtime.model.ladder import MEASURE_SECONDS
from tidegate_runtime.model.loading import Findings, LoadedModel, load_model
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.model.warmup import Warm
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Datatype

logger = logging.getLogger(__name__)

# -P: the working directory may be the model's, and what lies there must not be imported.
TRIAL: Final = (sys.executable, "-P", "-m", "tidegate_runtime.model.trial")
VETTING_SECONDS: Final = 300.0
"""Opening and warm-up together; each run of the warm-up has a limit of its own, below this."""

OPENING: Final = "opening it"
RUNNING: Final = "running its warm-up"


def _by_name(tolerance: Mapping[Datatype, float]) -> dict[str, float]:
    return {datatype.value: value for datatype, value in tolerance.items()}


@dataclass(frozen=True, slots=True)
class Task:
    """What the child is to do: `load_model`'s arguments, `config` as the text of a config.pbtxt, `options` by name.

    `available_bytes` limits its memory; None: what is free.
    """

    path: str
    device: str
    threads: int
    max_rows: int
    declared: bool | None = None
    tolerance: dict[str, float] = field(default_factory=lambda: _by_name(TOLERANCE))
    config: str | None = None
    seconds: float = VETTING_SECONDS
    run_seconds: float | None = None
    available_bytes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rules(self) -> BatchingRules:
        """The batching rules as `load_model` takes them."""
        return BatchingRules(self.declared, {Datatype(name): value for name, value in self.tolerance.items()})


def load_vetted(  # noqa: PLR0913 -- load_model's keywords
    path: Path,
    device: str,
    threads: int,
    max_rows: int,
    *,
    rules: BatchingRules | None = None,
    config: ModelConfig | None = None,
    measure_seconds: float = MEASURE_SECONDS,
    options: DeviceOptions = AS_IT_COMES,
    run_seconds: float | None = None,
) -> LoadedModel:
    """`load_model` after a child process has done the same and lived. Raises `StartupFailure` as that does.

    The child costs a Python start, 0.4 s of CPU, and the time to open the file once more; its proof isn't repeated.
    """
    rules = rules or BatchingRules()
    text = config.text if config else None
    # Graphs belong to the session that captured them: a trial has no use for any.
    tried = asdict(replace(options, graph_bytes=0 if device == "cuda" else options.graph_bytes))
    tolerance = _by_name(rules.tolerance)
    task = Task(
        str(path), device, threads, max_rows, rules.declared, tolerance, text, run_seconds=run_seconds, options=tried
    )
    load = partial(load_model, path, device, threads, max_rows, found=vet(task), options=options)
    return load(rules=rules, config=config, measure_seconds=measure_seconds, run_seconds=run_seconds)


def vet(task: Task, command: Sequence[str] = TRIAL) -> Findings:
    """What `command`, a child given the task as JSON, found out about the model file.

    Raises `StartupFailure`: the child's own, or one that says how the child came to its end.
    """
    name = Path(task.path).name
    environment = os.environ | {"MALLOC_ARENA_MAX": "2"}  # more would take addresses, of which there is a limit
    arguments = [*command, json.dumps(asdict(task))]
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    try:
        report, _ = child.communicate(timeout=task.seconds)
        code: int | None = child.returncode
    except subprocess.TimeoutExpired:
        child.kill()
        report, _ = child.communicate()
        code = None
    found = outcome(code, report, name, task.seconds)
    logger.info("model vetted", extra={"file": name})
    return found


def outcome(code: int | None, report: bytes, name: str, seconds: float) -> Findings:
    """What the child's exit code (None: it was killed for lateness) and its report, lines of JSON, say of the file.

    Raises `StartupFailure` for everything but a report of success. Pure.
    """
    lines = [json.loads(line) for line in report.splitlines() if line.endswith(b"}")]
    stage = next((line["stage"] for line in reversed(lines) if "stage" in line), OPENING)
    last: dict[str, Any] = lines[-1] if lines else {}
    if "reason" in last:
        raise StartupFailure(Reason(last["reason"]), last["message"])
    if "verdict" in last and code == 0:
        probe = Probe(**last["probe"]) if last["probe"] else None
        return Findings(Warm(Verdict(**last["verdict"]), probe), last["changed"])
    reason = Reason.MODEL_INVALID if stage == OPENING else Reason.WARMUP_FAILED
    if code is None or code == -signal.SIGXCPU:
        raise StartupFailure(reason, f"{name}: ONNX Runtime came to no end within {seconds:.0f} s while {stage}")
    if code == -signal.SIGKILL:
        why = f"its process was killed while {stage}, most likely for want of memory; raise the memory limit"
        raise StartupFailure(Reason.MODEL_TOO_LARGE, f"{name}: {why}")
    if code < 0:
        raise StartupFailure(reason, f"{name}: ONNX Runtime crashed with signal {-code} while {stage}")
    raise StartupFailure(reason, f"{name}: its process ended with code {code} while {stage}; the log may say why")


def reported(found: Findings) -> dict[str, Any]:
    """The line of JSON that `outcome` reads as success."""
    verdict, probe = found.warm.verdict, found.warm.probe
    return {"verdict": asdict(verdict), "probe": asdict(probe) if probe else None, "changed": found.changed}
