"""scikit-learn's ZipMap, which turns a classifier's scores into a list of dictionaries, taken out of a graph. Pure.

The protocol has no dictionaries. The scores themselves, FP32 [N, classes], and the names of the classes say the same.
"""

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

Labels = Mapping[str, tuple[str, ...]]
"""Output name → the names of its classes, in the order of its last axis."""


def remove_zipmaps(model: onnx.ModelProto) -> Labels:
    """Changes `model`: outputs of a ZipMap become the scores that went into it, under the output's name.

    Empty if there are none. A ZipMap whose output goes on into another operator stays.
    """
    graph = model.graph
    outputs = {info.name: info for info in graph.output}
    taken = {name for node in graph.node for name in node.input}
    labels: dict[str, tuple[str, ...]] = {}
    for node in [node for node in graph.node if (node.domain, node.op_type) == ("ai.onnx.ml", "ZipMap")]:
        if len(node.input) != 1 or len(node.output) != 1 or node.output[0] not in outputs or node.output[0] in taken:
            continue
        name, classes = node.output[0], _classes(node)
        if not classes:
            continue
        labels[name] = classes
        shape = [_lead(graph), len(classes)]
        outputs[name].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        # An Identity rather than new names: the scores may be an output of their own, or feed another operator.
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [name], name=node.name))
    if labels and not any(imported.domain in {"", "ai.onnx"} for imported in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 13))
    return labels


def _classes(node: onnx.NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return tuple(label.decode(errors="replace") for label in attribute.strings)
        if attribute.name == "classlabels_int64s":
            return tuple(str(label) for label in attribute.ints)
    return ()


def _lead(graph: onnx.GraphProto) -> str | None:
    """The name of the first input's leading dimension, since a row of scores belongs to a row of input."""
    dims = graph.input[0].type.tensor_type.shape.dim if graph.input else ()
    return (dims[0].dim_param or None) if dims else None
