"""The model's file read before ONNX Runtime reads it: its external data checked, its ZipMaps taken out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

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
    """The model in `file`, held in memory whole. Raises `StartupFailure`: `ModelInvalid`, `UnsupportedSignature`."""
    try:
        # Not onnx.load, which takes JSON or text for a file name that ends so.
        graph = onnx.ModelProto.FromString(file.read_bytes())
    except Exception:  # protobuf's errors, and MemoryError
        return Prepared(None)
    outside = external_data(graph, file)
    labels = remove_zipmaps(graph)
    if not labels:
        forget_weights(graph)  # before ONNX Runtime reads them: they needn't be in memory twice
        return Prepared(graph)
    if outside:
        # From bytes ONNX Runtime would look for the data from its working directory on.
        raise StartupFailure(
            Reason.UNSUPPORTED_SIGNATURE,
            f'output "{next(iter(labels))}" comes from a ZipMap, which is taken out of models in one file only; '
            "export with zipmap=False, or without external data",
        )
    content = graph.SerializeToString()
    forget_weights(graph)
    return Prepared(graph, content, labels)
