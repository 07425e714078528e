"""The bad-input table for REST, on a running server: one test per row, named after it."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.integration

GOOD = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
INFER = "/v2/models/m/infer"


def with_input(**members: Any) -> dict[str, Any]:
    return {"inputs": [GOOD["inputs"][0] | members]}


@pytest.fixture(scope="module")
def client(doubling: Any, way: dict[str, str]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=doubling.url(""), timeout=10, headers=way) as client:
        yield client


def refusal(answer: httpx2.Response) -> str:
    """The one member of the answer's body, which must say nothing of this machine."""
    body = answer.json()
    assert list(body) == ["error"]
    message = str(body["error"])
    assert not any(leak in message for leak in ("Traceback", ".py", "/work", "/home", "/tmp", "site-packages", "0x"))
    return message


TENSORS = [
    pytest.param(b"", 400, "not JSON", id="row 1: an empty body"),
    pytest.param(json.dumps(GOOD).encode("utf-16"), 400, "UTF-8", id="row 2: UTF-16"),
    pytest.param(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", 400, "64 levels", id="row 3: depth 65"),
    pytest.param(b'{"inputs":[],"inputs":[]}', 400, "empty", id="row 4: a member twice, none of them good"),
    pytest.param(json.dumps(with_input(data=[1, 2, 3, float("nan")])), 400, "data[3] is NaN", id="row 5: NaN"),
    pytest.param(with_input(data=[1, 2, 3, 1e39]), 400, "data[3] is out of range for FP32", id="row 6: 1e39"),
    pytest.param(with_input(data=[1, 2, True, 4]), 400, "data[2] is a boolean", id="row 7: true"),
    pytest.param({"inputs": []}, 400, "empty", id="row 11: missing"),
    pytest.param(with_input(name="z"), 400, 'unknown "z", missing "x"', id="row 11: misnamed"),
    pytest.param({"inputs": GOOD["inputs"] * 2}, 400, "more than once", id="row 11: twice"),
    pytest.param(with_input(datatype="FP64"), 400, "expected FP32, got FP64", id="row 12: wrong datatype"),
    pytest.param(with_input(shape=[4]), 400, "expected shape [-1, 4], got [4]", id="row 13: wrong rank"),
    pytest.param(with_input(shape=[2, 2]), 400, "expected shape [-1, 4], got [2, 2]", id="row 13: wrong dimension"),
    pytest.param(with_input(shape=[2**32, 2**32]), 400, "needs 18446744073709551616", id="row 14: overflow"),
    pytest.param(with_input(data=[[1, 2, 3]]), 400, "must have 4 elements, got 3", id="row 15: ragged"),
    pytest.param(with_input(shape=[0, 4], data=[]), 400, "not 0", id="row 16: no rows"),
    pytest.param(with_input(shape=[9, 4], data=[0] * 36), 400, "9 rows in one request; the limit is 8", id="row 17"),
    pytest.param(GOOD | {"outputs": [{"name": "q"}]}, 400, 'the model has "y"', id="row 29: unknown output"),
    pytest.param(GOOD | {"outputs": [{"name": "y"}] * 2}, 400, "more than once", id="row 29: output twice"),
    pytest.param(GOOD | {"id": "i" * 1_000}, 400, "256 bytes", id="row 30: a long id"),
    pytest.param(GOOD | {"parameters": {"a": []}}, 400, 'parameter "a"', id="row 31: a parameter that is no scalar"),
    pytest.param(with_input(data=["x" * 70_000]), 413, "65536 bytes", id="row 42: an element over the total limit"),
]


@pytest.mark.parametrize(("body", "status", "message"), TENSORS)
def test_refused_is(client: httpx2.Client, body: Any, status: int, message: str) -> None:
    content = json.dumps(body) if isinstance(body, dict) else body
    answer = client.post(INFER, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert message in refusal(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"content-type": "application/json"}, 200, id="row 2: JSON"),
        pytest.param({"content-type": "application/json; charset=UTF-8"}, 200, id="row 2: JSON in UTF-8"),
        pytest.param({}, 200, id="row 2: no type, as Triton's client sends it"),
        pytest.param({"content-type": "text/plain"}, 415, id="row 2: text"),
        pytest.param({"content-type": "application/x-www-form-urlencoded"}, 415, id="row 2: a form, curl's default"),
        pytest.param({"content-type": "application/json; charset=utf-16"}, 415, id="row 2: another charset"),
        pytest.param({"content-type": "application/octet-stream"}, 200, id="row 2: JSON, as Triton's aio client"),
        pytest.param({"content-encoding": "gzip, gzip"}, 415, id="row 19: two encodings"),
        pytest.param({"content-encoding": "br"}, 415, id="row 19: an unknown encoding"),
        pytest.param({"inference-header-content-length": "-1"}, 400, id="row 28: a negative length"),
        pytest.param({"inference-header-content-length": "1e1"}, 400, id="row 28: a length that is no number"),
        pytest.param({"inference-header-content-length": "9" * 30}, 400, id="row 28: a length of 30 digits"),
        pytest.param({"inference-header-content-length": "999"}, 400, id="row 28: a length beyond the body"),
    ],
)
def test_a_body_declared_as(client: httpx2.Client, headers: dict[str, str], status: int) -> None:
    answer = client.post(INFER, content=json.dumps(GOOD), headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert "send" in refusal(answer)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v2/models/other/infer", id="row 8: an unknown model"),
        pytest.param("/v2/models/m/versions/8/infer", id="row 8: an unknown version"),
        pytest.param("/v2/models/..%2F..%2Fx/infer", id="row 9: encoded slashes"),
        pytest.param("/v2/models/%2e%2e/infer", id="row 9: encoded dots"),
        pytest.param(f"/v2/models/{'m' * 4096}/infer", id="row 9: 4 kB"),
        pytest.param("/v2/models/m%00/infer", id="row 9: NUL"),
        pytest.param("/v2/models/%D0%BC/infer", id="row 9: a look-alike"),
        pytest.param("/v2/models/m;a=b/infer", id="row 37: a path parameter"),
        pytest.param("//v2/models/m/infer", id="row 37: a doubled slash"),
        pytest.param("/v2/models/m/infer/", id="row 37: a slash behind"),
    ],
)
def test_not_found_is(client: httpx2.Client, path: str) -> None:
    # Built by hand: a base URL would be joined with, and normalise, the paths in question.
    url = httpx2.URL(scheme="http", host="127.0.0.1", port=client.base_url.port, raw_path=path.encode())
    answer = client.post(url, json=GOOD)
    assert answer.status_code == 404
    refusal(answer)


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/docs", "/redoc", "/openapi.json", "/debug", "/v2/repository/index", "/v2/systemsharedmemory/status"],
)
def test_row_36_not_on_the_data_port_is(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    refusal(answer)


def test_inference_is_not_on_the_administration_port(doubling: Any, way: dict[str, str]) -> None:
    answer = httpx2.post(doubling.admin_url(INFER), json=GOOD, headers=way)
    assert answer.status_code == 404
    refusal(answer)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", INFER), ("PUT", "/v2"), ("TRACE", "/v2"), ("DELETE", "/v2/models/m"), ("POST", "/v2/health/ready")],
)
def test_row_37_not_allowed_is(client: httpx2.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    refusal(answer)


def test_row_30_an_id_is_echoed_exactly(client: httpx2.Client) -> None:
    odd = '\x07\r\nSet-Cookie: a=b\u202e\\"é'
    answer = client.post(INFER, json=GOOD | {"id": odd})
    assert answer.json()["id"] == odd
    assert "set-cookie" not in answer.headers


def test_row_38_an_answer_that_is_not_finite_has_null_in_its_place(client: httpx2.Client) -> None:
    answer = client.post(INFER, json=with_input(data=[1, 3e38, -3e38, 0]))
    assert answer.json()["outputs"][0]["data"] == [2.0, None, None, 0.0]


def test_row_40_names_that_nobody_serves_are_no_metric_labels(client: httpx2.Client, doubling: Any) -> None:
    client.post('/v2/models/a"} 1\n/infer'.replace("\n", "%0A"), json=GOOD)
    metrics = httpx2.get(doubling.admin_url("/metrics")).text
    labels = {line.partition('model="')[2].partition('"')[0] for line in metrics.splitlines() if 'model="' in line}
    assert labels == {"m"}


def raw(doubling: Any, *parts: bytes) -> bytes:
    """What comes back until the server closes, or until an answer with a body of known length is whole."""
    with socket.create_connection(("127.0.0.1", doubling.port), timeout=10) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        received = b""
        while True:
            try:
                more = connection.recv(65536)
            except ConnectionResetError:
                return received
            received += more
            head, _, body = received.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if not more or (length and len(body) >= int(length)):
                return received


HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: h\r\n"
RAW = [
    pytest.param([HEAD, b"Content-Length: 65537\r\n\r\n"], 413, id="row 18: a declared length over the limit"),
    pytest.param(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *[b"2000\r\n" + b" " * 8192 + b"\r\n"] * 9],
        413,
        id="row 18: chunks over the limit",
    ),
    pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 70_000], 413, id="row 20: tiny chunks"),
    pytest.param([HEAD, b"A: " + b"a" * 100_000 + b"\r\n\r\n"], 431, id="row 21: a header of 100 kB"),
    pytest.param([HEAD, b"A: a\r\n" * 5_000, b"\r\n"], 431, id="row 21: 5,000 headers"),
    pytest.param([b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: h\r\n\r\n"], 414, id="row 21: a URL of 64 kB"),
    pytest.param([b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n"], 414, id="row 21: a URL of 9 kB"),
    pytest.param([b"GET /v2 HTTP/1.1\r\n\r\n"], 400, id="row 22: no Host"),
    pytest.param([b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"], 400, id="row 22: two Hosts"),
    pytest.param([HEAD, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400, id="row 22: two lengths"),
    pytest.param(
        [HEAD, b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"], 400, id="row 22: length and chunks"
    ),
    pytest.param([HEAD, b"Content-Length: -1\r\n\r\n"], 400, id="row 22: a negative length"),
    pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], 400, id="row 22: a bad chunk size"),
    pytest.param([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], 400, id="row 22: TLS on a plain port"),
    pytest.param([b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"], 405, id="row 37: CONNECT"),
    pytest.param(
        [b"GET /v2 HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"],
        200,
        id="row 42: an upgrade that is not offered is ignored",
    ),
    pytest.param(
        [
            HEAD
            + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
            + b"Content-Length: %d\r\n\r\n" % len(json.dumps(GOOD))
            + json.dumps(GOOD).encode()
        ],
        200,
        id="row 42: nor does it cost the body",
    ),
]


@pytest.mark.parametrize(("parts", "status"), RAW)
def test_on_the_wire(doubling: Any, parts: list[bytes], status: int) -> None:
    head, _, body = raw(doubling, *parts).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    if status != 200:
        assert list(json.loads(body)) == ["error"]


def test_the_server_is_well_after_all_that(client: httpx2.Client) -> None:
    assert client.post(INFER, json=GOOD).json()["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]
