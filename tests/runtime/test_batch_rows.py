import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.rows import compatibility, split, stack
from tidegate_runtime.errors import ExecutionFailed
from tidegate_runtime.tensors import Array, Feeds


def test_requests_are_compatible_when_names_types_and_trailing_shapes_agree() -> None:
    one: Feeds = {"a": np.zeros((1, 4), np.float32), "b": np.zeros((1,), np.int64)}
    two: Feeds = {"b": np.ones((3,), np.int64), "a": np.ones((3, 4), np.float32)}
    assert compatibility(one) == compatibility(two)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"a": np.zeros((1, 5), np.float32)}, id="another trailing shape"),
        pytest.param({"a": np.zeros((1, 4), np.float64)}, id="another type"),
        pytest.param({"b": np.zeros((1, 4), np.float32)}, id="another name"),
    ],
)
def test_requests_are_not_compatible_with(other: Feeds) -> None:
    assert compatibility({"a": np.zeros((1, 4), np.float32)}) != compatibility(other)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_splitting_gives_each_request_the_rows_it_brought(rows: list[int]) -> None:
    requests = [{"a": np.full((count, 2), index)} for index, count in enumerate(rows)]
    batch = stack(requests)
    for request, (answer,) in zip(requests, split([batch["a"]], rows), strict=True):
        np.testing.assert_array_equal(answer, request["a"])


def test_a_lone_request_is_passed_on_uncopied() -> None:
    request = {"a": np.zeros((2, 2))}
    assert stack([request])["a"] is request["a"]


@pytest.mark.parametrize("output", [np.zeros((4, 2)), np.zeros(())], ids=["too many rows", "a scalar"])
def test_an_output_without_a_row_per_input_row_is_refused(output: Array) -> None:
    with pytest.raises(ExecutionFailed, match="batch of 3 rows"):
        split([output], [1, 2])
