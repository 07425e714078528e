"""Operators with weights: matrix products, convolutions, pooling, normalisation by stored statistics, quantisation."""

from collections.abc import Sequence

from tidegate_runtime.model.rowflow.node import Node, rule
from tidegate_runtime.model.rowflow.values import ONE, Dims, Fixed, Rows, Unproved, Value, below, fresh


@rule("MatMul", "MatMulInteger")
def matmul(node: Node) -> Sequence[Value]:
    """By numpy's rules: two axes are multiplied, those before are broadcast, so these must hold the batch."""
    left, right = node.input(0), node.input(1)
    if any(not isinstance(value, Fixed) or value.dims not in ((), (ONE,)) for value in node.inputs[2:3] if value):
        raise Unproved("a zero point per row")
    if any(not isinstance(value, Fixed) for value in node.inputs[3:] if value):
        raise Unproved("a zero point depends on the batch")
    if isinstance(left, Rows) and isinstance(right, Rows):
        rank = node.rank(0)
        if rank < 3 or node.rank(1) != rank or left.lead != right.lead:
            raise Unproved("rows are multiplied with each other")
        return [_multiplied(left, rank, right.tail)]
    if isinstance(left, Rows) and isinstance(right, Fixed):
        rank, weights = node.rank(0), _weights(right)
        if rank < 2 or len(weights) < 2 or not (below(weights, rank) or len(weights) == rank == 2):
            raise Unproved("the weights reach across the batch's axis")
        return [_multiplied(left, rank, weights)]
    if isinstance(left, Fixed) and isinstance(right, Rows):
        rank, weights = node.rank(1), _weights(left)
        if rank < 3 or len(weights) < 2 or not below(weights, rank):
            raise Unproved("the weights reach across the batch's axis")
        return [node.same_rank(right, rank)]
    raise Unproved("operands of unknown kind")


@rule("Gemm")
def gemm(node: Node) -> Sequence[Value]:
    """A · B + C of rank 2."""
    rows = node.rows(0)
    if node.attribute("transA", 0) or not isinstance(node.input(1), Fixed):
        raise Unproved("rows are multiplied with each other")
    bias = node.input(2)
    if isinstance(bias, Fixed):
        shape = _weights(bias)
        if len(shape) == 2 and shape[0] != ONE:
            raise Unproved("the bias reaches across the batch's axis")
    elif bias is not None and (node.rank(2) != 2 or node.rows(2).lead != rows.lead):
        raise Unproved("the bias has another number of rows")
    return [node.same_rank(rows, 2)]


@rule("Conv", "ConvInteger", "ConvTranspose", "QLinearConv")
@rule("AveragePool", "LpPool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")
@rule("InstanceNormalization", "GroupNormalization", "LRN")
def per_image(node: Node) -> Sequence[Value]:
    """Axis 0 is the batch by the operator's definition."""
    rows, rank = node.only_first_is_rows(), node.rank()
    if rank < 3:
        raise Unproved("fewer than three axes")
    return [node.same_rank(rows, rank)]


@rule("MaxPool")
def max_pool(node: Node) -> Sequence[Value]:
    """The second output counts places through the whole batch."""
    if len([name for name in node.proto.output if name]) > 1:
        raise Unproved("indices count through the whole batch")
    return [node.same_rank(node.rows(), node.rank())]


@rule("BatchNormalization")
def batch_normalization(node: Node) -> Sequence[Value]:
    """By stored statistics; in training mode they are the batch's."""
    if node.attribute("training_mode", 0) or len(node.proto.output) > 1 or node.opset < 7:
        raise Unproved("computes across the batch in training mode")
    if node.rank() < 2:
        raise Unproved("fewer than two axes")
    return [node.only_first_is_rows()]


@rule("Einsum")
def einsum(node: Node) -> Sequence[Value]:
    """One letter leads every operand of rows and the result, and names nothing else."""
    equation = node.attribute("equation", b"").decode().replace(" ", "")
    operands, arrow, result = equation.partition("->")
    terms = operands.split(",")
    if not arrow or "." in equation or not result or len(terms) != len(node.inputs):
        raise Unproved("an equation that is implicit or has an ellipsis")
    batch = result[0]
    for term, value in zip(terms, node.inputs, strict=True):
        leads = term[:1] == batch and term.count(batch) == 1
        if not (leads if isinstance(value, Rows) else isinstance(value, Fixed) and batch not in term):
            raise Unproved("rows are multiplied with each other")
    rows = [value for value in node.inputs if isinstance(value, Rows)]
    if any(value.lead != rows[0].lead for value in rows) or result.count(batch) != 1:
        raise Unproved("rows of different shapes are multiplied")
    return [node.same_rank(rows[0], len(result))]


@rule("QuantizeLinear", "DequantizeLinear")
def quantize(node: Node) -> Sequence[Value]:
    """By constant scales, one for all or one per entry of an axis (1 by default)."""
    rows, scale = node.only_first_is_rows(), node.input(1)
    shape = _weights(scale) if isinstance(scale, Fixed) else None
    if shape is None or (len(shape) == 1 and shape != (ONE,) and node.axis(1, node.rank()) == 0) or len(shape) > 1:
        raise Unproved("scales that are not constant along the batch")
    return [rows]


@rule("QLinearMatMul")
def quantized_matmul(node: Node) -> Sequence[Value]:
    """a, its scale and zero point; b, its scale and zero point; the result's."""
    rows, rank = node.only_first_is_rows(), node.rank()
    weights = node.input(3)
    scales = [node.input(index) for index in (1, 4, 6)]
    if not isinstance(weights, Fixed) or rank < 2 or len(_weights(weights)) != 2:
        raise Unproved("the weights reach across the batch's axis")
    if any(not isinstance(scale, Fixed) or _weights(scale) not in ((), (ONE,)) for scale in (scales[0], scales[2])):
        raise Unproved("scales per row")
    return [node.same_rank(rows, rank)]


def _weights(value: Fixed) -> Dims:
    if value.dims is None:
        raise Unproved("the shape of the weights is not known")
    return value.dims


def _multiplied(left: Rows, rank: int, right: Dims | None) -> Rows:
    """The result's shape; axes between the first and the last two are broadcast and left unknown if there are any."""
    tail = left.tail or ()
    last = right[-1] if right else fresh()
    if rank == 2:
        return Rows(left.lead, (last,))
    middle = tail[:-2] if rank == 3 else tuple(fresh() for _ in tail[:-2])
    return Rows(left.lead, (*middle, tail[-2], last))
