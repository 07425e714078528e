"""The model's file read before ONNX Runtime reads it: its external data checked, its ZipMaps taken out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.external_data import external_data
from tidegate_runtime.model.rowflow.analysis import forget_weights
from tidegate_runtime.model.zipmap import remove_zipmaps
from tidegate_runtime.naming import Reason


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found in the file.

    `graph` has no large weights, and is None if protobuf can't read it. `content` is the changed model, for ONNX
    Runtime to open in the file's place, None where the file itself will do. `labels` names classes by output.
    """

    graph: onnx.ModelProto | None
    content: bytes | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def prepare(file: Path) -> Prepared:
    """The model in `file`. Raises `StartupFailure`: `ModelInvalid`, `ModelTooLarge`, `UnsupportedSignature`."""
    try:
        graph = _read(file)
    except DecodeError:
        return Prepared(None)
    except MemoryError:
        why = f"{file.name}: memory can't be had while reading it; raise the memory limit"
        raise StartupFailure(Reason.MODEL_TOO_LARGE, why) from None
    outside = external_data(graph, file)
    labels = remove_zipmaps(graph)
    if not labels:
        return Prepared(_light(graph))
    if outside:
        # From bytes ONNX Runtime would look for the data from its working directory on.
        raise StartupFailure(
            Reason.UNSUPPORTED_SIGNATURE,
            f'output "{next(iter(labels))}" comes from a ZipMap, which is taken out of models in one file only; '
            "export with zipmap=False, or without external data",
        )
    content = graph.SerializeToString()
    return Prepared(_light(graph), content, labels)


def _read(file: Path) -> onnx.ModelProto:
    # Not onnx.load, which takes JSON or text for a file name that ends so, and copies the file first.
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as mapped, memoryview(mapped) as view:
        content: Any = view  # protobuf takes any buffer, its stubs bytes alone
        return onnx.ModelProto.FromString(content)


def _light(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without what its analysis has no use for, so that ONNX Runtime's copy is the only one in memory.

    A copy, since a protobuf message keeps the memory of what is taken out of it.
    """
    forget_weights(graph)
    del graph.metadata_props[:]
    light = onnx.ModelProto()
    light.CopyFrom(graph)
    return light
