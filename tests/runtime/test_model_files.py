"""Model files that are broken, hostile or odd, one test for each kind, tried out as a server tries them."""

import io
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.loading import Findings
from tidegate_runtime.model.vetting import Task, vet

Content = onnx.ModelProto | bytes
File = Callable[[Path], Content]
"""What is to be in the model's file."""

MIB = 1 << 20
X = "(float[N,4] x) => (float[N,4] y)"
OUTSIDE = np.arange(4, dtype=np.float32).tobytes()


def tried(folder: Path, content: Content, **limits: Any) -> Findings:
    """The file's trial in a child process that may take 2 GiB of memory."""
    directory = folder / "model"
    directory.mkdir(exist_ok=True)
    path = directory / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return vet(Task(str(path), "cpu", 1, **({"max_rows": 8, "available_bytes": 2048 * MIB} | limits)))


def parsed(graph: str, opsets: str = '"": 18, "ai.onnx.ml": 3', ir: int = 8) -> onnx.ModelProto:
    model: onnx.ModelProto = parser.parse_model(f"<ir_version: {ir}, opset_import: [{opsets}]> graph {graph}")
    return model


def graph(text: str, **versions: Any) -> File:
    return lambda _: parsed(text, **versions)


def declaring(dims: Sequence[int], raw: bytes) -> File:
    """y = x + w, where w says that it has `dims` and has `raw`."""

    def build(_: Path) -> Content:
        model = parsed(X + "{ y = Add(x, w) }")
        model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=raw)
        return model

    return build


def cut_short(_: Path) -> Content:
    model = parsed(X + "{ y = Add(x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "w"))
    content: bytes = model.SerializeToString()
    return content[: len(content) // 2]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"")
    return buffer.getvalue()


def tarred(mode: Literal["w", "w:gz"]) -> bytes:
    """With a member whose name leads out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("../model.onnx"))
    return buffer.getvalue()


def recursive(_: Path) -> Content:
    model = parsed(X + "{ y = acme.F(x) }", opsets='"": 18, "acme": 1')
    body = [helper.make_node("F", ["a"], ["b"], domain="acme")]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("acme", 1)]
    model.functions.append(helper.make_function("acme", "F", ["a"], ["b"], body, opsets))
    return model


def nested(_: Path) -> Content:
    """40 Ifs inside each other, put together by hand, since no protobuf library reads or copies messages that deep."""

    def field(number: int, payload: bytes) -> bytes:
        length, size = b"", len(payload)
        while size > 127:
            length, size = length + bytes([size % 128 + 128]), size // 128
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    inner = b""
    for _level in range(40):
        branch = field(5, field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05")
        inner = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + branch)
    return b"\x08\x08" + field(7, inner)


def taking(kind: onnx.TypeProto, node: onnx.NodeProto) -> File:
    def build(_: Path) -> Content:
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
        body = helper.make_graph([node], "graph", [helper.make_value_info("x", kind)], [output])
        model: onnx.ModelProto = helper.make_model(body, opset_imports=opsets, ir_version=8)
        return model

    return build


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
SEQUENCE = helper.make_sequence_type_proto(FLOATS)
MAP = helper.make_map_type_proto(TensorProto.INT64, FLOATS)
OPTIONAL = helper.make_optional_type_proto(FLOATS)
CAST_MAP = helper.make_node("CastMap", ["x"], ["y"], domain="ai.onnx.ml", cast_to="TO_FLOAT")

REFUSED = [
    pytest.param(lambda _: b"", "ModelInvalid", "is empty", id="7 an empty file"),
    pytest.param(cut_short, "ModelInvalid", "Protobuf parsing failed", id="7 a truncated file"),
    pytest.param(
        lambda _: np.random.default_rng(0).bytes(4096), "ModelInvalid", "not a valid ONNX model", id="7 random bytes"
    ),
    pytest.param(lambda _: pickle.dumps({"a": 1}), "ModelInvalid", "a Python pickle", id="7 a pickle"),
    pytest.param(graph(X + "{ y = Frob(x) }"), "ModelInvalid", "No Op registered for Frob", id="8 an unknown operator"),
    pytest.param(
        graph(X + "{ y = acme.Frob(x) }", opsets='"": 18, "acme": 1'), "ModelInvalid", "acme:Frob", id="8 a domain"
    ),
    pytest.param(graph(X + "{ y = Relu(x) }", opsets='"": 999'), "ModelInvalid", "Opset 999", id="8 opset 999"),
    pytest.param(graph(X + "{ y = Relu(x) }", ir=999), "ModelInvalid", "IR version: 999", id="8 IR version 999"),
    pytest.param(
        graph(X + "{ a = Add(x, b) b = Add(x, a) y = Relu(b) }"), "ModelInvalid", "not acyclic", id="9 a cycle"
    ),
    pytest.param(graph(X + "{ y = Relu(x) y = Abs(x) }"), "ModelInvalid", "Duplicate definition", id="9 a name twice"),
    pytest.param(recursive, "ModelInvalid", "must not be recursive", id="9 a recursive function"),
    pytest.param(nested, "ModelInvalid", "not a valid ONNX model", id="9 forty nested Ifs"),
    pytest.param(
        graph(X + "<int64[1] s={1099511627776}> { z = ConstantOfShape(s) m = ReduceMax(z) y = Add(x, m) }"),
        "WarmupFailed",
        r'ConstantOfShape operator "": a buffer of 4398046511104 bytes can\'t be had',
        id="11 a constant of 4 TiB",
    ),
    pytest.param(
        graph(X + "<int64[1] s={805306368}> { z = ConstantOfShape(s) m = ReduceMax(z) y = Add(x, m) }"),
        "WarmupFailed",
        "a buffer of 3221225472 bytes can't be had",
        id="11 a constant of 3 GiB where there are 2",
    ),
    pytest.param(declaring([-4], OUTSIDE), "ModelInvalid", "Out of bounds dimensions", id="12 a negative size"),
    pytest.param(declaring([1 << 62, 8], OUTSIDE), "ModelInvalid", "Incompatible dim", id="12 sizes that overflow"),
    pytest.param(declaring([4], OUTSIDE[:8]), "ModelInvalid", "does not match expected size", id="12 short data"),
    pytest.param(
        graph("(float[N,4] x) => (float[N,1] y) <int64[1] i={-10}> { y = ai.onnx.ml.ArrayFeatureExtractor(x, i) }"),
        "WarmupFailed",
        "index is out of range",
        id="13 ArrayFeatureExtractor with index -10",
    ),
    pytest.param(
        taking(SEQUENCE, helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)),
        "UnsupportedSignature",
        r'input "x" is seq\(tensor\(float\)\)',
        id="15 a sequence",
    ),
    pytest.param(taking(MAP, CAST_MAP), "UnsupportedSignature", r'input "x" is map\(int64', id="15 a map"),
    pytest.param(
        taking(OPTIONAL, helper.make_node("OptionalGetElement", ["x"], ["y"])),
        "UnsupportedSignature",
        r'input "x" is optional\(tensor\(float\)\)',
        id="15 an optional",
    ),
    pytest.param(
        graph(X + "<float[1] w={nan}> { y = Mul(x, w) }"), "WarmupFailed", "every output is NaN", id="21 weights of NaN"
    ),
    pytest.param(
        graph(
            "(float[N,4] x) => (int64[3] y) <int64 a={0}, int64 b={1}>"
            "{ s = Shape(x) n = ReduceSum<keepdims=0>(s) y = Range(a, n, b) }"
        ),
        "UnsupportedSignature",
        r'output "y" is declared with shape \[3\] but has \[5\]',
        id="21 sizes unlike those declared",
    ),
]


@pytest.mark.parametrize(("file", "reason", "message"), REFUSED)
def test_refused_is(file: File, reason: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        tried(tmp_path, file(tmp_path))
    assert failure.value.reason == reason
    assert str(tmp_path) not in failure.value.message
    assert "onnxruntime_src" not in failure.value.message
    assert failure.value.message.isprintable()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(tarred("w"), "a tar archive", id="tar"),
        pytest.param(tarred("w:gz"), "a gzip archive", id="tar.gz"),
        pytest.param(zipped(), "a zip archive", id="zip"),
    ],
)
def test_row_17_an_archive_is_refused_by_its_kind(content: bytes, kind: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=f"model.onnx is {kind}") as failure:
        tried(tmp_path, content)
    assert failure.value.reason == "ModelInvalid"
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "model.onnx"]


def test_row_19_a_library_beside_the_model_is_never_loaded(serve: Any, double: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    loaded = str(import_module("numpy._core._multiarray_umath").__file__)
    library = shutil.copy(loaded, tmp_path / "model" / "libacme.so")
    with pytest.raises(StartupFailure, match="acme:Frob") as failure:
        tried(tmp_path, parsed(X + "{ y = acme.Frob(x) }", opsets='"": 18, "acme": 1'))
    assert failure.value.reason == "ModelInvalid"
    onnx.save(double, tmp_path / "model" / "model.onnx")
    with serve(tmp_path / "model", "--isolate") as process:
        (engine,) = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
        for pid in (process.popen.pid, engine):
            mapped = Path(f"/proc/{pid}/maps").read_text()
            assert loaded in mapped
            assert str(library) not in mapped


def test_refused_is_10_a_loop_without_end(endless: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="no end within 1 s; does the graph loop forever") as failure:
        tried(tmp_path, endless, run_seconds=1)
    assert failure.value.reason == "WarmupFailed"


def test_refused_is_10_a_loop_without_end_that_its_graph_does_not_show_and_told_soon(
    endless: onnx.ModelProto, tmp_path: Path
) -> None:
    with pytest.raises(StartupFailure, match=r'no end within 8 s; does the loop "y" go on forever'):
        tried(tmp_path, endless)


def test_refused_is_11_a_largest_batch_that_memory_does_not_do_for(tmp_path: Path) -> None:
    wide = "(float[N,1] x) => (float[N,1] y) <int64[2] s={1,2097152}, int64[1] a={1}>"
    model = parsed(wide + "{ e = Expand(x, s) y = ReduceMax(e, a) }")
    assert tried(tmp_path, model, max_rows=8, available_bytes=512 * MIB).warm.verdict.batched
    with pytest.raises(
        StartupFailure, match=r"with the largest batch, 128 rows: .*a smaller --max-batch-size"
    ) as failure:
        tried(tmp_path, model, max_rows=128, available_bytes=512 * MIB)
    assert failure.value.reason == "WarmupFailed"


def test_refused_is_20_a_name_of_control_characters_and_shown_without_them(tmp_path: Path) -> None:
    model = parsed("(float[N,4] x) => (float[M,3] y) <int64[2] s={-1,3}> { y = Reshape(x, s) }")
    model.graph.node[0].name = "\x1b[31m\n" + "a" * 10_000
    with pytest.raises(StartupFailure, match=r'Reshape operator "\\x1b\[31m\\naaa') as failure:
        tried(tmp_path, model)
    assert failure.value.message.isprintable()
    assert len(failure.value.message) < 400


TAKEN = [
    pytest.param(
        graph(X + "{ a = Abs(x) n = Neg(a) y = Sqrt(n) }"), id="21 an answer of NaN to all random numbers, but not to 0"
    ),
    pytest.param(graph(X + "<float[4] w={nan,1,1,1}> { y = Mul(x, w) }"), id="21 one weight of NaN"),
]


@pytest.mark.parametrize("file", TAKEN)
def test_taken_is(file: File, tmp_path: Path) -> None:
    assert tried(tmp_path, file(tmp_path)).warm.verdict.batched


def test_taken_is_20_a_model_with_50_mb_of_metadata(double: onnx.ModelProto, tmp_path: Path) -> None:
    double.metadata_props.add(key="notes\x1b[2J", value="x" * 50_000_000)
    assert tried(tmp_path, double).warm.verdict.batched
