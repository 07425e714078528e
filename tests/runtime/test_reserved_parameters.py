"""Parameters that the protocol reserves: what each asks for, and which are refused with their reason."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol.parameters import glimpsed_seconds
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.tensors import InferRequest, RequestedOutput

TENSOR = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}


def decoded(parameters: Any = None, of_input: Any = None, of_output: Any = None) -> InferRequest:
    output = {"name": "y", "parameters": of_output}
    document = {"parameters": parameters, "inputs": [TENSOR | {"parameters": of_input}], "outputs": [output]}
    return decode(orjson.dumps(document))


def test_without_parameters_nothing_is_asked_for() -> None:
    request = decoded()
    assert (request.priority, request.timeout_seconds, request.binary) == (0, None, False)
    assert request.outputs == (RequestedOutput("y", None, 0),)


def test_priority_timeout_and_the_form_of_outputs_are_read() -> None:
    request = decoded(
        {"priority": 3, "timeout": 250_000, "binary_data_output": True},
        of_output={"binary_data": False, "classification": 5},
    )
    assert (request.priority, request.timeout_seconds, request.binary) == (3, 0.25, True)
    assert request.outputs == (RequestedOutput("y", False, 5),)


def test_a_timeout_of_0_is_none() -> None:
    assert decoded({"timeout": 0}).timeout_seconds is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"my_own": "x", "other": 1.5, "flag": False},
        {"sequence_id": 0, "sequence_start": False, "sequence_end": False},
        {"sequence_id": ""},
        {"triton_enable_empty_final_response": True},
    ],
    ids=["unknown scalars", "no sequence", "no sequence, by string", "one answer a request"],
)
def test_taken_and_of_no_effect_are(parameters: dict[str, Any]) -> None:
    request = decoded(parameters)
    assert (request.priority, request.timeout_seconds, request.binary) == (0, None, False)


REFUSED = [
    pytest.param({"priority": -1}, "priority", "from 0", id="a negative priority"),
    pytest.param({"priority": True}, "priority", "integer", id="a boolean priority"),
    pytest.param({"priority": "1"}, "priority", "integer", id="a string for a priority"),
    pytest.param({"timeout": 1.5}, "timeout", "integer", id="a fraction of a microsecond"),
    pytest.param({"timeout": 2**63}, "timeout", "2\\^63-1", id="a timeout of 2^63"),
    pytest.param({"binary_data_output": 1}, "binary_data_output", "true or false", id="1 for true"),
    pytest.param({"sequence_id": 7}, "sequence_id", "keep no state", id="a sequence"),
    pytest.param({"sequence_id": "a"}, "sequence_id", "keep no state", id="a sequence by string"),
    pytest.param({"sequence_start": True}, "sequence_start", "keep no state", id="the start of a sequence"),
    pytest.param({"sequence_unheard_of": 0}, "sequence_unheard_of", "keep no state", id="any sequence parameter"),
    pytest.param({"headers": "a: b"}, "headers", "reserves", id="headers"),
    pytest.param({"triton_final_response": True}, "triton_final_response", "reserves", id="Triton's own"),
    pytest.param({"triton_enable_empty_final_response": "y"}, "triton_enable", "reserves", id="not a boolean"),
    pytest.param({"shared_memory_region": "r"}, "shared_memory_region", "belongs to an input", id="shared memory"),
    pytest.param({"binary_data_size": 4}, "binary_data_size", "belongs to an input", id="an input's parameter"),
    pytest.param({"classification": 4}, "classification", "belongs to a requested output", id="an output's parameter"),
]


@pytest.mark.parametrize(("parameters", "name", "message"), REFUSED)
def test_refused_on_the_request_is(parameters: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=f'parameter "{name}.*" of the request.*{message}'):
        decoded(parameters)


@pytest.mark.parametrize("value", [-1, 1.0, True, "3"])
def test_classes_are_a_number(value: Any) -> None:
    with pytest.raises(InvalidRequest, match='"classification" of output "y" must be an integer'):
        decoded(of_output={"classification": value})


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"inputs":[],"parameters":{"timeout":250000}}', 0.25),
        (b'{"parameters" : { "priority": 1, "timeout" :\n 1500000 }, "inputs": []}', 1.5),
        (b'{"parameters":{"timeout":0},"inputs":[]}', None),
        (b'{"parameters":{"priority":1},"inputs":[]}', None),
        # Refused by whoever parses it.
        (b'{"parameters":{"timeout":-5}}', None),
        (b'{"parameters":{"timeout":2.5}}', None),
        (b'{"parameters":{"timeout":2e6}}', None),
        (b'{"parameters":{"timeout":"5"}}', None),
        # What only looks like it: a tensor's name, its elements, a part of one.
        (b'{"inputs":[{"name":"timeout","data":["timeout"]}],"parameters":{"timeout":3000000}}', 3.0),
        (b'{"inputs":[{"name":"x","data":["{\\"timeout\\": 5}"]}]}', None),
        (b'{"parameters":{"my_timeout":5,"timeouts":6}}', None),
        # Not seen.
        (b'{"parameters":{"\\u0074imeout":5}}', None),
        (b"", None),
    ],
)
def test_what_a_request_gives_itself_is_seen_without_parsing(body: bytes, seconds: float | None) -> None:
    assert glimpsed_seconds(body) == seconds
    assert glimpsed_seconds(bytearray(body)) == seconds


def test_what_a_request_gives_itself_is_not_looked_for_in_binary_tensors() -> None:
    text = b'{"inputs":[]}'
    assert glimpsed_seconds(text + b'"timeout":5', len(text)) is None
    assert glimpsed_seconds(b'"timeout":5', 0) is None
    assert glimpsed_seconds(b'{"timeout":5}', 10**19 - 1) == 5e-6, "whoever parses it says that there isn't so much"
    assert glimpsed_seconds(b'{"timeout":500}', len(b'{"timeout":5')) == 5e-6


@given(st.integers(0, 2**63 - 1), st.text(), st.booleans())
@example(7, '"timeout": 5', False)
def test_what_is_seen_without_parsing_is_what_parsing_finds(microseconds: int, text: str, indented: bool) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [text]}
    document = {"inputs": [tensor], "parameters": {"timeout": microseconds}}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 if indented else None)
    assert glimpsed_seconds(body) == decode(body).timeout_seconds
