"""Operators that work element by element, with broadcasting."""

from collections.abc import Sequence

from tidegate_runtime.model.rowflow.node import Node, rule
from tidegate_runtime.model.rowflow.values import ONE, Dim, Dims, Rows, Unproved, Value, constant_shape, fresh


@rule("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike", "Ceil", "Celu")
@rule("Clip", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf")
@rule("IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid")
@rule("Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu")
@rule("Gelu", "QuickGelu", domain="com.microsoft")
@rule("LabelEncoder", domain="ai.onnx.ml")
def one_to_one(node: Node) -> Sequence[Value]:
    """One output element per input element; further inputs (bounds, types) are parameters."""
    return [node.only_first_is_rows()]


@rule("Dropout")
def dropout(node: Node) -> Sequence[Value]:
    """The identity outside of training."""
    training = node.constant(2)
    if node.opset < 7 or (training is not None and training.any()):
        raise Unproved("training mode")
    return [node.only_first_is_rows()] * len(node.proto.output)


@rule("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual")
@rule("Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor")
@rule("BiasGelu", "FastGelu", domain="com.microsoft")
def broadcast(node: Node) -> Sequence[Value]:
    """Operands are aligned at the last axis: axis 0 stays the batch only if none has more axes than the rows."""
    if node.opset < 7:
        raise Unproved("broadcasting by attributes, of operator sets below 7")
    present = [value for value in node.inputs if value is not None]
    rows = [value for value in present if isinstance(value, Rows)]
    lead = rows[0].lead
    if any(value.lead != lead for value in rows) or len({value.rank for value in rows}) > 1:
        raise Unproved("rows of different shapes are broadcast against each other")
    shapes = [constant_shape(value) for value in present if not isinstance(value, Rows)]
    if rows[0].tail is None:
        if len(rows) > 1 or any(shapes):
            raise Unproved("the rank of the rows is not known")
        return [rows[0]]
    rank = 1 + len(rows[0].tail)
    if any(len(shape) > rank or (len(shape) == rank and shape[0] != ONE) for shape in shapes):
        raise Unproved("a constant reaches across the batch's axis")
    tails = [value.tail or () for value in rows] + [shape[-(rank - 1) :] if rank > 1 else () for shape in shapes]
    return [Rows(lead, tuple(_broadcast_dim(tails, axis - rank) for axis in range(1, rank)))]


def _broadcast_dim(tails: Sequence[Dims], axis: int) -> Dim:
    """The size that operands agree on at an axis counted from the back."""
    sizes = {tail[axis] for tail in tails if len(tail) >= -axis} - {ONE}
    if not sizes:
        return ONE
    return sizes.pop() if len(sizes) == 1 else fresh()
