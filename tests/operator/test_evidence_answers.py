"""What is read from an answer of Prometheus' HTTP API."""

import json
from typing import Any

import pytest

from tidegate_operator.evidence.answers import Answer, NoData, Number, Unanswered, answer_of


def success(kind: str, result: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


def sample(value: Any = "0.25", **labels: str) -> Any:
    return {"metric": labels, "value": [1764412345.678, value]}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param(success("vector", [sample()]), Number(0.25), id="one sample"),
        pytest.param(success("vector", [sample("-3", pod="a")]), Number(-3.0), id="one with labels"),
        pytest.param(success("scalar", [1764412345.678, "1e3"]), Number(1000.0), id="a scalar"),
        pytest.param(success("vector", [sample()], infos=["might not be a counter"]), Number(0.25), id="a hint"),
        pytest.param(success("vector", []), NoData("it has no sample"), id="no sample"),
        pytest.param(success("vector", [sample("NaN")]), NoData("its value is NaN"), id="nothing by nothing"),
        pytest.param(success("scalar", [1.0, "+Inf"]), NoData("its value is +Inf"), id="something by nothing"),
    ],
)
def test_an_answer_is_one_number_or_none(body: bytes, answer: Answer) -> None:
    assert answer_of(200, body) == answer


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        pytest.param(
            200, success("vector", [sample(pod="a"), sample(pod="b")]), "gives 2 samples…as by sum or max", id="two"
        ),
        pytest.param(200, success("matrix", [{"metric": {}, "values": []}]), "gives a matrix", id="a range"),
        pytest.param(200, success("string", [1.0, "x"]), "gives a string", id="a string"),
        pytest.param(200, success("vector", [{"metric": {}, "histogram": [1.0, {}]}]), "histogram", id="a histogram"),
        pytest.param(
            400,
            b'{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}',
            "bad_data: 1:5: parse error",
            id="a query that it doesn't understand",
        ),
        pytest.param(
            503, b'{"status":"error","errorType":"timeout","error":"query timed out"}', "timeout", id="too slow"
        ),
        pytest.param(200, b'{"status":"error"}', "error: HTTP 200", id="an error without words"),
        pytest.param(200, success("vector", [sample()], warnings=["partial response"]), "partial", id="a part of it"),
        pytest.param(502, b"<html>Bad Gateway</html>", "HTTP 502 is no Prometheus", id="a proxy's page"),
        pytest.param(302, b"", "HTTP 302 is no Prometheus", id="a redirect"),
        pytest.param(401, b"Unauthorized", "HTTP 401…prometheus.bearerToken", id="no credentials"),
        pytest.param(403, b'{"status":"error","error":"no"}', "HTTP 403…basicAuth", id="others than it wants"),
        pytest.param(200, b"[" * 100_000, "is no Prometheus", id="nested beyond reason"),
        pytest.param(200, b"\xff\xfe\x00", "is no Prometheus", id="no text"),
        pytest.param(200, b'"success"', "is no Prometheus", id="no object"),
        pytest.param(200, b'{"status":"success"}', "another form", id="no data"),
        pytest.param(200, success("vector", [sample(None)]), "another form", id="a value that is none"),
        pytest.param(200, success("vector", [sample("much")]), "another form", id="a value in words"),
        pytest.param(200, success("vector", {"a": 1}), "another form", id="a vector that is none"),
        pytest.param(200, success("vector", ["value"]), "another form", id="a sample that is none"),
        pytest.param(200, success("scalar", [1.0]), "another form", id="a scalar without a value"),
    ],
)
def test_what_is_not_one_number_is_no_answer_and_says_why(status: int, body: bytes, why: str) -> None:
    found = answer_of(status, body)
    assert isinstance(found, Unanswered)
    assert all(part in found.why for part in why.split("…")), found.why


def test_a_long_error_is_told_in_short() -> None:
    found = answer_of(400, json.dumps({"status": "error", "errorType": "bad_data", "error": "x" * 10_000}).encode())
    assert isinstance(found, Unanswered)
    assert len(found.why) < 256
