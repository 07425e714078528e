from collections.abc import Callable

import numpy as np
import pytest

from tidegate_runtime.model.alignment import ALIGNMENT, aligned


def beginning_at(offset: int, values: list[float]) -> np.ndarray:
    """An array that begins so many bytes behind a multiple of the alignment."""
    room = np.zeros(8 * len(values) + 2 * ALIGNMENT, np.uint8)
    begin = -room.__array_interface__["data"][0] % ALIGNMENT + offset
    array = room[begin : begin + 4 * len(values)].view(np.float32)
    array[:] = values
    return array


@pytest.mark.parametrize("offset", [4, 8, 12])
def test_an_input_that_begins_between_is_copied_and_its_neighbour_is_not(offset: int) -> None:
    here, there = beginning_at(offset, [1, 2, 3]), beginning_at(0, [4])
    given = aligned({"x": here, "y": there})
    assert given["x"].__array_interface__["data"][0] % ALIGNMENT == 0
    np.testing.assert_array_equal(given["x"], here)
    assert given["y"] is there


def test_inputs_that_begin_right_are_taken_as_they_are() -> None:
    feeds = {"x": beginning_at(0, [1, 2, 3])}
    assert aligned(feeds) is feeds


@pytest.mark.parametrize("view", [lambda room: room, lambda room: room.reshape(2, 3), lambda room: room.view(np.int32)])
def test_what_numpy_has_allocated_is_taken_as_it_is_in_any_shape(view: Callable[[np.ndarray], np.ndarray]) -> None:
    feeds = {"x": view(np.arange(6, dtype=np.float32))}
    assert aligned(feeds) is feeds


def test_a_part_of_what_numpy_has_allocated_is_copied() -> None:
    room = np.arange(6, dtype=np.float32)
    assert aligned({"x": room[1:]})["x"].base is None
