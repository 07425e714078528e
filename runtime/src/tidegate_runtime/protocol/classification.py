"""The classification extension: an output's best classes in place of its values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.tensors import Array, Datatype, Tensor


def top_classes(tensor: Tensor, count: int, labels: Sequence[str] | None = None) -> Tensor:
    """A BYTES tensor [rows, k] of `value:index[:label]`, best first: k is `count`, or as many classes as there are.

    Axis 0 is the rows; a tensor of one dimension is a single row and gives [k]. Equal values come in the order of their
    index, NaN last. Values are written so that reading them gives the same number of the output's datatype. Raises
    `InvalidTensor` for BYTES and BOOL, which have no order, and for a scalar.
    """
    array = tensor.array
    if tensor.datatype in (Datatype.BYTES, Datatype.BOOL) or array.ndim == 0:
        raise InvalidTensor(
            f'output "{tensor.name}" is {tensor.datatype} of shape {list(array.shape)}; '
            '"classification" needs numbers, a row of them for each answer'
        )
    rows = array.reshape(array.shape[0], -1) if array.ndim > 1 else array.reshape(1, -1)
    best = _best(rows, min(count, rows.shape[1]))
    texts = np.empty(best.shape, object)
    for row, indices in enumerate(best.tolist()):
        texts[row] = [_text(rows[row, index], index, labels) for index in indices]
    return Tensor(tensor.name, Datatype.BYTES, texts if array.ndim > 1 else texts[0])


def _best(rows: Array, count: int) -> Array:
    values: Any = rows
    if rows.dtype.kind not in "iu":
        values = rows.astype(np.float64)
        values[np.isnan(values)] = -np.inf
    # A stable sort of the reversed row, read from its end: descending, and equal values by ascending index.
    ascending = np.argsort(values[:, ::-1], axis=1, kind="stable")
    best: Array = rows.shape[1] - 1 - ascending[:, ::-1][:, :count]
    return best


def _text(value: Any, index: int, labels: Sequence[str] | None) -> str:
    label = f":{labels[index]}" if labels is not None and index < len(labels) else ""
    return f"{value!s}:{index}{label}"
