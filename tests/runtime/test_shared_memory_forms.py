"""What requests say of shared memory, in JSON and over gRPC, and what answers say of it."""

from typing import Any

import numpy as np
import orjson
import pytest

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol import v2_request, v2_response
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.tensors import (
    Datatype,
    InferRequest,
    InferResponse,
    RequestedOutput,
    SharedSlice,
    SharedTensor,
    Tensor,
)

REGION, SIZE, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
PLACE = {REGION: "r", SIZE: 32, OFFSET: 8}
KINDS = {str: "string_param", bool: "bool_param", int: "int64_param", float: "double_param"}


def over_rest(parameters: Any, output: Any = None, **tensor: Any) -> InferRequest:
    """As JSON: one input of those parameters, and "y" with the output's."""
    given = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": parameters} | tensor
    outputs = [] if output is None else [{"name": "y", "parameters": output}]
    return v2_request.decode(orjson.dumps({"inputs": [given], "outputs": outputs}))


def over_grpc(parameters: Any, output: Any = None, **tensor: Any) -> InferRequest:
    """The same as a message."""
    message = pb.ModelInferRequest(model_name="m")
    given = message.inputs.add(**({"name": "x", "shape": [2, 4], "datatype": "FP32"} | tensor))
    fill(given, parameters)
    if output is not None:
        fill(message.outputs.add(name="y"), output)
    return codec.decode(message)


def fill(owner: Any, parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        kind = KINDS[type(value)]
        if type(value) is int and value > 2**63 - 1:
            kind = "uint64_param"
        setattr(owner.parameters[name], kind, value)


both = pytest.mark.parametrize("decoded", [over_rest, over_grpc])


@both
def test_an_input_is_its_place_type_and_shape_and_takes_no_memory(decoded: Any) -> None:
    request = decoded(PLACE)
    (tensor,) = request.inputs
    assert request.shared
    assert isinstance(tensor, SharedTensor)
    assert (tensor.name, tensor.datatype, tensor.place) == ("x", Datatype.FP32, SharedSlice("r", 8, 32))
    assert tensor.array.dtype == np.float32
    assert (tensor.array.shape, tensor.array.strides) == ((2, 4), (0, 0))


@both
def test_an_offset_left_out_is_0(decoded: Any) -> None:
    (tensor,) = decoded({REGION: "r", SIZE: 32}).inputs
    assert tensor.place == SharedSlice("r", 0, 32)


@both
def test_a_requested_output_has_its_place(decoded: Any) -> None:
    request = decoded(PLACE, output={REGION: "s", SIZE: 7})
    assert request.outputs == (RequestedOutput("y", place=SharedSlice("s", 0, 7)),)


def test_a_request_without_shared_memory_says_so() -> None:
    assert not over_rest(None, data=[0] * 8).shared
    assert over_rest(None, data=[0] * 8, output=PLACE).shared


WRONG = [
    pytest.param({REGION: "r"}, "needs both", id="no size"),
    pytest.param({SIZE: 32}, "needs both", id="no region"),
    pytest.param({OFFSET: 8}, "needs both", id="an offset alone"),
    pytest.param({REGION: 7, SIZE: 32}, "must be a string of 1 to 256 characters", id="a number for a region"),
    pytest.param({REGION: "", SIZE: 32}, "must be a string of 1 to 256 characters", id="an empty region"),
    pytest.param({REGION: "r" * 257, SIZE: 32}, "must be a string of 1 to 256 characters", id="a long region"),
    pytest.param({REGION: "r", SIZE: "32"}, "must be an integer from 0 to 2^63-1", id="a string for a size"),
    pytest.param({REGION: "r", SIZE: 32.0}, "must be an integer from 0 to 2^63-1", id="a fraction for a size"),
    pytest.param({REGION: "r", SIZE: True}, "must be an integer from 0 to 2^63-1", id="true for a size"),
    pytest.param({REGION: "r", SIZE: -32}, "must be an integer from 0 to 2^63-1", id="a negative size"),
    pytest.param({REGION: "r", SIZE: 2**64 - 1}, "must be an integer from 0 to 2^63-1", id="a size of 2^64-1"),
    pytest.param({REGION: "r", SIZE: 0}, "is 0", id="no bytes"),
    pytest.param({REGION: "r", SIZE: 32, OFFSET: -1}, "must be an integer from 0 to 2^63-1", id="a negative offset"),
    pytest.param({REGION: "r", SIZE: 32, OFFSET: "8"}, "must be an integer from 0 to 2^63-1", id="a text offset"),
    pytest.param({REGION: "r", SIZE: 32, OFFSET: 2**63}, "must be an integer from 0 to 2^63-1", id="an offset of 2^63"),
]


@both
@pytest.mark.parametrize(("parameters", "message"), WRONG)
def test_refused_on_input_and_output_is(decoded: Any, parameters: dict[str, Any], message: str) -> None:
    for given, where in (({"parameters": parameters}, 'input "x"'), ({"parameters": PLACE, "output": parameters}, "y")):
        with pytest.raises(InvalidRequest) as refusal:
            decoded(**given)
        assert message in str(refusal.value)
        assert where in str(refusal.value)


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({SIZE: 31}, "needs 32 bytes", id="too small"),
        pytest.param({SIZE: 64}, "needs 32 bytes", id="too large"),
        pytest.param({SIZE: 2**63 - 1}, "no more than 2^48 bytes", id="of an absurd size"),
        pytest.param({OFFSET: 2**63 - 1}, "no more than 2^48 bytes", id="at an absurd offset"),
    ],
)
def test_refused_is_an_input_that_is(decoded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decoded(PLACE | changes)
    assert message in str(refusal.value)


@both
def test_strings_need_room_for_their_lengths_at_least(decoded: Any) -> None:
    with pytest.raises(InvalidRequest, match="8 elements need at least 32 bytes"):
        decoded({REGION: "r", SIZE: 31}, datatype="BYTES")
    assert decoded({REGION: "r", SIZE: 40}, datatype="BYTES").inputs[0].array.shape == (2, 4)


@both
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_shape_claims_no_memory(decoded: Any, datatype: str) -> None:
    with pytest.raises(InvalidRequest, match="bytes"):
        decoded({REGION: "r", SIZE: 2**48}, datatype=datatype, shape=[2**62, 2**62])
    (tensor,) = decoded({REGION: "r", SIZE: 2**48}, datatype=datatype, shape=[2**46]).inputs
    assert tensor.array.strides == (0,)


@both
def test_an_output_in_shared_memory_has_no_classes(decoded: Any) -> None:
    with pytest.raises(InvalidRequest, match='"classification" and "shared_memory_region" exclude'):
        decoded(PLACE, output=PLACE | {"classification": 1})


def test_in_json_it_excludes_data_and_binary_data() -> None:
    with pytest.raises(InvalidRequest, match='"data" and "shared_memory_region" exclude'):
        over_rest(PLACE, data=[0] * 8)
    with pytest.raises(InvalidRequest, match='"binary_data_size" and "shared_memory_region" exclude'):
        over_rest(PLACE | {"binary_data_size": 32})
    with pytest.raises(InvalidRequest, match='"binary_data" and "shared_memory_region" exclude'):
        over_rest(PLACE, output=PLACE | {"binary_data": True})
    assert over_rest(PLACE, output=PLACE | {"binary_data": False}).outputs


def test_over_grpc_it_excludes_contents() -> None:
    with pytest.raises(InvalidRequest, match="has contents, but is in shared memory"):
        over_grpc(PLACE, contents=pb.InferTensorContents(fp32_contents=[0] * 8))


def mixed(*raws: bytes) -> pb.ModelInferRequest:
    """Of three inputs the second is in shared memory."""
    message = pb.ModelInferRequest(raw_input_contents=raws)
    for name in "abc":
        message.inputs.add(name=name, datatype="UINT8", shape=[1])
    fill(message.inputs[1], {REGION: "r", SIZE: 1})
    return message


def test_raw_contents_are_of_the_inputs_that_are_not_in_shared_memory() -> None:
    request = codec.decode(mixed(b"\x01", b"\x03"))
    assert [type(tensor) for tensor in request.inputs] == [Tensor, SharedTensor, Tensor]
    assert [request.inputs[index].array.tolist() for index in (0, 2)] == [[1], [3]]
    assert request.binary


@pytest.mark.parametrize("raws", [(b"\x01",), (b"\x01", b"\x02", b"\x03"), (b"\x01",) * 4])
def test_more_or_fewer_raw_contents_are_refused(raws: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequest, match=f"has {len(raws)} parts for 2 inputs.*that isn't in shared memory"):
        codec.decode(mixed(*raws))


def test_inputs_in_shared_memory_alone_count_as_raw_beside_contents_they_do_not() -> None:
    assert over_grpc(PLACE).binary
    message = mixed()
    for index in (0, 2):
        message.inputs[index].contents.uint_contents.append(1)
    assert not codec.decode(message).binary


PLACED = SharedTensor("y", Datatype.FP32, np.zeros((1, 4), np.float32), SharedSlice("r", 8, 16))
PLAIN = Tensor("z", Datatype.INT32, np.array([7], np.int32))
ANSWER = InferResponse("m", "1", (PLACED, PLAIN))


def asked(*, binary: bool) -> InferRequest:
    wanted = (RequestedOutput("y", place=SharedSlice("r", 8, 32)), RequestedOutput("z"))
    return InferRequest((), wanted, binary=binary, shared=True)


def test_in_json_an_output_is_its_place_and_no_data() -> None:
    encoded = v2_response.encode(ANSWER, asked(binary=False))
    placed, plain = orjson.loads(encoded.parts[0])["outputs"]
    assert placed == {
        "name": "y",
        "datatype": "FP32",
        "shape": [1, 4],
        "parameters": {REGION: "r", SIZE: 16, OFFSET: 8},
    }
    assert plain["data"] == [7]


def test_in_binary_answers_it_takes_no_bytes() -> None:
    encoded = v2_response.encode(ANSWER, asked(binary=True))
    assert [bytes(part) for part in encoded.parts[1:]] == [b"\x07\0\0\0"]


@pytest.mark.parametrize("binary", [False, True])
def test_over_grpc_an_output_is_its_place_and_an_empty_raw_content(binary: bool) -> None:
    message = codec.encode(ANSWER, asked(binary=binary))
    told = message.outputs[0].parameters
    assert (told[REGION].string_param, told[SIZE].int64_param, told[OFFSET].int64_param) == ("r", 16, 8)
    assert not message.outputs[0].HasField("contents")
    assert list(message.raw_output_contents) == ([b"", b"\x07\0\0\0"] if binary else [])


def test_an_offset_of_0_is_not_told() -> None:
    placed = SharedTensor("y", Datatype.FP32, PLACED.array, SharedSlice("r", 0, 16))
    answer = InferResponse("m", "1", (placed, PLAIN))
    assert (
        OFFSET not in orjson.loads(v2_response.encode(answer, asked(binary=False)).parts[0])["outputs"][0]["parameters"]
    )
    assert OFFSET not in codec.encode(answer, asked(binary=True)).outputs[0].parameters
