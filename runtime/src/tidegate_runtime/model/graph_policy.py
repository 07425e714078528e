"""Which batches are run as CUDA graphs: a ladder of batch sizes for the one shape known beforehand. Pure.

A graph is launched as a whole, so it saves the launches of a model of many small operators; it fixes shapes and
addresses, so each batch size needs one of its own. What falls between two rungs is padded up where that is cheaper.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tidegate_runtime.model.ladder import batch_ladder
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Feeds

NODE_BYTES: Final = 32 << 10
"""What a graph is taken to keep for each of its operators, in the driver and on the device. Assumed, not measured."""

MARGIN: Final = 0.95
"""What is padded has to be that much cheaper: copying rows to and fro isn't in the figures, and those are noisy."""

CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})


class Node(NamedTuple):
    """An operator, and the provider that runs it."""

    operator: str
    provider: str


@dataclass(frozen=True, slots=True)
class Graphs:
    """The batch sizes that have a graph, in rising order, and why there are no more; "" on devices without graphs."""

    rows: tuple[int, ...] = ()
    reason: str = ""


NO_GRAPHS: Final = Graphs()


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is to be run how: `plan[rows]` is the number of rows of the graph to run, 0 for an ordinary run.

    `shapes` are the inputs' captured shapes, without their rows if requests are `batched`.
    """

    graphs: Graphs
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batched: bool = False
    plan: tuple[int, ...] = ()

    def rung(self, feeds: Feeds) -> tuple[int, int]:
        """The rows of these inputs (1 unless batched), and those of the graph to run them by; 0: by none."""
        rows = 1
        for name, shape in self.shapes.items():
            given = feeds[name].shape
            if (given[1:] if self.batched else given) != shape:
                return rows, 0
            if self.batched:
                rows = given[0]
        return rows, self.plan[rows] if rows < len(self.plan) else 0

    def number(self, rung: int) -> int:
        """The graph's number: 0 and below mean something else to ONNX Runtime."""
        return self.graphs.rows.index(rung) + 1


def objection(nodes: Iterable[Node], signature: Signature, provider: str, *, batched: bool) -> str | None:
    """Why a model whose operators run as `nodes` says can't be captured; None if it can. `provider` is the device's."""
    listed = tuple(nodes)
    for node in listed:
        if node.operator in CONTROL_FLOW:
            return f"{node.operator} is control flow, which a graph can't follow"
    for node in listed:
        if node.provider != provider:
            return f"{node.operator} runs on {node.provider}, outside the graph"
    for spec in signature.inputs:
        if any(isinstance(size, str) for size in (spec.shape[1:] if batched else spec.shape)):
            return f'input "{spec.name}" has sizes that only requests tell'
    return None


def rungs(max_rows: int, row_bytes: int, node_count: int, budget_bytes: int) -> tuple[int, ...]:
    """1, 2, 4, … `max_rows`, as far as the graphs and their buffers, `row_bytes` a row, fit the budget together."""
    taken: list[int] = []
    for rows in batch_ladder(max_rows):
        budget_bytes -= rows * row_bytes + node_count * NODE_BYTES
        if budget_bytes < 0:
            break
        taken.append(rows)
    return tuple(taken)


def plan(eager: Mapping[int, float], replay: Mapping[int, float], max_rows: int, *, may_pad: bool) -> tuple[int, ...]:
    """For each number of rows from 0 to `max_rows`, that of the graph to run; 0: an ordinary run.

    `eager` and `replay` are seconds by rows; `replay` names the rungs, each of which `eager` has, too. In between an
    ordinary run is taken to cost in proportion. Only rows that don't influence each other `may_pad`.
    """
    chosen = [0] * (max_rows + 1)
    for rows in range(1, max_rows + 1):
        least = _between(eager, rows)
        for rung in sorted(size for size in replay if size == rows or (may_pad and size > rows)):
            if replay[rung] < least * (1 if rung == rows else MARGIN):
                chosen[rows], least = rung, replay[rung]
    return tuple(chosen)


def _between(seconds: Mapping[int, float], rows: int) -> float:
    if rows in seconds:
        return seconds[rows]
    below = max((size for size in seconds if size < rows), default=None)
    above = min((size for size in seconds if size > rows), default=None)
    if below is None or above is None:
        nearest = above or below or rows
        return seconds.get(nearest, 0.0) * rows / nearest
    return seconds[below] + (seconds[above] - seconds[below]) * (rows - below) / (above - below)
