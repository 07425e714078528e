"""Operators that work along axes: they keep rows apart as long as axis 0 is not among these."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tidegate_runtime.model.rowflow.node import Node, rule
from tidegate_runtime.model.rowflow.values import ONE, Fixed, Rows, Unproved, Value, below, constant_shape, product

FULL_RANGE: Final = 1_000_000_000
"""A slice that ends at or behind this takes all rows: exporters write such numbers for "to the end"."""

ACROSS: Final = "computes across the batch"


@rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node) -> Sequence[Value]:
    """Before operator set 13 all axes from `axis` on were taken together, and `axis` was 1 by default."""
    rows = node.only_first_is_rows()
    _refuse_axis_0(node.axis(1 if node.opset < 13 else -1, node.rank()))
    return [rows]


@rule("LayerNormalization", "RMSNormalization", "LpNormalization")
@rule("SimplifiedLayerNormalization")
def normalization(node: Node) -> Sequence[Value]:
    """Over the last axis or from `axis` on; further outputs (mean, deviation) are one number per normalised part."""
    rows = node.only_first_is_rows()
    rank = node.rank()
    for scale in node.inputs[1:]:
        if not isinstance(scale, Fixed | None) or (scale and not below(scale.dims, rank)):
            raise Unproved("a scale reaches across the batch's axis")
    _refuse_axis_0(node.axis(-1, rank))
    return [rows, *(node.same_rank(rows, rank, index) for index in range(1, len(node.proto.output)))]


@rule("SkipLayerNormalization", domain="com.microsoft")
def skip_layer_normalization(node: Node) -> Sequence[Value]:
    """Of input + skip, over the last axis."""
    rows, rank = node.rows(0), node.rank(0)
    if rank < 2 or node.rows(1) != rows or any(isinstance(value, Rows) for value in node.inputs[2:]):
        raise Unproved("input and skip differ in shape")
    return [node.same_rank(rows, rank, index) for index in range(len(node.proto.output))]


@rule("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")
@rule("ReduceSum", "ReduceSumSquare")
def reduce(node: Node) -> Sequence[Value]:
    """Without axes all of them are reduced, unless `noop_with_empty_axes` says none."""
    rows, rank = node.rows(), node.rank()
    axes = node.axes(1, rank)
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            return [rows]
        raise Unproved(ACROSS)
    _refuse_axis_0(*axes)
    keep = node.attribute("keepdims", 1)
    tail = [(ONE if axis in axes else dim) for axis, dim in enumerate(rows.tail or (), 1) if keep or axis not in axes]
    return [Rows(rows.lead, tuple(tail))]


@rule("ArgMax", "ArgMin")
def arg_extreme(node: Node) -> Sequence[Value]:
    """Along axis 0 by default."""
    rows, rank = node.rows(), node.rank()
    reduced = node.axis(0, rank)
    _refuse_axis_0(reduced)
    keep = node.attribute("keepdims", 1)
    tail = [(ONE if axis == reduced else dim) for axis, dim in enumerate(rows.tail or (), 1) if keep or axis != reduced]
    return [Rows(rows.lead, tuple(tail))]


@rule("CumSum")
def cumulative_sum(node: Node) -> Sequence[Value]:
    """The axis is an input."""
    axis, rank = node.constant(1), node.rank()
    if axis is None:
        raise Unproved("no axis")
    _refuse_axis_0(int(axis.item()) % rank)
    return [node.rows()]


@rule("TopK")
def top_k(node: Node) -> Sequence[Value]:
    """Values and places, along the last axis by default."""
    rows, rank = node.only_first_is_rows(), node.rank()
    _refuse_axis_0(node.axis(-1, rank))
    return [node.same_rank(rows, rank, 0), node.same_rank(rows, rank, 1)]


@rule("Concat")
def concat(node: Node) -> Sequence[Value]:
    """Of rows only: a constant has no row for each of the batch's."""
    parts = [node.rows(index) for index in range(len(node.inputs))]
    rank = node.rank()
    _refuse_axis_0(node.axis(0, rank))
    if any(part.lead != parts[0].lead or part.rank != rank for part in parts):
        raise Unproved("rows of different shapes are concatenated")
    return [node.same_rank(parts[0], rank)]


@rule("Split")
def split(node: Node) -> Sequence[Value]:
    """Along axis 0 by default."""
    rows, rank = node.only_first_is_rows(), node.rank()
    _refuse_axis_0(node.axis(0, rank))
    return [node.same_rank(rows, rank, index) for index in range(len(node.proto.output))]


@rule("Slice")
def slice_(node: Node) -> Sequence[Value]:
    """Axis 0 may be named if all of it is taken, as exporters do."""
    rows, rank = node.only_first_is_rows(), node.rank()
    if node.opset < 10:
        starts, ends = node.attribute("starts"), node.attribute("ends")
        axes, steps = node.attribute("axes"), None
    else:
        axes, steps = (None if value is None else value.ravel().tolist() for value in map(node.constant, (3, 4)))
        cut = list(range(rank)) if axes is None else axes
        if 0 not in [axis % rank for axis in cut]:  # the bounds may be any that are the same for every batch
            return [node.same_rank(rows, rank)]
        starts, ends = (None if value is None else value.ravel().tolist() for value in map(node.constant, (1, 2)))
    axes = list(range(len(starts))) if axes is None else [axis % rank for axis in axes]
    steps = [1] * len(starts) if steps is None else steps
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis == 0 and not (start == 0 and end >= FULL_RANGE and step == 1):
            raise Unproved("takes some of the batch's rows")
    return [node.same_rank(rows, rank)]


@rule("Transpose")
def transpose(node: Node) -> Sequence[Value]:
    """Axes are reversed by default."""
    rows, rank = node.rows(), node.rank()
    order = node.attribute("perm") or list(reversed(range(rank)))
    if order[0] != 0:
        raise Unproved("moves the batch's axis")
    tail = rows.tail or ()
    return [Rows(rows.lead, tuple(tail[axis - 1] for axis in order[1:]))]


@rule("Unsqueeze")
def unsqueeze(node: Node) -> Sequence[Value]:
    """Axes count in the result."""
    rows = node.rows()
    added = node.attribute("axes") or _listed(node, 1)
    rank = node.rank() + len(added)
    places = {int(axis) % rank for axis in added}
    _refuse_axis_0(*places)
    tail = iter(rows.tail or ())
    return [Rows(rows.lead, tuple(ONE if axis in places else next(tail) for axis in range(1, rank)))]


@rule("Squeeze")
def squeeze(node: Node) -> Sequence[Value]:
    """Without axes every axis of size 1 goes, and with it a batch of one row."""
    rows = node.rows()
    axes = node.axes(1, node.rank())
    if not axes:
        raise Unproved("drops the batch's axis for a single row")
    _refuse_axis_0(*axes)
    return [Rows(rows.lead, tuple(dim for axis, dim in enumerate(rows.tail or (), 1) if axis not in axes))]


@rule("Flatten")
def flatten(node: Node) -> Sequence[Value]:
    """To two axes, split at `axis`."""
    rows, rank = node.rows(), node.rank()
    axis = node.axis(1, rank)
    _refuse_axis_0(axis)
    tail = rows.tail or ()
    return [Rows(product((rows.lead, *tail[: axis - 1])), (product(tail[axis - 1 :]),))]


@rule("Gather")
def gather(node: Node) -> Sequence[Value]:
    """From rows with constant places, or with rows as places into a constant table, as embeddings do."""
    data, places = node.input(0), node.input(1)
    if isinstance(data, Rows) and not isinstance(places, Rows | None):
        rank = node.rank()
        _refuse_axis_0(node.axis(0, rank))
        return [node.same_rank(data, rank - 1 + len(constant_shape(places)))]
    if isinstance(data, Rows):
        raise Unproved("picks rows by data")
    table = constant_shape(data)
    if int(node.attribute("axis", 0)) % max(len(table), 1):
        raise Unproved("picks from a table at an axis other than 0")
    rows = node.rows(1)
    return [Rows(rows.lead, None if rows.tail is None else rows.tail + table[1:])]


@rule("GatherElements")
def gather_elements(node: Node) -> Sequence[Value]:
    """Places per element; along axis 0 by default."""
    rank = node.rank(0)
    _refuse_axis_0(node.axis(0, rank))
    if node.rows(1).lead != node.rows(0).lead:
        raise Unproved("places for a different number of rows")
    return [node.rows(1)]


@rule("Pad")
def pad(node: Node) -> Sequence[Value]:
    """By pairs of numbers: all starts, then all ends."""
    rows, rank = node.only_first_is_rows(), node.rank()
    pads = node.attribute("pads") or _listed(node, 1)
    axes = _listed(node, 3) if node.input(3) is not None else list(range(rank))
    for place, axis in enumerate(axes):
        if axis % rank == 0 and (pads[place] or pads[place + len(axes)]):
            raise Unproved("adds rows to the batch")
    return [node.same_rank(rows, rank)]


@rule("Resize", "Upsample")
def resize(node: Node) -> Sequence[Value]:
    """By constant scales that leave axis 0 alone; sizes would fix the batch."""
    rows, rank = node.only_first_is_rows(), node.rank()
    if node.attribute("axes") is not None or node.attribute("coordinate_transformation_mode") == b"tf_crop_and_resize":
        raise Unproved("scales of some axes only, or crops")
    index = 2 if node.proto.op_type == "Resize" and node.opset >= 11 else 1
    scales = node.attribute("scales") or _listed(node, index)
    if len(scales) != rank or not np.isclose(scales[0], 1.0, rtol=0, atol=0):
        raise Unproved("scales the batch's axis")
    return [node.same_rank(rows, rank)]


@rule("DepthToSpace", "SpaceToDepth")
def rearrange(node: Node) -> Sequence[Value]:
    """Within each image."""
    return [node.same_rank(node.rows(), 4)]


@rule("Trilu")
def triangle(node: Node) -> Sequence[Value]:
    """Of the last two axes."""
    if node.rank() < 3:
        raise Unproved(ACROSS)
    return [node.only_first_is_rows()]


def _listed(node: Node, index: int) -> list[int]:
    constant = node.constant(index)
    return [] if constant is None else constant.ravel().tolist()


def _refuse_axis_0(*axes: int) -> None:
    if 0 in axes:
        raise Unproved(ACROSS)
