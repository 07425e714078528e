"""From a warm session to one that runs by CUDA graphs, where that is allowed, possible and faster."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import DeviceLost, RuntimeFault
from tidegate_runtime.model.batchability import probe_feeds
from tidegate_runtime.model.device import CUDA
from tidegate_runtime.model.graph_capture import capture
from tidegate_runtime.model.graph_policy import NO_GRAPHS, Graphs, objection, rungs
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.model.warmup import Warm
from tidegate_runtime.tensors import Array, Feeds

CAPTURE_SECONDS: Final = 60.0
"""For the whole ladder; the runs it is made of have succeeded before."""


def raise_ladder(session: OnnxSession, warm: Warm, max_rows: int) -> Graphs:
    """Has the session run by graphs from here on, and says by which, or why not.

    Raises `DeviceLost` if the device doesn't survive it, and then the process has to go.
    """
    batched = warm.verdict.batched
    probe = warm.probe
    if session.device == "cpu":
        return NO_GRAPHS
    if session.device != "cuda":
        return Graphs((), "TensorRT has its own")
    if session.no_graphs or not session.graph_bytes:
        return Graphs((), session.no_graphs or "switched off")
    nodes = session.nodes()
    why = objection(nodes, session.signature, CUDA, batched=batched)
    if why is not None or probe is None:
        return Graphs((), why or "warm-up inputs were rejected")

    def feeds_of(rows: int) -> tuple[Feeds, Feeds]:
        if not batched:
            feeds = probe_feeds(session.signature, probe, 1)
            return feeds, {name: np.flip(array).copy() for name, array in feeds.items()}
        feeds = probe_feeds(session.signature, probe, rows + 1)
        return {name: array[:-1] for name, array in feeds.items()}, {name: array[1:] for name, array in feeds.items()}

    largest = max_rows if batched else 1
    with _bounded(session) as device:
        sides = (*feeds_of(1)[0].values(), *device.run(feeds_of(1)[0], -1))
        row_bytes = sum(array.nbytes for array in sides)
        ladder = capture(
            device,
            rungs(largest, row_bytes, len(nodes), session.graph_bytes),
            feeds_of,
            session.signature,
            time.perf_counter,
            max_rows=largest,
            batched=batched,
        )
    session.climb(ladder)
    return ladder.graphs


class _Device:
    """The session as `capture` sees it, all runs ended by one flag."""

    def __init__(self, session: OnnxSession, options: Any) -> None:
        self._session = session
        self._options = options
        self.bound = session.bound

    def run(self, feeds: Feeds, graph: int) -> Sequence[Array]:
        try:
            return self._session.run(feeds, self._options, graph)
        except RuntimeFault:
            if self._options.terminate:  # A stream that is left in the middle of a capture is of no further use.
                raise DeviceLost(f"graphs weren't captured within {CAPTURE_SECONDS:.0f} s") from None
            raise


@contextmanager
def _bounded(session: OnnxSession) -> Iterator[_Device]:
    options = RunOptions()

    def end() -> None:
        options.terminate = True

    timer = Timer(CAPTURE_SECONDS, end)
    timer.start()
    try:
        yield _Device(session, options)
    finally:
        timer.cancel()
