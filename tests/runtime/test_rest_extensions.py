"""What REST serves beyond plain JSON, on a running server, one test for each feature."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.integration

INFER = "/v2/models/m/infer"
JSON_LENGTH = "inference-header-content-length"
GOOD = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
FOUR = struct.pack("<4f", 1, 2, 3, 4)
DOUBLED = struct.pack("<4f", 2, 4, 6, 8)


@pytest.fixture(scope="module")
def client(doubling: Any, way: dict[str, str]) -> Iterator[httpx2.Client]:
    headers = {"accept-encoding": "identity", **way}
    with httpx2.Client(base_url=doubling.url(""), timeout=10, headers=headers) as client:
        yield client


def post_binary(client: httpx2.Client, document: Any, blob: bytes) -> httpx2.Response:
    text = json.dumps(document).encode()
    headers = {JSON_LENGTH: str(len(text)), "content-type": "application/octet-stream"}
    return client.post(INFER, content=text + blob, headers=headers)


def split(answer: httpx2.Response) -> tuple[Any, bytes]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[JSON_LENGTH])
    return json.loads(answer.content[:length]), answer.content[length:]


BINARY = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}


@pytest.mark.parametrize(
    "members",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    ],
    ids=["the request", "the output"],
)
def test_binary_tensors_go_in_and_come_out_if_asked_for_by(client: httpx2.Client, members: dict[str, Any]) -> None:
    head, blob = split(post_binary(client, {"inputs": [BINARY]} | members, FOUR))
    assert head["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    ]
    assert blob == DOUBLED


def test_a_binary_request_is_answered_in_json_unless_it_asks_otherwise(client: httpx2.Client) -> None:
    answer = post_binary(client, {"inputs": [BINARY]}, FOUR)
    assert answer.headers["content-type"] == "application/json"
    assert JSON_LENGTH not in answer.headers
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]


def test_nan_and_infinity_pass_in_binary(client: httpx2.Client) -> None:
    request = {"inputs": [BINARY], "parameters": {"binary_data_output": True}}
    _, blob = split(post_binary(client, request, struct.pack("<4f", np.nan, np.inf, 3e38, 0)))
    np.testing.assert_array_equal(np.frombuffer(blob, np.float32), [np.nan, np.inf, np.inf, 0])


def test_a_body_without_json_is_the_one_input_and_the_answer_binary(client: httpx2.Client) -> None:
    _, blob = split(client.post(INFER, content=FOUR, headers={JSON_LENGTH: "0"}))
    assert blob == DOUBLED


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        pytest.param(FOUR[:-1], "16, but 15 bytes are left", id="row 28: too few bytes"),
        pytest.param(FOUR + b"x", "1 bytes at the end", id="row 28: too many bytes"),
    ],
)
def test_refused_is(client: httpx2.Client, blob: bytes, message: str) -> None:
    answer = post_binary(client, {"inputs": [BINARY]}, blob)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_row_28_the_length_of_the_json_given_twice_is_refused(client: httpx2.Client) -> None:
    answer = client.post(INFER, content=FOUR, headers=[(JSON_LENGTH, "0"), (JSON_LENGTH, "16")])
    assert (answer.status_code, "2 times" in answer.json()["error"]) == (400, True)


def test_the_best_classes_of_an_output(client: httpx2.Client) -> None:
    asked = GOOD | {"outputs": [{"name": "y", "parameters": {"classification": 2}}]}
    (output,) = client.post(INFER, json=asked).json()["outputs"]
    assert output == {"name": "y", "datatype": "BYTES", "shape": [1, 2], "data": ["8.0:3", "6.0:2"]}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_taken(client: httpx2.Client, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    answer = client.post(INFER, content=pack(json.dumps(GOOD).encode()), headers={"content-encoding": encoding})
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]
    bomb = client.post(INFER, content=pack(b" " * 65_537), headers={"content-encoding": encoding})
    assert (bomb.status_code, "unpacked" in bomb.json()["error"]) == (413, True)
    broken = client.post(INFER, content=b"{}", headers={"content-encoding": encoding})
    assert (broken.status_code, f"not {encoding}" in broken.json()["error"]) == (400, True)


@pytest.fixture
def wide(model: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """y = x + x on rows of any length."""
    tensor = (TensorProto.FLOAT, ["N", "L"])
    return model([helper.make_node("Add", ["x", "x"], ["y"])], {"x": tensor}, {"y": tensor})


def test_long_answers_are_compressed_for_clients_that_accept_it(
    serve: Callable[..., Any], wide: onnx.ModelProto, way: dict[str, str]
) -> None:
    with serve(wide) as process, httpx2.Client(base_url=process.url(""), timeout=30, headers=way) as client:
        for count, encoding, expected in (
            (4, "gzip", None),
            (2_000, "identity", None),
            (2_000, "gzip;q=0.5, deflate", "deflate"),
            (60_000, "gzip", "gzip"),
        ):
            tensor = {"name": "x", "shape": [1, count], "datatype": "FP32", "data": [0.5] * count}
            for binary in (False, True):
                request = {"inputs": [tensor], "parameters": {"binary_data_output": binary}}
                answer = client.post(INFER, json=request, headers={"accept-encoding": encoding})
                assert answer.headers.get("content-encoding") == expected
                assert answer.headers["vary"] == "Accept-Encoding"
                if binary:
                    assert split(answer)[1] == struct.pack(f"<{count}f", *[1.0] * count)
                else:
                    assert answer.json()["outputs"][0]["data"] == [1.0] * count


def test_bfloat16_goes_through_in_binary_alone(
    serve: Callable[..., Any], model: Callable[..., onnx.ModelProto]
) -> None:
    halves = model(
        [
            helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["wide", "wide"], ["twice"]),
            helper.make_node("Cast", ["twice"], ["y"], to=TensorProto.BFLOAT16),
        ],
        {"x": (TensorProto.BFLOAT16, ["N", 2])},
        {"y": (TensorProto.BFLOAT16, ["N", 2])},
    )
    tensor = {"name": "x", "shape": [1, 2], "datatype": "BF16"}
    sent = np.array([1.5, -3], ml_dtypes.bfloat16)
    with serve(halves) as process, httpx2.Client(base_url=process.url(""), timeout=30) as client:
        assert client.get("/v2/models/m").json()["inputs"][0]["datatype"] == "BF16"
        refused = client.post(INFER, json={"inputs": [tensor | {"data": [1, 2]}]})
        assert (refused.status_code, "binary_data_size" in refused.json()["error"]) == (400, True)
        document: Any = {"inputs": [tensor | {"parameters": {"binary_data_size": 4}}]}
        refused = post_binary(client, document, sent.tobytes())
        assert (refused.status_code, '"binary_data": true' in refused.json()["error"]) == (400, True)
        head, blob = split(post_binary(client, document | {"parameters": {"binary_data_output": True}}, sent.tobytes()))
    assert head["outputs"][0]["datatype"] == "BF16"
    assert np.frombuffer(blob, ml_dtypes.bfloat16).tolist() == [3, -6]


def test_strings_go_both_ways_in_binary(serve: Callable[..., Any], model: Callable[..., onnx.ModelProto]) -> None:
    strings = (TensorProto.STRING, ["N"])
    same = model([helper.make_node("Identity", ["s"], ["t"])], {"s": strings}, {"t": strings})
    blob = b"\x03\x00\x00\x00a\x00b\x02\x00\x00\x00\xc3\xa9"
    tensor = {"name": "s", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    with serve(same) as process, httpx2.Client(base_url=process.url(""), timeout=30) as client:
        assert split(post_binary(client, request, blob))[1] == blob
        refused = post_binary(client, request, blob.replace(b"\xc3\xa9", b"\xff\xfe"))
        assert (refused.status_code, "data[1] is not UTF-8" in refused.json()["error"]) == (400, True)


def test_v1_lists_models_and_predicts(client: httpx2.Client) -> None:
    assert client.get("/v1/models").json() == {"models": ["m"]}
    assert client.get("/v1/models/m").json() == {"name": "m", "ready": True}
    rows = [[1, 2, 3, 4], [5, 6, 7, 8]]
    doubled = [[2, 4, 6, 8], [10, 12, 14, 16]]
    for path in ("/v1/models/m:predict", "/v1/models/m/versions/7:predict"):
        assert client.post(path, json={"instances": rows}).json() == {"predictions": doubled}
    assert client.post("/v1/models/m:predict", json={"inputs": {"x": rows}}).json() == {"outputs": doubled}


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "message"),
    [
        ("GET", "/v1/models/other", None, 404, 'this server has "m"'),
        ("POST", "/v1/models/other:predict", b"{}", 404, 'this server has "m"'),
        ("POST", "/v1/models/m/versions/8:predict", b"{}", 404, "no such version"),
        ("POST", "/v1/models/m:predict", b"{}", 400, "either"),
        ("POST", "/v1/models/m:predict", b'{"instances":[[1,2]]}', 400, "expected shape [-1, 4], got [1, 2]"),
        ("POST", "/v1/models/m:explain", b"{}", 405, "not allowed"),
        ("GET", "/v1/models/m:predict", None, 404, 'this server has "m"'),
    ],
)
def test_v1_refuses(
    client: httpx2.Client, method: str, path: str, content: bytes | None, status: int, message: str
) -> None:
    answer = client.request(method, path, content=content)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_v1_takes_no_binary_tensors(client: httpx2.Client) -> None:
    answer = client.post("/v1/models/m:predict", content=FOUR, headers={JSON_LENGTH: "0"})
    assert (answer.status_code, "V1 has no binary" in answer.json()["error"]) == (415, True)
