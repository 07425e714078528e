"""magika's file-type classifier: the real ONNX model of the demo and the tests, shipped in a PyPI package."""

import functools
import hashlib
import importlib.resources
import json
from typing import Any

import numpy as np

BLOCK = 4096
"""Bytes at either end of a file that are looked at."""


@functools.cache
def model() -> bytes:
    """The model, as the package ships it."""
    found: bytes = _models().joinpath("model.onnx").read_bytes()
    return found


def another_version(version: str) -> bytes:
    """The same model as another file, as a retraining would leave: it differs in what its metadata says."""
    import onnx  # noqa: PLC0415 - half a second that only few of this module's users need

    changed = onnx.load_from_string(model())
    changed.metadata_props.add(key="version", value=version)
    serialized: bytes = changed.SerializeToString()
    return serialized


def contrary() -> bytes:
    """A model that takes the same, and is surest of what the real one deems least likely."""
    import onnx  # noqa: PLC0415 - as above

    changed = onnx.load_from_string(model())
    (output,) = changed.graph.output
    before = f"{output.name}_before"
    for node in changed.graph.node:
        for names in (node.input, node.output):
            renamed = [before if name == output.name else name for name in names]
            del names[:]
            names.extend(renamed)
    changed.graph.node.append(onnx.helper.make_node("Neg", [before], [output.name]))
    serialized: bytes = changed.SerializeToString()
    return serialized


def digest(data: bytes) -> str:
    """The SHA-256 that an InferenceService names a model by."""
    return hashlib.sha256(data).hexdigest()


def features(content: bytes) -> list[int]:
    """The model's input for a file: the bytes at its beginning and at its end, stripped and padded as magika does."""
    config = _config()
    begin, end, padding = config["beg_size"], config["end_size"], config["padding_token"]
    head = content[:BLOCK].lstrip()[:begin]
    tail = content[-BLOCK:].rstrip()[-end:]
    return [*head, *[padding] * (begin - len(head)), *[padding] * (end - len(tail)), *tail]


def request(*contents: bytes) -> dict[str, Any]:
    """The V2 request that asks for the types of files."""
    rows = [features(content) for content in contents]
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "bytes", "datatype": "INT32", "shape": [len(rows), len(rows[0])], "data": data}]}


def label(scores: list[float]) -> tuple[str, float]:
    """The most likely type, and its score, from the model's output for one file."""
    best = int(np.argmax(scores))
    return _config()["target_labels_space"][best], scores[best]


@functools.cache
def _config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_models().joinpath("config.min.json").read_text())
    return found


def _models() -> Any:
    folders = importlib.resources.files("magika").joinpath("models")
    return next(folder for folder in folders.iterdir() if folder.joinpath("model.onnx").is_file())
