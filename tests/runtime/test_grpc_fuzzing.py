"""Messages mangled and made up: both transports of gRPC say the same of them, and only what they deserve.

`TIDEGATE_FUZZ_EXAMPLES` says how many; `make fuzz FUZZ=grpc` goes on by what the code covers.
"""

import os
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.calls import STREAMED, Calls, believable, seeds
from tidegate_runtime.rpc.protos import inference_pb2 as pb

SEEDS = seeds()
GOOD = SEEDS["raw m"]
SETTINGS = settings(
    deadline=None,
    max_examples=int(os.environ.get("TIDEGATE_FUZZ_EXAMPLES", "300")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def calls() -> Iterator[Calls]:
    with Calls() as calls:
        yield calls


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good message after a few cuts, insertions, changed bytes, and parts of other messages."""
    message = draw(st.sampled_from(list(SEEDS.values())))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(message)))
        stop = draw(st.integers(start, min(len(message), start + 8)))
        put = draw(st.one_of(st.binary(max_size=4), st.sampled_from(list(SEEDS.values()))))
        message = message[:start] + put + message[stop:]
    return message


TEXT = st.one_of(st.sampled_from(["x", "y", "m", "text", "half", "wide", "", "1"]), st.text(max_size=20))
INTEGERS = st.one_of(st.integers(-1, 3), st.integers(-(2**63), 2**63 - 1))
PARAMETERS = st.dictionaries(
    st.one_of(
        st.sampled_from(["priority", "timeout", "binary_data_output", "classification", "sequence_id", "headers"]),
        TEXT,
    ),
    st.one_of(
        st.builds(pb.InferParameter),
        st.builds(pb.InferParameter, int64_param=INTEGERS),
        st.builds(pb.InferParameter, string_param=TEXT),
        st.builds(pb.InferParameter, bool_param=st.booleans()),
        st.builds(pb.InferParameter, double_param=st.floats()),
    ),
    max_size=2,
)
CONTENTS = st.one_of(
    st.builds(pb.InferTensorContents, fp32_contents=st.lists(st.floats(width=32), max_size=3)),
    st.builds(pb.InferTensorContents, int64_contents=st.lists(INTEGERS, max_size=3)),
    st.builds(pb.InferTensorContents, bytes_contents=st.lists(st.binary(max_size=5), max_size=3)),
    st.builds(pb.InferTensorContents, bool_contents=st.lists(st.booleans(), max_size=3)),
)
DATATYPES = st.one_of(st.sampled_from(["FP32", "BYTES", "FP16", "INT64"]), TEXT)
SHAPES = st.one_of(st.sampled_from([[1, 1], [2, 1]]), st.lists(INTEGERS, max_size=3))


@st.composite
def made_up(draw: st.DrawFn) -> bytes:
    """Any message of the type, more often of what the models take."""
    request = pb.ModelInferRequest(
        model_name=draw(TEXT), model_version=draw(st.sampled_from(["", "1", "2"])), id=draw(TEXT)
    )
    for _ in range(draw(st.integers(0, 2))):
        tensor = request.inputs.add(name=draw(TEXT), datatype=draw(DATATYPES), shape=draw(SHAPES))
        _put(tensor.parameters, draw(PARAMETERS))
        if draw(st.booleans()):
            tensor.contents.CopyFrom(draw(CONTENTS))
    for _ in range(draw(st.integers(0, 2))):
        _put(request.outputs.add(name=draw(TEXT)).parameters, draw(PARAMETERS))
    _put(request.parameters, draw(PARAMETERS))
    request.raw_input_contents.extend(draw(st.lists(st.binary(max_size=16), max_size=2)))
    return request.SerializeToString()


def _put(into: MutableMapping[str, Any], given: dict[str, pb.InferParameter]) -> None:
    for name, value in given.items():
        into[name].CopyFrom(value)


@pytest.mark.parametrize("name", SEEDS)
def test_good_messages_of_every_form_are_answered(calls: Calls, name: str) -> None:
    outcomes = calls.outcomes(SEEDS[name])
    assert all(isinstance(outcome.answer, bytes) for outcome in outcomes), outcomes
    assert believable(SEEDS[name], outcomes)


@settings(SETTINGS)
@given(st.one_of(mangled(), made_up()))
def test_a_strangers_message_gets_what_it_deserves_by_both_transports(calls: Calls, message: bytes) -> None:
    outcomes = calls.outcomes(message)
    assert believable(message, outcomes), outcomes
    assert believable(GOOD, calls.outcomes(GOOD))


@settings(SETTINGS)
@given(mangled())
def test_a_strangers_message_on_a_stream_is_answered_on_it(calls: Calls, message: bytes) -> None:
    plain, streamed = calls.outcomes(message), calls.outcomes(message, STREAMED)
    for alone, among in zip(plain, streamed, strict=True):
        if not isinstance(among.answer, bytes):
            assert among == alone
            continue
        answer = pb.ModelStreamInferResponse.FromString(among.answer)
        assert bool(answer.error_message) == isinstance(alone.answer, str), (alone, answer)
