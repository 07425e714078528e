"""Request bodies in each form that a server takes, and what has to come back. Pure but for `prepare`."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson

from bench.models import Array, Model, Rows
from bench.paths import cache, digest

# As it was when it was loaded, so that a file edited meanwhile doesn't lend its name to old content.
_SOURCE = Path(__file__).read_bytes()
COUNT = 1024
DATATYPES = {"float32": "FP32", "int64": "INT64"}


@dataclass(frozen=True)
class Form:
    """How a server is spoken to.

    Attributes:
        transport: `http` or `grpc`.
        body: `v2-json`, `v2-binary`, `v2-grpc`, `array` (`{"x": [[…]]}`, inputs stacked) or `raw` (the inputs' bytes).
        answer: what the load generator reads: `json`, `array`, `binary`, `raw`, `grpc`, `none`.
        path: of the URL; `{model}` is the model's name.
        parameters: of a V2 request.
    """

    transport: str
    body: str
    answer: str
    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


V2_PATH = "/v2/models/{model}/infer"
V2_JSON = Form("http", "v2-json", "json", V2_PATH)
V2_BINARY = Form("http", "v2-binary", "binary", V2_PATH)
V2_GRPC = Form("grpc", "v2-grpc", "grpc", "/inference.GRPCInferenceService/ModelInfer")

_CONTENT_TYPES = {"v2-json": "application/json", "array": "application/json"}


def encoded(form: Form, model: str, row: Rows) -> tuple[int, bytes]:
    """A request for one row: the length of the JSON in front of a binary V2 body (else 0), and the body."""
    match form.body:
        case "v2-json":
            tensors = [_described(name, value) | {"data": _numbers(value.ravel())} for name, value in row.items()]
            return 0, orjson.dumps(_with(form, {"inputs": tensors}))
        case "array":
            values = list(row.values())
            return 0, orjson.dumps({"x": _numbers(values[0] if len(values) == 1 else np.stack(values, axis=1))})
        case "raw":
            return 0, b"".join(value.tobytes() for value in row.values())
        case "v2-binary":
            sized = [
                _described(name, value) | {"parameters": {"binary_data_size": value.nbytes}}
                for name, value in row.items()
            ]
            wanted = {"binary_data_output": True, **form.parameters}
            head = orjson.dumps({"inputs": sized, "parameters": wanted})
            return len(head), head + b"".join(value.tobytes() for value in row.values())
        case "v2-grpc":
            return 0, _message(model, row)
    raise ValueError(f"no such form of a body: {form.body}")


def _with(form: Form, request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "parameters": dict(form.parameters)} if form.parameters else request


def _described(name: str, value: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(value.shape), "datatype": DATATYPES[value.dtype.name]}


def _numbers(value: Array) -> Any:
    """Floats as the shortest text that gives the same float32, so `0.1` and not `0.10000000149011612`."""
    if value.dtype != np.float32:
        return value.tolist()
    return np.array([float(str(item)) for item in value.ravel()]).reshape(value.shape).tolist()


def _message(model: str, row: Rows) -> bytes:
    """inference.ModelInferRequest: model_name 1, inputs 5 {name 1, datatype 2, shape 3}, raw_input_contents 7."""
    tensors = b""
    for name, value in row.items():
        shape = b"".join(_varint(size) for size in value.shape)
        tensor = _field(1, name.encode()) + _field(2, DATATYPES[value.dtype.name].encode()) + _field(3, shape)
        tensors += _field(5, tensor)
    return _field(1, model.encode()) + tensors + b"".join(_field(7, value.tobytes()) for value in row.values())


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def single_rows(model: Model, count: int = COUNT) -> Iterator[Rows]:
    """`count` requests of one row; with `alternating`, every other one is a column shorter."""
    drawn = model.rows(np.random.default_rng(7), count)
    for number in range(count):
        row = {name: values[number : number + 1] for name, values in drawn.items()}
        yield {name: value[:, :-1] for name, value in row.items()} if model.alternating and number % 2 else row


@dataclass(frozen=True)
class Expected:
    """Answers of ONNX Runtime to `single_rows`, asked one by one: per output a matrix, requests × values. Cached."""

    outputs: Mapping[str, Array]

    @classmethod
    def of(cls, model: Model) -> "Expected":
        path = cache() / "expected" / f"{model.name}-{digest(_SOURCE, model.path().read_bytes())}.npz"
        if path.exists():
            return cls(dict(np.load(path)))
        session = onnxruntime.InferenceSession(model.path(), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = [session.run(names, row) for row in single_rows(model)]
        expected = {name: np.stack([a[i].ravel() for a in answers]) for i, name in enumerate(names)}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, allow_pickle=False, **expected)
        return cls(expected)

    def floats(self) -> bytes:
        """All outputs of each request after one another, as the load generator reads them."""
        return np.concatenate(list(self.outputs.values()), axis=1).astype("<f4").tobytes()


def prepare(model: Model, form: Form, served_as: str) -> Path:
    """The folder that the load generator is given, made if it isn't there; load/workload.go says what is in it."""
    sources = [_SOURCE, model.path().read_bytes()]
    folder = cache() / "workloads" / f"{model.name}-{form.body}-{digest(*sources, model.name, served_as, repr(form))}"
    if (folder / "workload.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    expected = Expected.of(model)
    with (folder / "bodies.bin").open("wb") as bodies:
        for row in single_rows(model):
            head, body = encoded(form, served_as, row)
            bodies.write(struct.pack("<II", head, len(body)) + body)
    (folder / "expected.f32").write_bytes(expected.floats() if form.answer != "none" else b"")
    outputs = [
        {"name": name, "elements": values.shape[1], "absolute": model.absolute, "relative": model.relative}
        for name, values in expected.outputs.items()
    ]
    description = _description(form, served_as, outputs if form.answer != "none" else [])
    (folder / "workload.json").write_text(json.dumps(description, indent=1))
    return folder


def _description(form: Form, served_as: str, outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "protocol": form.transport,
        "path": form.path.format(model=served_as),
        "headers": {"Content-Type": _CONTENT_TYPES.get(form.body, "application/octet-stream")},
        "answer": form.answer,
        "outputs": list(outputs),
        "bodies": COUNT,
    }
