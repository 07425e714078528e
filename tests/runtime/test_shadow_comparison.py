"""Two answers held against each other: tables computed by hand, and what holds for all."""

from math import inf, nan
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidegate_runtime.model.batchability import same
from tidegate_runtime.shadow import comparison
from tidegate_runtime.shadow.comparison import INCOMPARABLE, Difference, compare, differences
from tidegate_runtime.tensors import Datatype, Tensor

FP32, FP64, FP16, BF16, INT64, UINT64, BOOL, BYTES = (
    Datatype(name) for name in ("FP32", "FP64", "FP16", "BF16", "INT64", "UINT64", "BOOL", "BYTES")
)


def tensor(values: Any, datatype: Datatype = FP32, name: str = "y") -> Tensor:
    return Tensor(name, datatype, np.array(values, datatype.numpy))


@pytest.mark.parametrize(
    ("datatype", "own", "other", "expected"),
    [
        (FP32, [[1.0, 2.0]], [[1.0, 2.0]], Difference(0.0, 0.0, True, 1, 0)),
        # Of the row's largest value, 4, the difference of 1 is a quarter; the largest stays in its column.
        (FP32, [[1.0, 4.0]], [[2.0, 4.0]], Difference(1.0, 0.25, False, 1, 0)),
        # The largest value may be the other's: 2 of 4.
        (FP32, [[1.0, 2.0]], [[1.0, 4.0]], Difference(2.0, 0.5, False, 1, 0)),
        (FP32, [[1.0, 2.0], [8.0, 0.0]], [[2.0, 1.0], [8.0, 0.0]], Difference(1.0, 0.5, False, 2, 1)),
        # Each row by itself: beside 1024 a difference of 1/2 is less than a thousandth, beside 2 it isn't.
        (FP32, [[1024.0, 1.0]], [[1024.0, 1.5]], Difference(0.5, 0.5 / 1024, True, 1, 0)),
        (FP32, [[1024.0, 1.0], [2.0, 1.0]], [[1024.0, 1.0], [2.0, 1.5]], Difference(0.5, 0.25, False, 2, 0)),
        # The same two numbers of one axis are one row.
        (FP32, [1024.0, 1.0], [1024.0, 1.5], Difference(0.5, 0.5 / 1024, True)),
        (FP32, 4.0, 3.0, Difference(1.0, 0.25, False)),
        # A single column has no best one, nor have rows of rows.
        (FP32, [[1.0], [2.0]], [[2.0], [2.0]], Difference(1.0, 0.5, False)),
        (FP32, [[[1.0, 4.0]]], [[[4.0, 1.0]]], Difference(3.0, 0.75, False)),
        (FP64, [[1.0, 0.0]], [[1.0 + 2**-20, 0.0]], Difference(2**-20, 2**-20 / (1 + 2**-20), True, 1, 0)),
        (FP64, [[1.0, 0.0]], [[1.0 + 2**-19, 0.0]], Difference(2**-19, 2**-19 / (1 + 2**-19), False, 1, 0)),
        (FP16, [[64.0, 1.0]], [[64.0, 2.0]], Difference(1.0, 1 / 64, True, 1, 0)),
        (BF16, [[1.0, 32.0]], [[2.0, 32.0]], Difference(1.0, 1 / 32, True, 1, 0)),
        (BF16, [[1.0, 32.0]], [[32.0, 1.0]], Difference(31.0, 31 / 32, False, 1, 1)),
        # Nothing may differ in what isn't a floating-point number.
        (INT64, [[100, 7]], [[101, 7]], Difference(1.0, 1 / 101, False, 1, 0)),
        (INT64, [[2**62, 0]], [[2**62 + 1, 0]], Difference(1.0, 1 / 2**62, False, 1, 0)),
        (UINT64, [[0, 2**64 - 1]], [[0, 2**64 - 1]], Difference(0.0, 0.0, True, 1, 0)),
        (BOOL, [[True, False]], [[True, True]], Difference(1.0, 1.0, False)),
        # What isn't a number is like itself, and unlike all else.
        (FP32, [[nan, 1.0]], [[nan, 1.0]], Difference(0.0, 0.0, True, 1, 0)),
        (FP32, [[nan, 1.0]], [[0.0, 1.0]], Difference(inf, inf, False, 1, 1)),
        (FP32, [[inf, 1.0]], [[inf, 1.0]], Difference(0.0, 0.0, True, 1, 0)),
        (FP32, [[inf, 1.0]], [[-inf, 1.0]], Difference(inf, inf, False, 1, 1)),
        (FP32, [[0.0, 0.0]], [[0.0, -0.0]], Difference(0.0, 0.0, True, 1, 0)),
        (FP32, [], [], Difference(0.0, 0.0, True)),
    ],
)
def test_what_differs_is_measured(datatype: Datatype, own: Any, other: Any, expected: Difference) -> None:
    assert differences([tensor(own, datatype)], {"y": tensor(other, datatype)}) == {"y": expected}


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (tensor([[1.0, 2.0]]), tensor([1.0, 2.0])),
        (tensor([[1.0, 2.0]]), tensor([[1.0], [2.0]])),
        (tensor([[1.0]]), tensor([[1.0]], FP64)),
        (tensor([["a"]], BYTES), tensor([["b"]], BYTES)),
        (tensor([1.0]), tensor([1.0], name="z")),
    ],
)
def test_what_cant_be_compared_has_diverged(own: Tensor, other: Tensor) -> None:
    assert differences([own], {other.name: other}) == {"y": INCOMPARABLE}


def test_texts_are_alike_if_they_are_equal() -> None:
    assert differences([tensor(["a", "é"], BYTES)], {"y": tensor(["a", "é"], BYTES)}) == {"y": Difference(0, 0, True)}


def test_an_output_that_only_the_other_has_doesnt_count() -> None:
    assert list(differences([tensor([1.0])], {"y": tensor([1.0]), "more": tensor([2.0])})) == ["y"]


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.data())
def test_rows_are_alike_exactly_if_the_proof_of_batching_finds_them_the_same(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    own = data.draw(arrays.arrays(np.float32, shape, elements=NUMBERS))
    near = np.array(data.draw(st.lists(st.sampled_from([1.0, 1.0004, 1.002, -1.0]), min_size=1, max_size=16)))
    with np.errstate(over="ignore", invalid="ignore"):
        other = (own.astype(np.float64) * np.resize(near, shape)).astype(np.float32)
    alike = all(same(one, two, 1e-3) for one, two in zip(own, other, strict=True))
    found = compare(own, other, FP32)
    # At the very limit the two divide and multiply in another order.
    assert found.alike == alike or found.relative == pytest.approx(1e-3)


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_large_tensor_in_pieces_differs_as_in_one(rows: int, columns: int, draw: Any) -> None:
    own = np.array([[draw.choice([0.0, 1.0, -3.0, 7.5, inf]) for _ in range(columns)] for _ in range(rows)], np.float32)
    other = np.array([[value + draw.choice([0.0, 0.5]) for value in row] for row in own], np.float32)
    whole = compare(own, other, FP32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "BLOCK", 4)
        assert compare(own, other, FP32) == whole


def test_bfloat16_is_compared_as_it_is() -> None:
    one = np.array([[1.0, 256.0]], ml_dtypes.bfloat16)
    assert compare(one, one + one, BF16) == Difference(256.0, 0.5, False, 1, 0)


@pytest.mark.parametrize(
    ("difference", "same"),
    [
        pytest.param(Difference(0.0, 0.0, True), True, id="alike, without columns"),
        pytest.param(Difference(1.0, 0.25, False, 3, 0), True, id="other numbers, largest where they were"),
        pytest.param(Difference(1.0, 0.25, False, 3, 1), False, id="one row's is elsewhere"),
        pytest.param(Difference(1e-5, 1e-5, True, 3, 1), True, id="elsewhere among equals"),
        pytest.param(Difference(1.0, 0.25, False), False, id="other numbers, of which none is a choice"),
        pytest.param(INCOMPARABLE, False, id="what can't be compared"),
    ],
)
def test_a_choice_is_where_the_largest_value_of_each_row_is(difference: Difference, same: bool) -> None:
    assert difference.same_choice is same
