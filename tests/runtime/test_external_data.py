"""Weights beside the model: what leaves the model's directory is refused, what stays inside is used."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.loading import Findings
from tidegate_runtime.model.vetting import Task, load_vetted, vet

File = Callable[[Path], onnx.ModelProto]
"""What is to be in the model's file; puts other files beside it and in the folder above."""

X = "(float[N,4] x) => (float[N,4] y)"
OUTSIDE = np.arange(4, dtype=np.float32).tobytes()


def tried(folder: Path, model: onnx.ModelProto) -> Findings:
    """The file's trial in a child process."""
    path = folder / "model" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return vet(Task(str(path), "cpu", 1, 8))


def weights_at(location: str, place: Callable[[Path], object] = lambda _: None, **entries: str) -> File:
    """y = x + w, where w lies at `location`; `place` puts what is needed there, given the folder above the model's."""

    def build(folder: Path) -> onnx.ModelProto:
        (folder / "outside.bin").write_bytes(OUTSIDE)
        (folder / "model" / "weights").mkdir(parents=True)
        (folder / "model" / "weights" / "w.bin").write_bytes(OUTSIDE)
        place(folder)
        text = f'<ir_version: 8, opset_import: ["": 18]> graph {X} {{ y = Add(x, w) }}'
        model: onnx.ModelProto = parser.parse_model(text)
        weights = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            weights.external_data.add(key=key, value=value)
        return model

    return build


def linked(folder: Path) -> None:
    os.link(folder / "outside.bin", folder / "model" / "linked.bin")


def symlinked(folder: Path) -> None:
    (folder / "model" / "linked.bin").symlink_to("../outside.bin")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "model" / "fifo")


REFUSED = [
    pytest.param(weights_at("../outside.bin"), "ModelInvalid", "escapes the model's directory", id="1 data at ../"),
    pytest.param(weights_at("weights/../../outside.bin"), "ModelInvalid", "escapes", id="1 data at x/../../"),
    pytest.param(weights_at("/dev/zero"), "ModelInvalid", "must be a path relative", id="1 data at /dev/zero"),
    pytest.param(weights_at("/proc/self/environ"), "ModelInvalid", "relative", id="1 data at /proc/self/environ"),
    pytest.param(weights_at(""), "ModelInvalid", "must be a path relative", id="1 data nowhere"),
    pytest.param(
        weights_at("linked.bin", symlinked), "ModelInvalid", "through a symbolic link", id="2 a symbolic link"
    ),
    pytest.param(weights_at("linked.bin", linked), "ModelInvalid", "is a hard link", id="3 a hard link"),
    pytest.param(
        weights_at("*/_ORT_MEM_ADDR_/*", offset="1234"), "ModelInvalid", "does not exist", id="4 an address in memory"
    ),
    pytest.param(
        weights_at("weights/w.bin", offset="8", length="16"), "ModelInvalid", "has 16 bytes", id="5 data past the end"
    ),
    pytest.param(weights_at("weights/w.bin", offset="-8"), "ModelInvalid", "from -8 on", id="5 a negative offset"),
    pytest.param(weights_at("weights/w.bin", length="8"), "ModelInvalid", "size mismatch", id="5 length unlike dims"),
    pytest.param(
        weights_at("weights/w.bin", offset="x"), "ModelInvalid", "is no number", id="5 an offset that is none"
    ),
    pytest.param(weights_at("fifo", fifo), "ModelInvalid", "is not a regular file", id="5 data in a FIFO"),
    pytest.param(weights_at("absent.bin"), "ModelInvalid", "does not exist", id="5 data that are missing"),
    pytest.param(weights_at("weights/w.bin", foo="1"), "ModelInvalid", "model format error", id="6 an odd key"),
]


@pytest.mark.parametrize(("file", "reason", "message"), REFUSED)
def test_refused_is(file: File, reason: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        tried(tmp_path, file(tmp_path))
    assert failure.value.reason == reason
    assert str(tmp_path) not in failure.value.message
    assert "onnxruntime_src" not in failure.value.message
    assert failure.value.message.isprintable()


TAKEN = [
    pytest.param(weights_at("weights/w.bin"), id="external data inside the model's directory"),
    pytest.param(weights_at("weights/../weights/w.bin"), id="external data that go out of a folder and in again"),
    pytest.param(
        weights_at("linked.bin", lambda folder: (folder / "model" / "linked.bin").symlink_to("weights/w.bin")),
        id="external data behind a symbolic link that stays inside",
    ),
]


@pytest.mark.parametrize("file", TAKEN)
def test_taken_is(file: File, tmp_path: Path) -> None:
    assert tried(tmp_path, file(tmp_path)).warm.verdict.batched


def test_external_data_inside_the_models_directory_are_used(tmp_path: Path) -> None:
    content = weights_at("weights/w.bin")(tmp_path)
    (tmp_path / "model" / "model.onnx").write_bytes(content.SerializeToString())
    loaded = load_vetted(tmp_path / "model", "cpu", 1, 8, measure_seconds=0)
    (answer,) = loaded.session.run({"x": np.zeros((1, 4), np.float32)}, None)
    assert answer.tolist() == [[0, 1, 2, 3]]
