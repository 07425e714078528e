import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.rows import KEPT_BYTES, Assembly, compatibility, size_in_bytes, split, whole_shape
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
    batch = Assembly().stack(requests, sum(rows))
    for request, (answer,) in zip(requests, split([batch["a"]], rows), strict=True):
        np.testing.assert_array_equal(answer, request["a"])


def test_a_lone_request_is_passed_on_uncopied() -> None:
    request = {"a": np.zeros((2, 2))}
    assert Assembly().stack([request], 2)["a"] is request["a"]


def test_a_large_batch_leaves_its_memory_to_the_next() -> None:
    assembly, width = Assembly(), KEPT_BYTES // 8
    requests = [{"a": np.full((1, width), float(value))} for value in range(3)]
    first = assembly.stack(requests, 3)["a"]
    second = assembly.stack(requests[1:], 2)["a"]
    assert np.shares_memory(first, second)
    assert second[:, 0].tolist() == [1.0, 2.0]


def test_an_input_passed_through_as_an_output_outlives_the_next_batch() -> None:
    assembly, width = Assembly(), KEPT_BYTES // 8
    batch = assembly.stack([{"a": np.full((1, width), float(value))} for value in range(2)], 2)
    answers = assembly.split([batch["a"]], [1, 1])
    assembly.stack([{"a": np.full((1, width), 9.0)} for _ in range(2)], 2)
    assert [answer[0, 0] for (answer,) in answers] == [0.0, 1.0]


def test_requests_of_one_cost_are_those_of_one_whole_shape() -> None:
    one: Feeds = {"a": np.zeros((1, 4), np.float32)}
    assert whole_shape(one) == whole_shape({"a": np.ones((1, 4), np.float32)})
    assert whole_shape(one) != whole_shape({"a": np.zeros((2, 4), np.float32)})


def test_bytes_are_counted_with_what_strings_hold() -> None:
    feeds = {"a": np.zeros((2, 3), np.float32), "b": np.array([["x" * 1000], ["y"]], np.object_)}
    assert 24 + 16 + 1001 <= size_in_bytes(feeds) < 24 + 16 + 1001 + 2 * 100


@pytest.mark.parametrize("output", [np.zeros((4, 2)), np.zeros(())], ids=["too many rows", "a scalar"])
def test_an_output_without_a_row_per_input_row_is_refused(output: Array) -> None:
    with pytest.raises(ExecutionFailed, match="batch of 3 rows"):
        split([output], [1, 2])
