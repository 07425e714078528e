"""Rows of several requests as one batch along axis 0, and back. Pure."""

from collections.abc import Hashable, Sequence

import numpy as np

from tidegate_runtime.errors import ExecutionFailed
from tidegate_runtime.tensors import Array, Feeds


def compatibility(feeds: Feeds) -> Hashable:
    """Equal for requests whose rows may share a batch: same inputs, numpy types and shapes behind axis 0."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(feeds.items()))


def stack(requests: Sequence[Feeds]) -> Feeds:
    """The requests' rows below each other, in order; a single request is passed on uncopied."""
    if len(requests) == 1:
        return requests[0]
    return {name: np.concatenate([feeds[name] for feeds in requests]) for name in requests[0]}


def split(outputs: Sequence[Array], rows: Sequence[int]) -> list[tuple[Array, ...]]:
    """Each request's own rows of every output, as views. `rows` are the requests' in the order of their stacking.

    A single request gets the outputs whole, whatever their shape. Raises `ExecutionFailed` if an output of a shared
    batch does not have one row per input row: nobody can say then whose is whose.
    """
    if len(rows) == 1:
        return [tuple(outputs)]
    total = sum(rows)
    for output in outputs:
        if output.ndim == 0 or output.shape[0] != total:
            raise ExecutionFailed(f"the model answered shape {list(output.shape)} to a batch of {total} rows")
    ends = np.cumsum(rows)
    return [
        tuple(output[end - count : end] for output in outputs) for count, end in zip(rows, ends.tolist(), strict=True)
    ]
