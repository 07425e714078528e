"""Which requests are copied, what a copy keeps, and where it goes no further."""

import mmap
import random
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tidegate_runtime.batching.tickets import OVER, RAN, Chosen, Ticket
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.shadow.copies import SMALL_BYTES, Waiting, lasting
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.shadow.tap import Tap
from tidegate_runtime.tensors import Array, Datatype, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("x", Datatype.FP32, ("N", 4)),), outputs=(TensorSpec("y", Datatype.FP32, ("N", 4)),)
)
ROW = np.ones((1, 4), np.float32)


def tap(percent: float, waiting: Waiting | None = None) -> tuple[Tap, ShadowFigures]:
    model = SimpleNamespace(name="a b", version="1", signature=SIGNATURE, limits=SimpleNamespace(timeout_seconds=3.0))
    figures = ShadowFigures("a b", "1", "2")
    made = Tap(cast("ServedModel", model), percent, figures, waiting or Waiting(), random.Random(7))
    return made, figures


def tickets(count: int, **changed: Any) -> list[Ticket]:
    one = {"state": RAN, "hop": False, "feeds": {"x": ROW}, "size": 16, "authorization": None} | changed
    return [cast("Ticket", SimpleNamespace(**one)) for _ in range(count)]


def test_all_are_chosen_at_a_hundred_percent() -> None:
    made, _ = tap(100)
    chosen = [made.choose(tickets(count)) for count in (1, 3, 2)]
    assert [[each.position for each in those] for those in chosen] == [[0], [0, 1, 2], [0, 1]]


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize("percent", [1, 20, 50])
def test_the_share_is_chosen_whatever_the_batches(percent: float, batch: int) -> None:
    made, _ = tap(percent)
    total = 40_000 // batch
    chosen = sum(len(made.choose(tickets(batch))) for _ in range(total))
    expected, deviation = total * batch * percent / 100, (total * batch * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(chosen - expected) < 5 * deviation


@pytest.mark.parametrize("percent", [1e-15, 1e-300, 5e-324])
def test_of_a_share_that_is_next_to_nothing_nothing_is_chosen(percent: float) -> None:
    """It was divided by 0, and no share was heard of any more."""
    made, _ = tap(percent)
    assert not any(made.choose(tickets(100)) for _ in range(100))


def test_requests_that_take_turns_are_chosen_alike() -> None:
    made, _ = tap(50)
    at = [each.position % 2 for _ in range(2_000) for each in made.choose(tickets(10))]
    assert abs(sum(at) - len(at) / 2) < 5 * (len(at) / 4) ** 0.5


@pytest.mark.parametrize("changed", [{"hop": True}, {"state": OVER}, {"feeds": None}])
def test_what_was_sent_on_or_left_is_not_copied(changed: dict[str, Any]) -> None:
    made, _ = tap(100)
    assert not made.choose(tickets(5, **changed))


async def test_a_copy_has_the_request_and_its_answer() -> None:
    waiting = Waiting()
    made, _ = tap(100, waiting)
    made.take(Chosen(0, {"x": ROW}, 16), (ROW * 2,))
    copy = await waiting.take()
    assert copy.path == b"/v2/models/a%20b/versions/2/infer"
    assert (copy.size, copy.timeout_seconds) == (32, 3.0)
    np.testing.assert_array_equal(copy.feeds["x"], ROW)
    (output,) = copy.outputs
    assert (output.name, output.datatype) == ("y", Datatype.FP32)
    np.testing.assert_array_equal(output.array, ROW * 2)


@pytest.mark.parametrize(("most", "most_bytes", "kept"), [(2, 1000, 2), (10, 100, 3), (10, 31, 0)])
async def test_what_has_no_room_is_dropped_and_counted(most: int, most_bytes: int, kept: int) -> None:
    waiting = Waiting(most, most_bytes)
    made, figures = tap(100, waiting)
    for _ in range(5):
        made.take(Chosen(0, {"x": ROW}, 16), (ROW,))
    assert figures.outcomes["dropped"] == 5 - kept
    assert waiting.bytes == 32 * kept
    assert len(waiting.clear()) == kept
    assert waiting.bytes == 0


LARGE = np.arange(4 * SMALL_BYTES, dtype=np.uint8)


@pytest.mark.parametrize(
    "array",
    [LARGE, LARGE[: 3 * SMALL_BYTES], np.frombuffer(LARGE.tobytes(), np.float32), LARGE.reshape(4, -1)],
)
def test_what_is_a_requests_own_stays_where_it_is(array: Array) -> None:
    assert lasting(array) is array


def test_a_share_of_what_is_larger_is_copied() -> None:
    mapped = mmap.mmap(-1, len(LARGE))
    shares = [LARGE[:SMALL_BYTES], LARGE[: 2 * SMALL_BYTES - 1], np.frombuffer(mapped, np.uint8)]
    shares.append(np.frombuffer(memoryview(LARGE.tobytes())[: 2 * SMALL_BYTES - 1], np.uint8))
    for share in shares:
        kept = lasting(share)
        assert not np.may_share_memory(kept, share)
        np.testing.assert_array_equal(kept, share)


def test_a_copy_has_what_its_request_showed() -> None:
    waiting = Waiting()
    made, _ = tap(100, waiting)
    (chosen,) = made.choose(tickets(1, authorization="Bearer x"))
    made.take(chosen, (ROW * 2,))
    (copy,) = waiting.clear()
    assert copy.authorization == "Bearer x"
    assert "Bearer" not in repr(copy)
