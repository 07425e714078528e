"""CUDA graphs captured, proved and timed before the first request; on the launch thread, since graphs belong to one.

What has to happen in which order is here; `Device` is all of the device that it needs.
"""

import logging
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, Protocol

from tidegate_runtime.errors import DeviceLost, OutOfDeviceMemory, RuntimeFault
from tidegate_runtime.model.batchability import differing_output
from tidegate_runtime.model.binding import NO_GRAPH
from tidegate_runtime.model.graph_policy import Graphs, Ladder, plan
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

CAPTURE_RUNS: Final = 3
"""Runs under a graph's number until it is surely captured; memory is settled in the first two [ONNX Runtime #17355]."""
TIMED_RUNS: Final = 5


class Device(Protocol):
    """What runs a batch, as a graph or without."""

    def run(self, feeds: Feeds, graph: int) -> Sequence[Array]:
        """All outputs, in arrays of their own, by the graph of that number, captured if it is new; -1: without one."""

    def bound(self, feeds: Feeds) -> bool:
        """Whether a run of such inputs has fixed addresses, so that it can be captured."""


def capture(
    device: Device,
    rungs: Sequence[int],
    feeds_of: Callable[[int], tuple[Feeds, Feeds]],
    signature: Signature,
    clock: Callable[[], float],
    *,
    max_rows: int,
    batched: bool,
) -> Ladder:
    """Captures a graph for each of `rungs`, as far as memory does, and checks that replays equal ordinary runs.

    `feeds_of` gives two different inputs of so many rows; where requests aren't `batched` there is one rung, 1.
    One replay that differs, and there are no graphs. Raises `DeviceLost`; any other fault means no graphs, too.
    """
    taken: list[int] = []
    reason = ""
    eager: dict[int, float] = {}
    replay: dict[int, float] = {}
    try:
        for graph, rows in enumerate(rungs, 1):
            one, _ = feeds_of(rows)
            try:
                eager[rows] = _ordinary(device, one, clock)
                if not device.bound(one):
                    return _none(f"outputs of {rows} rows have no fixed place")
                for _ in range(CAPTURE_RUNS):
                    device.run(one, graph)
            except OutOfDeviceMemory:
                reason = f"memory ended the ladder below {rows} rows"
                break
            replay[rows] = _timed(device, one, graph, clock)
            taken.append(rows)
        # Only now, when no later capture can upset an earlier graph; inputs others than those that were captured.
        for graph, rows in enumerate(taken, 1):
            _, other = feeds_of(rows)
            differs = differing_output(device.run(other, graph), device.run(other, NO_GRAPH), signature)
            if differs is not None:
                return _none(f'output "{differs}" of a replay differs from an ordinary run at {rows} rows')
    except DeviceLost:
        raise
    except RuntimeFault as fault:
        return _none(f"capture failed: {fault}")
    chosen = plan(eager, replay, max_rows, may_pad=batched)
    if not any(chosen):
        return _none(reason or "no graph is faster than an ordinary run")
    logger.info("graphs captured", extra={"rows": taken, "reason": reason})
    shapes = {name: array.shape[1:] if batched else array.shape for name, array in feeds_of(1)[0].items()}
    return Ladder(Graphs(tuple(taken), reason), shapes, batched, chosen)


def _none(reason: str) -> Ladder:
    logger.warning("no graphs", extra={"reason": reason})
    return Ladder(Graphs((), reason))


def _ordinary(device: Device, feeds: Feeds, clock: Callable[[], float]) -> float:
    for _ in range(2):  # the first finds the outputs' shapes, the second runs on buffers
        device.run(feeds, NO_GRAPH)
    return _timed(device, feeds, NO_GRAPH, clock)


def _timed(device: Device, feeds: Feeds, graph: int, clock: Callable[[], float]) -> float:
    taken = []
    for _ in range(TIMED_RUNS):
        before = clock()
        device.run(feeds, graph)
        taken.append(clock() - before)
    return median(taken)
