from dataclasses import dataclass, field

import numpy as np
import pytest

from tidegate_runtime.errors import InvalidRequest, InvalidTensor, StartupFailure
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Datatype, InferRequest, RequestedOutput, Tensor, TensorSpec

SIGNATURE = Signature(
    inputs=(
        TensorSpec("a", Datatype.FP32, ("N", 3)),
        TensorSpec("b", Datatype.INT64, ("N", "", 2)),
    ),
    outputs=(TensorSpec("y", Datatype.FP32, ("N",)), TensorSpec("z", Datatype.FP32, ("N", 4))),
)


def request(
    a: tuple[int, ...] = (2, 3), b: tuple[int, ...] = (2, 5, 2), a_type: Datatype = Datatype.FP32
) -> tuple[Tensor, ...]:
    return (Tensor("a", a_type, np.zeros(a, a_type.numpy)), Tensor("b", Datatype.INT64, np.zeros(b, np.int64)))


def test_a_request_that_fits_gives_its_arrays_by_name() -> None:
    a, b = request()
    assert SIGNATURE.check(InferRequest((b, a))) == {"b": b.array, "a": a.array}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param(request()[:1], 'missing "b"; the model takes "a", "b"', id="row 11: missing"),
        pytest.param((*request(), Tensor("c", Datatype.FP32, np.zeros(1))), 'unknown "c"', id="row 11: extra"),
        pytest.param((*request(), request()[0]), 'input "a" is given more than once', id="row 11: twice"),
        pytest.param(request(a_type=Datatype.FP64), 'input "a": expected FP32, got FP64', id="row 12: wrong datatype"),
        pytest.param(request(a=(2, 3, 1)), r"expected shape \[-1, 3\], got \[2, 3, 1\]", id="row 13: wrong rank"),
        pytest.param(request(a=(2, 4)), r"expected shape \[-1, 3\], got \[2, 4\]", id="row 13: wrong fixed dimension"),
        pytest.param(request(b=(1, 5, 2)), '"N" is 1 here but 2 in input "a"', id="row 13: sizes that disagree"),
    ],
)
def test_refused_is_a_request_with(inputs: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        SIGNATURE.check(InferRequest(inputs))


def test_outputs_come_in_the_order_that_was_asked_for() -> None:
    assert SIGNATURE.check_outputs((RequestedOutput("z"), RequestedOutput("y"))) == (1, 0)
    assert SIGNATURE.check_outputs(None) == (0, 1)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param(("q",), 'output "q" does not exist; the model has "y", "z"', id="row 29: unknown"),
        pytest.param(("y", "y"), 'output "y" is given more than once', id="row 29: twice"),
    ],
)
def test_refused_are_outputs_that_are(wanted: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        SIGNATURE.check_outputs(tuple(map(RequestedOutput, wanted)))


@dataclass
class NodeArg:
    name: str
    type: str
    shape: list[int | str | None] = field(default_factory=list)


def test_free_dimensions_keep_their_names() -> None:
    signature = Signature.declared([NodeArg("x", "tensor(float)", ["N", None, 3])], [])
    assert signature.inputs == (TensorSpec("x", Datatype.FP32, ("N", "", 3)),)


@pytest.mark.parametrize("name", ["?", "None", "-1", -1, "", None])
def test_a_picture_need_not_be_square_for_two_sizes_that_the_exporter_calls_unknown(name: int | str | None) -> None:
    signature = Signature.declared([NodeArg("x", "tensor(float)", [None, 3, name, name])], [])
    assert signature.inputs == (TensorSpec("x", Datatype.FP32, ("", 3, "", "")),)
    picture = np.zeros((1, 3, 48, 192), np.float32)
    assert signature.check(InferRequest((Tensor("x", Datatype.FP32, picture),))) == {"x": picture}


def test_a_name_that_is_one_dimension_s_own_still_binds() -> None:
    signature = Signature.declared([NodeArg("x", "tensor(float)", ["unk__1", "unk__2", "unk__2"])], [])
    with pytest.raises(InvalidRequest, match='"unk__2" is 192 here but 48'):
        signature.check(InferRequest((Tensor("x", Datatype.FP32, np.zeros((1, 48, 192), np.float32)),)))


@pytest.mark.parametrize("kind", ["seq(map(int64,tensor(float)))", "tensor(float8e4m3fn)", "optional(tensor(float))"])
def test_a_model_with_other_than_plain_tensors_is_not_served(kind: str) -> None:
    with pytest.raises(StartupFailure, match="zipmap=False") as failure:
        Signature.declared([], [NodeArg("probabilities", kind)])
    assert failure.value.reason == "UnsupportedSignature"


HALVES = Signature((), (TensorSpec("y", Datatype.FP32, ()), TensorSpec("h", Datatype.FP16, ())))


@pytest.mark.parametrize(
    ("outputs", "binary"),
    [
        pytest.param(None, True, id="all of them binary"),
        pytest.param((RequestedOutput("y"),), False, id="only others"),
        pytest.param((RequestedOutput("h", binary=True),), False, id="this one binary"),
        pytest.param((RequestedOutput("h"), RequestedOutput("y", binary=False)), True, id="binary unless it says"),
        pytest.param((RequestedOutput("h", classes=1),), False, id="classes, which are text"),
    ],
)
def test_halves_may_be_asked_for(outputs: tuple[RequestedOutput, ...] | None, binary: bool) -> None:
    HALVES.check_forms(InferRequest((), outputs, binary=binary))


@pytest.mark.parametrize(
    ("outputs", "binary"),
    [
        pytest.param(None, False, id="all of them in JSON"),
        pytest.param((RequestedOutput("h"),), False, id="this one"),
        pytest.param((RequestedOutput("h", binary=False),), True, id="this one in JSON, others binary"),
    ],
)
def test_halves_may_not_be_asked_for(outputs: tuple[RequestedOutput, ...] | None, binary: bool) -> None:
    with pytest.raises(InvalidTensor, match='output "h": FP16 has no JSON form'):
        HALVES.check_forms(InferRequest((), outputs, binary=binary))
