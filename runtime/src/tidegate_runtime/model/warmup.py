"""The first runs: they show whether the model answers, whether its rows are independent, and what a run costs."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from threading import Event, Thread
from typing import Final

from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.errors import RuntimeFault, StartupFailure
from tidegate_runtime.model.answers import plain_feeds, says_nothing, unlike_declared
from tidegate_runtime.model.batchability import (
    PROBE_ROWS,
    PROBES,
    BatchingRules,
    Probe,
    Run,
    Verdict,
    judge_declaration,
    judge_numbers,
    probe_feeds,
)
from tidegate_runtime.model.ladder import Costs, batch_ladder, measure
from tidegate_runtime.model.padding import prove_padding
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds

logger = logging.getLogger(__name__)

_UNGUESSED: Final = frozenset({Datatype.BF16, Datatype.FP16, Datatype.FP32, Datatype.FP64, Datatype.BOOL})


@dataclass(frozen=True, slots=True)
class Warm:
    """Whether requests may share a batch, and the probe that the model took, None if it took none."""

    verdict: Verdict
    probe: Probe | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A loop of which the graph doesn't show that it ends, and how long a run may take until one has ended."""

    loop: str
    seconds: float


def warm_up(
    session: OnnxSession,
    verdict: Verdict,
    max_rows: int,
    rules: BatchingRules,
    limit_seconds: float,
    doubt: Doubt | None = None,
) -> Warm:
    """Runs the model on probes at batch 1 and, if its rows are to be batched, proves them independent.

    `verdict` is what the graph or the configuration says; each run is ended after `limit_seconds`, or those of the
    `doubt` that there is. Raises `StartupFailure`: `WarmupFailed` for a model that
    fails, doesn't end or answers NaN alone, `UnsupportedSignature` for one that isn't what it is declared to be.
    """
    try:
        with _bounded(session, limit_seconds, doubt) as run:
            return _probed(run, session.signature, verdict, max_rows, rules)
    except RuntimeFault as fault:
        raise StartupFailure(Reason.WARMUP_FAILED, f"warm-up: {fault}") from None


def repeat(session: OnnxSession, warm: Warm, max_rows: int, limit_seconds: float) -> None:
    """The runs that another process has shown to succeed, so that this one is warm, too. Raises like `warm_up`."""
    if warm.probe is None:
        return
    try:
        with _bounded(session, limit_seconds) as run:
            for rows in (1, max_rows) if warm.verdict.batched else (1,):
                run(probe_feeds(session.signature, warm.probe, rows))
    except RuntimeFault as fault:
        raise StartupFailure(Reason.WARMUP_FAILED, f"warm-up: {fault}") from None


def measured(session: OnnxSession, warm: Warm, max_rows: int, budget_seconds: float) -> Costs:
    """What runs cost, within `budget_seconds`; empty where the model took no probe or there is no budget."""
    if warm.probe is None or budget_seconds <= 0:
        return Costs()
    ladder = batch_ladder(max_rows) if warm.verdict.batched else (1,)
    # One size's inputs at a time; they are made in its first run, which isn't counted.
    feeds = lru_cache(maxsize=1)(partial(probe_feeds, session.signature, warm.probe))
    try:
        with _bounded(session, budget_seconds) as run:
            seconds = measure(lambda rows: _discard(run(feeds(rows))), ladder, time.perf_counter, budget_seconds)
    except (RuntimeFault, StartupFailure) as fault:  # it has run before, so it may be served all the same
        logger.warning("costs could not be measured", extra={"error": str(fault)})
        return Costs()
    return Costs({name: array.shape for name, array in feeds(1).items()}, seconds)


def pad(
    session: OnnxSession, warm: Warm, padding: Padding, tolerance: Mapping[Datatype, float], limit_seconds: float
) -> None:
    """Proves that requests may be padded as declared. Raises `StartupFailure` if not, or if it can't be seen."""
    refusal = None
    if not warm.verdict.batched:
        refusal = f"requests can't be padded to share a batch, since they share none: {warm.verdict.reason}"
    elif warm.probe is None:
        refusal = "padding can't be proved harmless: warm-up inputs were rejected"
    if refusal is not None or warm.probe is None:
        raise StartupFailure(Reason.UNSUPPORTED_SIGNATURE, f"config.pbtxt: parameters: tidegate.pad: {refusal}")
    padding = replace(padding, names=tuple(spec.name for spec in session.signature.outputs))
    try:
        with _bounded(session, limit_seconds) as run:
            prove_padding(run, padding, session.signature, warm.probe, tolerance)
    except RuntimeFault as fault:
        why = f"tidegate.pad: padded warm-up inputs were rejected: {fault}"
        raise StartupFailure(Reason.UNSUPPORTED_SIGNATURE, f"config.pbtxt: parameters: {why}") from None


def _discard(outputs: Sequence[Array]) -> None:
    """Costs are of runs; what they answer is of no interest."""


@contextmanager
def _bounded(session: OnnxSession, limit_seconds: float, doubt: Doubt | None = None) -> Iterator[Run]:
    """Runs of the session, each of which is ended after `limit_seconds`, by `StartupFailure`.

    Each, not all together: a large model that gets on, however slowly, isn't taken for one that loops. Nor is one whose
    loop has ended before.
    """
    options = RunOptions()
    ends_at = math.inf
    over = Event()
    doubted = doubt

    def watch() -> None:
        # One thread for all of them: one a run would be part of what the run is measured to cost.
        while not over.wait(min(shortest, ends_at - time.monotonic())):
            if time.monotonic() >= ends_at:
                options.terminate = True
                return

    def run(feeds: Feeds) -> Sequence[Array]:
        nonlocal ends_at, doubted
        ends_at = time.monotonic() + (limit_seconds if doubted is None else doubted.seconds)
        try:
            outputs = session.run(feeds, options)
        except RuntimeFault:
            if options.terminate:
                raise StartupFailure(Reason.WARMUP_FAILED, f"warm-up: {_late(limit_seconds, doubted)}") from None
            raise
        else:
            doubted = None
            return outputs
        finally:
            ends_at = math.inf

    shortest = limit_seconds if doubt is None else min(limit_seconds, doubt.seconds)
    watching = Thread(target=watch, name="warm-up", daemon=True)
    watching.start()
    try:
        yield run
    finally:
        over.set()
        watching.join()


def _late(limit_seconds: float, doubt: Doubt | None) -> str:
    if doubt is None:
        return f"no end within {limit_seconds:.0f} s; does the graph loop forever?"
    asked = f'no end within {doubt.seconds:g} s; does the loop "{doubt.loop}" go on forever?'
    return f"{asked} The graph doesn't show that it ends; if it only takes long, give --warmup-seconds"


def _probed(run: Run, signature: Signature, verdict: Verdict, max_rows: int, rules: BatchingRules) -> Warm:
    """The verdict after the first probe that the model accepts; unbatched if it accepts none.

    Raises the model's fault if that leaves no doubt: nothing was guessed about its inputs but their numbers, and it
    fails on ones and zeros, too.
    """
    for probe in PROBES:
        feeds = probe_feeds(signature, probe, 1)
        try:
            outputs = run(feeds)
        except RuntimeFault as fault:
            rejected = fault
            continue
        _check_answer(run, feeds, outputs, signature)
        if verdict.batched:
            verdict = _judged(run, probe, signature, verdict, rules)
        if verdict.batched:
            _largest(run, probe, signature, max_rows)
        return Warm(verdict, probe)
    if _nothing_guessed(signature) and not _takes_plain(run, signature):
        raise rejected
    logger.warning("warm-up inputs were rejected", extra={"error": str(rejected)})
    if verdict.batched and rules.declared:
        return Warm(Verdict(True, f"{verdict.reason}; unchecked, since warm-up inputs were rejected"), None)
    return Warm(Verdict(False, f"warm-up inputs were rejected: {rejected}"), None)


def _judged(run: Run, probe: Probe, signature: Signature, verdict: Verdict, rules: BatchingRules) -> Verdict:
    feeds = probe_feeds(signature, probe, PROBE_ROWS)
    try:
        if not rules.declared:
            return judge_numbers(run, feeds, signature, rules.tolerance)
        contradiction = judge_declaration(run, feeds, signature)
    except RuntimeFault as fault:
        contradiction = f"a batch of {PROBE_ROWS} rows was refused: {fault}"
        if not rules.declared:
            return Verdict(False, contradiction)
    if contradiction:
        raise StartupFailure(
            Reason.UNSUPPORTED_SIGNATURE, f"the model is declared to be batchable, but {contradiction}"
        )
    return verdict


def _largest(run: Run, probe: Probe, signature: Signature, max_rows: int) -> None:
    try:
        run(probe_feeds(signature, probe, max_rows))
    except RuntimeFault as fault:
        why = f"warm-up with the largest batch, {max_rows} rows: {fault}; a smaller --max-batch-size may do"
        raise StartupFailure(Reason.WARMUP_FAILED, why) from None


def _check_answer(run: Run, feeds: Feeds, outputs: Sequence[Array], signature: Signature) -> None:
    """Raises `StartupFailure` for an answer unlike the signature, and for NaN whatever is asked."""
    unlike = unlike_declared(outputs, signature)
    if unlike:
        raise StartupFailure(Reason.UNSUPPORTED_SIGNATURE, f"{unlike}; export the model with its true shapes")
    if not says_nothing(outputs, signature):
        return
    for value in (0, 1):
        try:
            outputs = run(plain_feeds(feeds, signature, value))
        except RuntimeFault:
            return
        if not says_nothing(outputs, signature):
            return
    raise StartupFailure(
        Reason.WARMUP_FAILED, "warm-up: every output is NaN for whatever input; are its weights damaged?"
    )


def _takes_plain(run: Run, signature: Signature) -> bool:
    """Whether the model runs on nothing but ones, or zeros, in place of real numbers.

    A scale, or a share, may be an input, and its operator refuses those that are below zero, or above one.
    """
    feeds = probe_feeds(signature, PROBES[0], 1)
    for value in (1, 0):
        try:
            run(plain_feeds(feeds, signature, value))
        except RuntimeFault:
            continue
        return True
    return False


def _nothing_guessed(signature: Signature) -> bool:
    """Whether every input is of real numbers or booleans and all its sizes are given but that of the batch."""
    return all(
        spec.datatype in _UNGUESSED and not any(isinstance(size, str) for size in spec.shape[1:])
        for spec in signature.inputs
    )
