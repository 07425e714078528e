"""From a path to a model that may serve: load once, prove batchability, warm up. Blocks; runs on the launch thread."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Final

import onnx

from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.errors import RuntimeFault, StartupFailure
from tidegate_runtime.model.batchability import (
    PROBE_ROWS,
    PROBES,
    Probe,
    Run,
    Verdict,
    judge_graph,
    judge_numbers,
    probe_feeds,
)
from tidegate_runtime.model.costing import measure
from tidegate_runtime.model.files import find_model, refuse_other_formats
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds

logger = logging.getLogger(__name__)

WARMUP_LIMIT_SECONDS: Final = 120.0
"""All warm-up runs together; a graph with an endless loop never ends one by itself."""

_UNGUESSED: Final = frozenset({Datatype.FP16, Datatype.FP32, Datatype.FP64, Datatype.BOOL})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A session that has run, what it takes and gives, and whether its requests may share a batch."""

    session: OnnxSession
    signature: Signature
    verdict: Verdict
    costs: CostTable


def load_model(path: Path, device: str, threads: int, max_rows: int) -> LoadedModel:
    """The model at `path`, warm: run at batch 1 and, if requests may be batched, at `max_rows`.

    Raises `StartupFailure` with the reason why it can't be served.
    """
    file = find_model(path)
    refuse_other_formats(file)
    session = OnnxSession(file, device, threads)
    verdict = _judge_graph(file, session.signature, max_rows)
    verdict, costs = _warm_up(session, verdict, max_rows, WARMUP_LIMIT_SECONDS)
    logger.info("model loaded", extra={"file": file.name, "batched": verdict.batched, "reason": verdict.reason})
    return LoadedModel(session, session.signature, verdict, costs)


def _judge_graph(file: Path, signature: Signature, max_rows: int) -> Verdict:
    if max_rows == 1:
        return Verdict(False, "the largest batch is set to 1")
    try:
        graph = onnx.load(file, load_external_data=False)
    except Exception as error:  # ONNX Runtime took it, but protobuf may not: it ends at 2 GiB
        return Verdict(False, f"the graph can't be read ({type(error).__name__})")
    return judge_graph(graph, signature)


def _warm_up(session: OnnxSession, verdict: Verdict, max_rows: int, limit_seconds: float) -> tuple[Verdict, CostTable]:
    options = RunOptions()

    def run(feeds: Feeds) -> Sequence[Array]:
        try:
            return session.run(feeds, options)
        except RuntimeFault:
            if options.terminate:
                late = f"no end within {limit_seconds:.0f} s; does the graph loop forever?"
                raise StartupFailure(Reason.WARMUP_FAILED, f"warm-up: {late}") from None
            raise

    def end() -> None:
        options.terminate = True

    timer = Timer(limit_seconds, end)
    timer.start()
    try:
        verdict, probe = _probed(run, session.signature, verdict, max_rows)
        rows = max_rows if verdict.batched else 1
        if probe is None:
            return verdict, CostTable(rows)
        return verdict, measure(run, session.signature, probe, rows, time.perf_counter)
    except RuntimeFault as fault:
        raise StartupFailure(Reason.WARMUP_FAILED, f"warm-up: {fault}") from None
    finally:
        timer.cancel()


def _probed(run: Run, signature: Signature, verdict: Verdict, max_rows: int) -> tuple[Verdict, Probe | None]:
    """The verdict after the first probe that the model accepts, and that probe; unbatched if it accepts none.

    Raises the model's fault if that leaves no doubt: nothing was guessed about its inputs, and it fails all the same.
    """
    for probe in PROBES:
        try:
            run(probe_feeds(signature, probe, 1))
        except RuntimeFault as fault:
            rejected = fault
            continue
        if not verdict.batched:
            return verdict, probe
        try:
            verdict = judge_numbers(run, probe_feeds(signature, probe, PROBE_ROWS), signature)
        except RuntimeFault as fault:
            return Verdict(False, f"a batch of {PROBE_ROWS} rows was refused: {fault}"), probe
        if verdict.batched:
            run(probe_feeds(signature, probe, max_rows))
        return verdict, probe
    if _nothing_guessed(signature):
        raise rejected
    logger.warning("warm-up inputs were rejected", extra={"error": str(rejected)})
    return Verdict(False, f"warm-up inputs were rejected: {rejected}"), None


def _nothing_guessed(signature: Signature) -> bool:
    """Whether every input is of real numbers or booleans and all its sizes are given but that of the batch."""
    return all(
        spec.datatype in _UNGUESSED and not any(isinstance(size, str) for size in spec.shape[1:])
        for spec in signature.inputs
    )
