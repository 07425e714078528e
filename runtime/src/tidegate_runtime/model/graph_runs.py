"""Runs of a model that has CUDA graphs: each batch by the graph that its ladder names, padded up to it, or by none."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tidegate_runtime.model.binding import NO_GRAPH
from tidegate_runtime.model.graph_policy import Ladder
from tidegate_runtime.tensors import Array, Feeds


class Runs(Protocol):
    """What runs a batch under a graph's number."""

    def run(self, feeds: Feeds, options: Any, graph: int) -> Sequence[Array]:
        """All outputs in declared order, in arrays of their own."""


def run_on(runs: Runs, ladder: Ladder, feeds: Feeds, options: Any) -> Sequence[Array]:
    """All outputs for the rows of `feeds`, whatever is run beside them."""
    rows, rung = ladder.rung(feeds)
    if not rung:
        return runs.run(feeds, options, NO_GRAPH)
    number = ladder.number(rung)
    if rung == rows:
        return runs.run(feeds, options, number)
    outputs = runs.run({name: padded(array, rung) for name, array in feeds.items()}, options, number)
    return [output[:rows] for output in outputs]


def padded(array: Array, rows: int) -> Array:
    """The array with its last row repeated up to `rows`: unlike zeros, that is an input which the model takes."""
    whole: Array = np.empty((rows, *array.shape[1:]), array.dtype)
    whole[: len(array)] = array
    whole[len(array) :] = array[-1]
    return whole
