"""Messages of many fields: counted before they are parsed, since each of them takes fifty times its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import Malformed
from tidegate_runtime.rpc.field_bound import LARGE, MAX_FIELDS, check_fields
from tidegate_runtime.rpc.messages import parsed
from tidegate_runtime.rpc.protos import inference_pb2 as pb

INPUTS = frozenset({5})


def sized(number: int, content: bytes) -> bytes:
    """A field of that number and content."""
    size, rest = b"", len(content)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + size + bytes([rest]) + content


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"\x2a\x00" * LARGE, id="empty inputs"),
        pytest.param(b"\x22\x00" * LARGE, id="empty parameters"),
        pytest.param(b"\x38\x01" * LARGE, id="numbers that nobody knows"),
        pytest.param(sized(5, b"\x22\x00" * LARGE), id="empty parameters of an input"),
    ],
)
def test_a_message_of_many_tiny_fields_is_refused_before_it_is_parsed(flood: bytes) -> None:
    with pytest.raises(Malformed, match=f"more than {MAX_FIELDS} fields"):
        parsed(pb.ModelInferRequest, flood)


def test_a_large_request_of_few_fields_is_parsed() -> None:
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(2 * LARGE)])
    message.inputs.add(name="x", datatype="BYTES", shape=[1]).contents.bytes_contents.extend([b"a"] * LARGE)
    assert parsed(pb.ModelInferRequest, message.SerializeToString()) == message


@given(st.binary(max_size=40))
def test_what_is_no_message_is_left_to_the_parser(junk: bytes) -> None:
    check_fields(sized(1, bytes(LARGE)) + junk, INPUTS)
