"""Weights that lie in files beside the model: each must be a file of the model's own directory, and whole.

ONNX Runtime refuses locations that lead out of the directory, but reads a hard link, which may be any file of the same
volume (CVE-2026-34446), and what it says of the others holds the host's paths. So they are looked at before.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import onnx

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.naming import Reason


def external_data(model: onnx.ModelProto, file: Path) -> bool:
    """Whether any tensor of the model in `file` lies outside of it, all of them being where they may be.

    Raises `StartupFailure` with `ModelInvalid` for a location that leaves the model's directory, by name or by a
    symbolic link, a hard link, anything but a file, and one that is missing or too short.
    """
    directory = file.parent.resolve()
    checked: dict[str, int] = {}
    found = False
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            found = True
            entries = {entry.key: entry.value for entry in tensor.external_data}
            location = entries.get("location", "")
            if location not in checked:
                checked[location] = _size(directory, location, tensor.name)
            _check_extent(entries, checked[location], tensor.name)
    return found


def _size(directory: Path, location: str, tensor: str) -> int:
    if not location or "\0" in location or PurePosixPath(location).is_absolute():
        raise _refused(tensor, location, "must be a path relative to the model's directory")
    path = Path(os.path.normpath(directory / location))
    if not path.is_relative_to(directory):
        raise _refused(tensor, location, "escapes the model's directory")
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError):  # a link to itself is a RuntimeError
        raise _refused(tensor, location, "does not exist or can't be read; was it left behind?") from None
    if not target.is_relative_to(directory):
        raise _refused(tensor, location, "escapes the model's directory through a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise _refused(tensor, location, "is not a regular file")
    if status.st_nlink > 1:
        raise _refused(tensor, location, "is a hard link, so it may be a file of someone else; copy it instead")
    return status.st_size


def _check_extent(entries: dict[str, str], size: int, tensor: str) -> None:
    location = entries.get("location", "")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    except ValueError:
        raise _refused(tensor, location, "has an offset or a length that is no number") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise _refused(tensor, location, f"has {size} bytes, the tensor asks for {length} from {offset} on")


def _refused(tensor: str, location: str, why: str) -> StartupFailure:
    where = f'external data "{printable(location, 100)}" of tensor "{printable(tensor, 100)}"'
    return StartupFailure(Reason.MODEL_INVALID, f"{where} {why}")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, those inside attributes, subgraphs and functions included."""
    yield from _of_graph(model.graph)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)
    for function in model.functions:
        yield from _of_nodes(function.node)
        for attribute in function.attribute_proto:
            yield from _of_attribute(attribute)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    if attribute.HasField("g"):
        yield from _of_graph(attribute.g)
    for graph in attribute.graphs:
        yield from _of_graph(graph)
