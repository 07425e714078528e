"""Operators that read a shape or take one as an input: Shape, Reshape, Expand, ConstantOfShape."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from tidegate_runtime.model.rowflow.node import Node, rule
from tidegate_runtime.model.rowflow.values import (
    ONE,
    SMALL,
    Dim,
    Dims,
    Extents,
    Fixed,
    Rows,
    Unproved,
    Value,
    below,
    constant_shape,
    fresh,
    number,
    product,
    rows_of,
    sizes,
)


@rule("Shape")
def shape(node: Node) -> Sequence[Value]:
    """All dimensions, or those from `start` to `end`."""
    value = node.input(0)
    if isinstance(value, Rows):
        if value.tail is None:
            raise Unproved("the rank of the rows is not known")
        dims = (value.lead, *value.tail)
    else:
        dims = (Dim(len(value.dims)),) * (not value.scalar) if isinstance(value, Extents) else constant_shape(value)
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
        return [rows_of(_expanded((value.lead, *value.tail), wanted))]
    given = constant_shape(value)
    if not any(dim.batches for dim in wanted):
        return [Fixed(sizes(_expanded(given, wanted)))]
    if not below(given, len(wanted)):
        raise Unproved("a constant reaches across the batch's axis")
    return [rows_of(_expanded(given, wanted))]


@rule("ConstantOfShape")
def constant_of_shape(node: Node) -> Sequence[Value]:
    """The same value everywhere."""
    wanted = extents(node.input(0))
    if any(dim.batches for dim in wanted):
        return [rows_of(wanted)]
    count = product(wanted).known
    if count is None or count > SMALL or any((dim.known or 0) < 0 for dim in wanted):
        return [Fixed(sizes(wanted))]
    value = node.attribute("value")
    filling = numpy_helper.to_array(value).item() if isinstance(value, onnx.TensorProto) else 0.0
    return [Fixed(wanted, np.full([dim.factor for dim in wanted], filling))]


def extents(value: Value | None) -> Dims:
    """A shape input's sizes. Raises `Unproved` unless they are constants or come from shapes.

    Of integers that are the same for every batch but not known there must be a known number.
    """
    if isinstance(value, Extents):
        return value.dims
    if isinstance(value, Fixed) and value.array is not None:
        if value.array.dtype in (np.int32, np.int64) and value.array.ndim <= 1:
            return tuple(Dim(int(size)) for size in value.array.ravel())
    elif isinstance(value, Fixed) and value.dims is not None and len(value.dims) <= 1:
        length = product(value.dims).known
        if length is not None and length <= SMALL:
            return tuple(number() for _ in range(length))
    raise Unproved("a shape is computed from data")


def _expanded(given: Dims, wanted: Dims) -> Dims:
    rank = max(len(given), len(wanted))
    given, wanted = ((ONE,) * (rank - len(dims)) + dims for dims in (given, wanted))
    return tuple(_wider(old, new) for old, new in zip(given, wanted, strict=True))


def _wider(old: Dim, new: Dim) -> Dim:
    if old in (new, ONE):
        return new
    if new == ONE:
        return old
    if old.batches or new.batches:
        raise Unproved("the batch is expanded to another size")
    return fresh()
