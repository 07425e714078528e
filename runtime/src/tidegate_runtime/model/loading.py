"""From a path to a model that may serve: load once, prove batchability, warm up. Blocks; runs on the launch thread."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import BatchingRules, Verdict, judge_graph
from tidegate_runtime.model.device import AS_IT_COMES, DeviceOptions
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.model.files import find_model, not_onnx, refuse_other_formats
from tidegate_runtime.model.graph_policy import NO_GRAPHS, Graphs
from tidegate_runtime.model.graph_warmup import raise_ladder
from tidegate_runtime.model.ladder import MEASURE_SECONDS, Costs
from tidegate_runtime.model.padding import check_padding
from tidegate_runtime.model.session import OnnxSession
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.model.triton_config import ModelConfig, agreed
from tidegate_runtime.model.warmup import Doubt, Warm, measured, pad, repeat, warm_up
from tidegate_runtime.naming import Reason

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

RUN_LIMIT_SECONDS: Final = 60.0
"""Each run of the warm-up: twice what a request may take by default. Some endless loops show in no other way."""

LOOP_LIMIT_SECONDS: Final = 8.0
"""The first run of a model with a loop that may be such a one, so that with all around it is told within ten."""

Labels = Mapping[str, tuple[str, ...]]
"""Output name → the names of its classes, for outputs that are scores by class."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A session that has run, what it takes and gives, and whether its requests may share a batch.

    `costs` is what runs took, for the scheduler's table; `graphs`, which batches are run as CUDA graphs.
    """

    session: OnnxSession
    signature: Signature
    verdict: Verdict
    labels: Labels
    costs: Costs
    graphs: Graphs = NO_GRAPHS


@dataclass(frozen=True, slots=True)
class Findings:
    """What opening and running a file has shown, so that another process needn't find it out again.

    `changed` says that ONNX Runtime can't be given the file as it is.
    """

    warm: Warm
    changed: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has not run. `changed` as in `Findings`; `padding` is what its configuration declares."""

    session: OnnxSession
    labels: Labels
    changed: bool
    padding: Padding | None = None
    loop: str | None = None
    """One of which the graph doesn't show that it ends."""


def load_model(  # noqa: PLR0913 -- the keywords have defaults that most callers want
    path: Path,
    device: str,
    threads: int,
    max_rows: int,
    *,
    rules: BatchingRules | None = None,
    config: ModelConfig | None = None,
    measure_seconds: float = MEASURE_SECONDS,
    found: Findings | None = None,
    options: DeviceOptions = AS_IT_COMES,
    run_seconds: float | None = None,
) -> LoadedModel:
    """The model at `path`, warm: run at batch 1 and, if requests may be batched, up to `max_rows`.

    `config` may fix sizes that the model leaves free; what it says of batching is the caller's to put into `rules`.
    At most `measure_seconds` go into measuring what runs cost; 0 leaves it out. Each run of the warm-up may take
    `run_seconds`; None: as long as is usual for such a model. `found` is what another process found
    out about this very file under the same settings. Raises `StartupFailure` with the reason why it can't be served,
    `DeviceLost` if capturing graphs breaks the device.
    """
    rules = rules or BatchingRules()
    if found is None:
        opened, verdict = open_model(path, device, threads, max_rows, rules, config, options)
        found = examine(opened, verdict, max_rows, rules, run_seconds)
    else:
        opened = reopen_model(path, device, threads, found, config, options)
        repeat(opened.session, found.warm, max_rows, run_seconds or RUN_LIMIT_SECONDS)
    graphs = raise_ladder(opened.session, found.warm, max_rows)
    costs = measured(opened.session, found.warm, max_rows, measure_seconds)
    verdict = found.warm.verdict
    logger.info("model loaded", extra={"batched": verdict.batched, "reason": verdict.reason})
    return LoadedModel(opened.session, opened.session.signature, verdict, opened.labels, costs, graphs)


def open_model(
    path: Path,
    device: str,
    threads: int,
    max_rows: int,
    rules: BatchingRules,
    config: ModelConfig | None = None,
    options: DeviceOptions = AS_IT_COMES,
) -> tuple[Opened, Verdict]:
    """The model at `path`, not yet run, and what its graph or the configuration says. Raises `StartupFailure`."""
    file = _model_file(path)
    graph, content, labels = _prepared(file)
    session = _session(file, device, threads, content, config, options)
    if graph is None:  # ONNX Runtime took it, but what it refers to can't be checked
        raise not_onnx(file, "protobuf can't read it; it ends at 2 GiB and at 100 levels")
    loop = _looked_for_loops(graph)
    padding = config.padding if config is not None else None
    if padding is not None:
        check_padding(padding, session.signature)
    return Opened(session, labels, content is not None, padding, loop), _judged(
        graph, session.signature, max_rows, rules
    )


def reopen_model(
    path: Path,
    device: str,
    threads: int,
    found: Findings,
    config: ModelConfig | None = None,
    options: DeviceOptions = AS_IT_COMES,
) -> Opened:
    """The model at `path`, which was judged before: its graph isn't read again, unless it must be changed."""
    file = _model_file(path)
    _, content, labels = _prepared(file) if found.changed else _AS_IT_IS
    return Opened(_session(file, device, threads, content, config, options), labels, found.changed)


def examine(
    opened: Opened, verdict: Verdict, max_rows: int, rules: BatchingRules, run_seconds: float | None
) -> Findings:
    """What the first runs show, each of them within `run_seconds`. Raises `StartupFailure` as `warm_up` does."""
    limit_seconds = run_seconds or RUN_LIMIT_SECONDS
    doubt = None
    # TensorRT builds engines in a first run, which takes its time.
    if opened.loop is not None and run_seconds is None and opened.session.device != "tensorrt":
        doubt = Doubt(opened.loop, LOOP_LIMIT_SECONDS)
    warm = warm_up(opened.session, verdict, max_rows, rules, limit_seconds, doubt)
    if opened.padding is not None:
        pad(opened.session, warm, opened.padding, rules.tolerance, limit_seconds)
    return Findings(warm, opened.changed)


def _session(
    file: Path, device: str, threads: int, content: bytes | None, config: ModelConfig | None, options: DeviceOptions
) -> OnnxSession:
    session = OnnxSession(file, device, threads, content, options)
    if config is not None:
        session.signature = agreed(config, session.signature)
    return session


def _model_file(path: Path) -> Path:
    file = find_model(path)
    refuse_other_formats(file)
    return file


_Prepared = tuple["onnx.ModelProto | None", bytes | None, Labels]
_AS_IT_IS: Final[_Prepared] = (None, None, {})


def _prepared(file: Path) -> _Prepared:
    # Not imported above: a server whose model was vetted in another process doesn't need the onnx package.
    from tidegate_runtime.model.preparation import prepare  # noqa: PLC0415

    prepared = prepare(file)
    return prepared.graph, prepared.content, prepared.labels


def _looked_for_loops(graph: "onnx.ModelProto") -> str | None:
    # Not imported above, as in _prepared.
    from tidegate_runtime.model.endless import doubtful_loop, refuse_endless  # noqa: PLC0415

    refuse_endless(graph)
    return doubtful_loop(graph)


def _judged(graph: "onnx.ModelProto", signature: Signature, max_rows: int, rules: BatchingRules) -> Verdict:
    if max_rows == 1:
        return Verdict(False, "the largest batch is set to 1")
    if rules.declared is None:
        verdict = judge_graph(graph, signature)
        return Verdict(verdict.batched, printable(verdict.reason))
    if not rules.declared:
        return Verdict(False, "declared not to be batchable")
    for spec in (*signature.inputs, *signature.outputs):
        if not spec.shape or not isinstance(spec.shape[0], str):
            raise StartupFailure(
                Reason.UNSUPPORTED_SIGNATURE,
                f'the model is declared to be batchable, but "{spec.name}" has no free leading dimension',
            )
    return Verdict(True, "declared to be batchable")
