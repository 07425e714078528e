import numpy as np
import orjson
import pytest

from bench.bodies import V2_BINARY, V2_GRPC, V2_JSON, Form, encoded, single_rows
from bench.models import MODELS, Model

ROW = {"x": np.array([[0.1, -2.0]], np.float32)}
TOKENS = {"ids": np.array([[7, 300]]), "mask": np.array([[1, 0]])}


def test_json_holds_the_shortest_text_of_each_float() -> None:
    expected = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0.1,-2.0]}]}'
    assert encoded(V2_JSON, "m", ROW) == (0, expected)


def test_a_binary_body_is_json_of_the_stated_length_and_then_the_tensor() -> None:
    length, body = encoded(V2_BINARY, "m", ROW)
    head = orjson.loads(body[:length])
    assert head["inputs"] == [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
    ]
    assert head["parameters"] == {"binary_data_output": True}
    assert body[length:] == ROW["x"].tobytes()


def test_a_grpc_message_is_what_the_protocol_states() -> None:
    # model_name "m"; inputs {name "ids", datatype "INT64", shape [1, 2]}; raw_input_contents of 16 bytes.
    tensor = b"\x0a\x03ids\x12\x05INT64\x1a\x02\x01\x02"
    message = b"\x0a\x01m" + b"\x2a\x10" + tensor + b"\x3a\x10" + TOKENS["ids"].tobytes()
    assert encoded(V2_GRPC, "m", {"ids": TOKENS["ids"]}) == (0, message)


def test_lengths_past_127_take_two_bytes() -> None:
    _, message = encoded(V2_GRPC, "m", {"x": np.zeros((1, 300), np.float32)})
    assert b"\x1a\x03\x01\xac\x02" in message
    assert b"\x3a\xb0\x09" + bytes(1200) in message


@pytest.mark.parametrize(
    ("row", "body"),
    [(ROW, b'{"x":[[0.1,-2.0]]}'), (TOKENS, b'{"x":[[[7,300],[1,0]]]}')],
    ids=["one tensor", "two, stacked after the row"],
)
def test_arrays_are_nested(row: dict[str, np.ndarray], body: bytes) -> None:
    assert encoded(Form("http", "array", "array", "/"), "m", row) == (0, body)


def test_a_deadline_is_a_parameter_of_the_request() -> None:
    form = Form("http", "v2-json", "json", "/", parameters={"timeout": 500_000})
    assert orjson.loads(encoded(form, "m", ROW)[1])["parameters"] == {"timeout": 500_000}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_request_differs(model: Model) -> None:
    rows = [b"".join(value.tobytes() for value in row.values()) for row in single_rows(model, 64)]
    assert len(set(rows)) == 64


def test_mixed_requests_alternate_between_two_shapes() -> None:
    shapes = [row["input_ids"].shape for row in single_rows(MODELS["minilm-mixed"], 4)]
    assert shapes == [(1, 32), (1, 31), (1, 32), (1, 31)]
