"""Operators on shapes, and those that take a shape as an input: Reshape, Expand, ConstantOfShape."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tidegate_runtime.model.rowflow.node import Node, fresh, rule
from tidegate_runtime.model.rowflow.values import (
    ONE,
    Dim,
    Dims,
    Extents,
    Fixed,
    Rows,
    Unproved,
    Value,
    below,
    product,
    rows_of,
)

_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Max": max,
    "Min": min,
}


@rule("Shape")
def shape(node: Node) -> Sequence[Value]:
    """All dimensions, or those from `start` to `end`."""
    rows = node.rows()
    if rows.tail is None:
        raise Unproved("the rank of the rows is not known")
    dims = (rows.lead, *rows.tail)
    return [Extents(dims[node.attribute("start", 0) : node.attribute("end", None)])]


@rule("Reshape")
def reshape(node: Node) -> Sequence[Value]:
    """Row-major, so rows stay whole if and only if the new axis 0 is still a multiple of the batch's size."""
    rows, wanted = node.rows(), extents(node.input(1))
    if rows.tail is None:
        raise Unproved("the rank of the rows is not known")
    dims = (rows.lead, *rows.tail)
    if not node.attribute("allowzero", 0):
        wanted = tuple(dims[i] if dim.known == 0 and i < len(dims) else dim for i, dim in enumerate(wanted))
    if Dim(-1) in wanted:
        place = wanted.index(Dim(-1))
        rest = product(wanted[:place] + wanted[place + 1 :])
        inferred = product(dims).over(rest) or (fresh() if place else None)
        if inferred is None:
            raise Unproved("the leading dimension can't be computed")
        wanted = (*wanted[:place], inferred, *wanted[place + 1 :])
    return [rows_of(wanted)]


@rule("Expand")
def expand(node: Node) -> Sequence[Value]:
    """Broadcasts to a shape; the batch must be the leading dimension of the result."""
    value, wanted = node.input(0), extents(node.input(1))
    if isinstance(value, Rows):
        if value.tail is None or len(wanted) > 1 + len(value.tail):
            raise Unproved("adds axes before the batch's")
        given = (value.lead, *value.tail)
        padded = (ONE,) * (len(given) - len(wanted)) + wanted
        return [rows_of(tuple(_wider(old, new) for old, new in zip(given, padded, strict=True)))]
    if not any(dim.batches for dim in wanted):
        return [Fixed(node.inferred[0])]
    if not isinstance(value, Fixed) or not below(value.dims, len(wanted)):
        raise Unproved("a constant reaches across the batch's axis")
    return [rows_of(wanted)]


@rule("ConstantOfShape")
def constant_of_shape(node: Node) -> Sequence[Value]:
    """The same value everywhere."""
    wanted = extents(node.input(0))
    return [rows_of(wanted) if any(dim.batches for dim in wanted) else Fixed(wanted)]


def extents(value: Value | None) -> Dims:
    """A shape input's sizes. Raises `Unproved` unless they are constants or come from shapes."""
    if isinstance(value, Extents):
        return value.dims
    if isinstance(value, Fixed) and value.array is not None and value.array.dtype.kind in "iu":
        return tuple(Dim(int(size)) for size in value.array.ravel())
    raise Unproved("a shape is computed from data")


def _wider(old: Dim, new: Dim) -> Dim:
    if old in (new, ONE):
        return new
    if new == ONE:
        return old
    if old.batches or new.batches:
        raise Unproved("the batch is expanded to another size")
    return fresh()


def on_extents(node: Node) -> Sequence[Value]:
    """Outputs of an operator whose inputs are shapes and constants, at least one of them a shape."""
    operator = node.proto.op_type
    if operator in ("Identity", "Cast") and _is_integer_cast(node):
        return [node.inputs[0]] if node.inputs[0] is not None else []
    if operator in ("Squeeze", "Unsqueeze", "Reshape"):
        return [_rearranged(node)]
    if operator == "Concat":
        return [Extents(tuple(dim for value in node.inputs for dim in extents(value)))]
    if operator == "Gather":
        places = node.constant(1)
        dims = extents(node.input(0))
        if places is not None and places.ndim <= 1:
            return [Extents(tuple(dims[int(place)] for place in places.ravel()), scalar=places.ndim == 0)]
    if operator == "Slice":
        return [Extents(_sliced(node))]
    if operator in ("Mul", "Div", *_ARITHMETIC):
        return [_computed(node, operator)]
    if operator in ("Expand", "ConstantOfShape"):
        return (expand if operator == "Expand" else constant_of_shape)(node)
    return _independent(node)


def _is_integer_cast(node: Node) -> bool:
    return node.proto.op_type == "Identity" or node.attribute("to") in (6, 7)  # TensorProto.INT32, INT64


def _rearranged(node: Node) -> Value:
    """Between a scalar and a vector of one size; any other arrangement isn't followed."""
    dims = extents(node.input(0))
    to_scalar = node.proto.op_type == "Squeeze" or (node.proto.op_type == "Reshape" and not extents(node.input(1)))
    to_vector = node.proto.op_type != "Squeeze" and not to_scalar
    if len(dims) != 1 or (node.proto.op_type == "Unsqueeze" and not _is_scalar(node.input(0))):
        raise Unproved("a shape is rearranged in an unknown way")
    if to_vector and node.proto.op_type == "Reshape" and len(extents(node.input(1))) != 1:
        raise Unproved("a shape is rearranged in an unknown way")
    return Extents(dims, scalar=to_scalar)


def _sliced(node: Node) -> Dims:
    starts, ends, axes, steps = (node.constant(index) for index in (1, 2, 3, 4))
    if starts is None or ends is None or (axes is not None and axes.ravel().tolist() not in ([0], [-1])):
        raise Unproved("a shape is sliced in an unknown way")
    step = 1 if steps is None else int(steps.item())
    return extents(node.input(0))[int(starts.item()) : int(ends.item()) : step]


def _computed(node: Node, operator: str) -> Value:
    """Elementwise arithmetic. The batch's size may be multiplied and divided back out; nothing else is followed."""
    left, right = extents(node.input(0)), extents(node.input(1))
    length = max(len(left), len(right))
    left, right = (side * length if len(side) == 1 else side for side in (left, right))
    dims = tuple(_combine(operator, a, b) for a, b in zip(left, right, strict=True))
    scalar = all(_is_scalar(value) for value in node.inputs[:2])
    return Extents(dims, scalar=scalar)


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
    return fresh()


def _is_scalar(value: Value | None) -> bool:
    if isinstance(value, Extents):
        return value.scalar
    return isinstance(value, Fixed) and value.array is not None and np.ndim(value.array) == 0


def _independent(node: Node) -> Sequence[Value]:
    """Any other operator on sizes is the same for every batch, as long as the batch's own size is not among them."""
    for value in node.inputs:
        if isinstance(value, Extents) and any(dim.batches for dim in value.dims):
            raise Unproved("the batch's size is used as data")
    return [Fixed(node.inferred[index]) for index in range(len(node.proto.output))]
