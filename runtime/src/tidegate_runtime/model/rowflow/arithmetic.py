"""Operators without rows among their inputs: arithmetic on shapes, and all that is the same for every batch.

Sizes are followed one by one. What can't be followed, values computed from sizes included, is the same for every batch
as long as the batch's own size is not among the inputs, since requests that share a batch have one shape behind axis 0.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tidegate_runtime.model.rowflow.node import Node, mentions_batch
from tidegate_runtime.model.rowflow.shapes import constant_of_shape, expand, extents, shape
from tidegate_runtime.model.rowflow.values import (
    Dim,
    Dims,
    Extents,
    Fixed,
    Unproved,
    Value,
    constant_shape,
    fresh,
    number,
)

_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Max": max,
    "Min": min,
}


def without_rows(node: Node) -> Sequence[Value]:
    """The outputs of an operator whose inputs are shapes and constants. Raises `Unproved` for the batch's size as data.

    It must be one whose outputs follow from its inputs: not a random one.
    """
    try:
        return [_followed(node)]
    except Unproved:
        if any(map(mentions_batch, node.inputs)):
            raise
    return [Fixed(dims) for dims in node.inferred]


def _followed(node: Node) -> Value:
    rule = _FOLLOWED.get(node.proto.op_type)
    if rule is None or node.proto.domain not in ("", "ai.onnx") or len(node.proto.output) != 1:
        raise Unproved("the batch's size is used as data")
    if any(isinstance(value, Extents) for value in node.inputs) or node.proto.op_type == "Shape":
        return rule(node)
    tables = node.proto.op_type in ("Gather", "Slice")
    if not tables and any(isinstance(value, Fixed) and value.array is None for value in node.inputs):
        raise Unproved("a constant's value is not known")
    value = rule(node)
    if not isinstance(value, Extents):
        return value
    return Fixed(constant_shape(value), value.array)


def _cast(node: Node) -> Value:
    if node.proto.op_type == "Cast" and node.attribute("to") not in (6, 7):  # TensorProto.INT32, INT64
        raise Unproved("the batch's size is used as data")
    return Extents(extents(node.input(0)), _is_scalar(node.input(0)))


def _squeeze(node: Node) -> Value:
    """A vector of one size to a scalar."""
    if len(_data(node)) != 1 or _is_scalar(node.input(0)):
        raise Unproved("a shape is rearranged in an unknown way")
    return Extents(_data(node), scalar=True)


def _unsqueeze(node: Node) -> Value:
    """A scalar to a vector of one size."""
    axes = node.axes(1, 1)
    if not _is_scalar(node.input(0)) or axes is None or len(axes) != 1:
        raise Unproved("a shape is rearranged in an unknown way")
    return Extents(_data(node))


def _reshape(node: Node) -> Value:
    """To a scalar or to a vector."""
    wanted = node.constant(1)
    if wanted is None or wanted.size > 1 or (wanted.size == 0 and len(_data(node)) != 1):
        raise Unproved("a shape is rearranged in an unknown way")
    return Extents(_data(node), scalar=wanted.size == 0)


def _concat(node: Node) -> Value:
    if any(_is_scalar(value) for value in node.inputs):
        raise Unproved("scalars are concatenated")
    return Extents(tuple(dim for value in node.inputs for dim in extents(value)))


def _gather(node: Node) -> Value:
    """Of sizes; or of a table of weights, as the embedding of places is."""
    table = node.input(0)
    if isinstance(table, Fixed) and (table.array is None or table.array.ndim > 1):
        dims, places_shape = constant_shape(table), constant_shape(node.input(1))
        axis = node.axis(0, len(dims))
        return Fixed((*dims[:axis], *places_shape, *dims[axis + 1 :]))
    places, dims = node.constant(1), _data(node)
    if places is None or places.ndim > 1:
        raise Unproved("sizes are picked in an unknown way")
    return Extents(tuple(dims[int(place)] for place in places.ravel()), scalar=places.ndim == 0)


def _slice(node: Node) -> Value:
    """Of sizes; or of a table of weights, by bounds that needn't be known."""
    table = node.input(0)
    if isinstance(table, Fixed) and (table.array is None or table.array.ndim > 1):
        return _cut(node, constant_shape(table))
    dims = _data(node)
    starts, ends, axes, steps = (node.constant(index) for index in (1, 2, 3, 4))
    if starts is None or ends is None or (axes is not None and axes.ravel().tolist() not in ([0], [-1])):
        raise Unproved("a shape is sliced in an unknown way")
    step = 1 if steps is None else int(steps.item())
    return Extents(dims[int(starts.item()) : int(ends.item()) : step])


def _cut(node: Node, dims: Dims) -> Value:
    """A table behind a Slice: ONNX's inference knows no size of it unless it knows the bounds."""
    axes = node.constant(3)
    if any(map(mentions_batch, node.inputs)) or axes is None or node.opset < 10:
        raise Unproved("a constant is cut by the batch's size")
    cut = {int(axis) % len(dims) for axis in axes.ravel()}
    return Fixed(tuple(fresh() if axis in cut else dim for axis, dim in enumerate(dims)))


def _computed(node: Node) -> Value:
    """Elementwise arithmetic. The batch's size may be multiplied and divided back out; nothing else is followed."""
    pairs = _pairs(node, 0, 1)
    operator = node.proto.op_type
    return Extents(tuple(_combine(operator, a, b) for a, b in pairs), all(map(_is_scalar, node.inputs)))


def _combine(operator: str, left: Dim, right: Dim) -> Dim:
    if operator == "Mul":
        return left * right
    quotient = left.over(right) if operator == "Div" else None
    if quotient is not None:
        return quotient
    if left.batches or right.batches:
        raise Unproved("arithmetic on the batch's size")
    if operator != "Div" and left.known is not None and right.known is not None:
        return Dim(_ARITHMETIC[operator](left.known, right.known))
    return number()


def _equal(node: Node) -> Value:
    """Sizes are no negative number, as -1 is that exporters compare with; whether they are another isn't known."""
    answers = np.array([_same(a, b) for a, b in _pairs(node, 0, 1)], np.bool_)
    scalar = all(map(_is_scalar, node.inputs))
    return Fixed((), answers.reshape(())) if scalar else Fixed((Dim(len(answers)),), answers)


def _same(left: Dim, right: Dim) -> bool:
    if left == right:
        return True
    if left.known is not None and right.known is not None:
        return False
    if any(one.is_size and (other.known or 0) < 0 for one, other in ((left, right), (right, left))):
        return False
    raise Unproved("sizes are compared")


def _where(node: Node) -> Value:
    """By a condition that is known."""
    chosen = node.constant(0)
    if chosen is None or chosen.ndim > 1:
        raise Unproved("sizes are picked in an unknown way")
    pairs = _pairs(node, 1, 2)
    length = max(len(pairs), chosen.size)
    pairs = pairs * length if len(pairs) == 1 else pairs
    taken = tuple(a if yes else b for yes, (a, b) in zip(np.broadcast_to(chosen, (length,)), pairs, strict=True))
    return Extents(taken, chosen.ndim == 0 and all(map(_is_scalar, node.inputs[1:])))


def _pairs(node: Node, first: int, second: int) -> list[tuple[Dim, Dim]]:
    """The sizes of two inputs that are broadcast against each other, side by side."""
    if len(node.inputs) > second + 1:
        raise Unproved("an operator on more than two shapes")
    left, right = extents(node.input(first)), extents(node.input(second))
    length = max(len(left), len(right))
    left, right = (side * length if len(side) == 1 else side for side in (left, right))
    return list(zip(left, right, strict=True))


def _data(node: Node) -> Dims:
    """Input 0 as sizes, where the operator isn't one on sizes alone: a table of weights must not be taken for some."""
    value = node.input(0)
    if isinstance(value, Fixed) and value.array is None:
        raise Unproved("the batch's size is used as data")
    return extents(value)


def _is_scalar(value: Value | None) -> bool:
    return value.scalar if isinstance(value, Extents) else isinstance(value, Fixed) and value.dims == ()


_FOLLOWED: Final[dict[str, Callable[[Node], Value]]] = {
    "Identity": _cast,
    "Cast": _cast,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Mul": _computed,
    "Div": _computed,
    **dict.fromkeys(_ARITHMETIC, _computed),
    "Equal": _equal,
    "Where": _where,
    "Shape": lambda node: shape(node)[0],
    "Expand": lambda node: expand(node)[0],
    "ConstantOfShape": lambda node: constant_of_shape(node)[0],
}
