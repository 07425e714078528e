"""A turn that brings more than a batch: it runs at once, batch by batch, until something has to wait."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.place import AT_ONCE_SECONDS
from tidegate_runtime.batching.tickets import Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.plain import Layout, Read
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.turn import Turn

LAYOUT = Layout(rows=2, size=24)
FULL = 4


class Codec:
    """Reads a number as two rows of it."""

    def read(self, _layout: object, numbers: Sequence[float]) -> Read:
        return Read({"x": np.repeat(np.array(numbers, np.float32), 2)[:, None] * np.ones(3, np.float32)}, len(numbers))


class Model:
    """Doubles what passes; told how many batches do, and how long each takes. Keeps what it is asked, in order."""

    limits = SimpleNamespace(timeout_seconds=30.0)

    def __init__(self, passing: int, seconds: float = 0.0) -> None:
        self.passing = passing
        self.seconds = seconds
        self.now = 0.0
        self.asked: list[tuple[str, list[float]]] = []

    def filling(self, _layout: object, feeds: Feeds) -> int:
        assert len(feeds["x"]) % 2 == 0
        return FULL

    def pass_by(self, _layout: object, alike: Alike, *, more: bool = False) -> Passed | None:
        if not self.passing:
            return None
        self.passing -= 1
        self.now += self.seconds
        self._note("ran before others" if more else "ran", alike)
        return Passed(self.now, [alike.feeds["x"] * 2])

    def submit_all(self, _layout: object, alike: Alike) -> list[Ticket]:
        self._note("queued", alike)
        return [SimpleNamespace(arrived=self.now) for _ in range(alike.number)]  # type: ignore[misc]

    def cut(self) -> None:
        self.asked.append(("cut", []))

    def cut_soon(self) -> None:
        self.asked.append(("cut soon", []))

    def hold(self) -> None: ...

    def release(self) -> None: ...

    def _note(self, what: str, alike: Alike) -> None:
        each = [feeds["x"] for feeds, *_ in alike.asked()]
        assert all(rows.shape == (2, 3) for rows in each)
        assert np.array_equal(np.concatenate(each), alike.feeds["x"])
        assert (alike.earliest, alike.latest) == (alike.asked()[0][1], alike.asked()[-1][1])
        self.asked.append((what, [float(rows[0, 0]) for rows in each]))


class Answered(Turn[Any]):
    """Keeps which call was written what."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.written: dict[float, list[float]] = {}

    def _write_all(self, first: Any, calls: Sequence[Any], outputs: Sequence[Array], *, leads: bool) -> None:
        assert first is calls[0]
        assert leads
        for call, rows in zip(calls, np.split(outputs[0], len(calls)), strict=True):
            self.written[call.number] = rows[:, 0].tolist()

    def _refuse_all(self, model: Any, calls: Sequence[Any], fault: RuntimeFault) -> None:
        raise AssertionError("nothing is refused")


def calls_of(numbers: Sequence[float], seconds_left: float | None = None) -> list[Any]:
    """Calls with these numbers, each later than the one before."""
    codec = Codec()
    return [
        SimpleNamespace(
            number=number,
            received=-1 + number / 1000,
            over=False,
            form=codec,
            find=lambda number=number: (LAYOUT, number),
            seconds_left=seconds_left,
            telling=True,
            deliver=None,
            client=None,
            ticket=None,
            parsed=None,
        )
        for number in numbers
    ]


def taken(model: Model, numbers: Sequence[float], seconds_left: float | None = None) -> Answered:
    """A turn that has brought these numbers."""
    turn = Answered(lambda: model.now)
    turn._come = {model: calls_of(numbers, seconds_left)}  # type: ignore[dict-item]
    turn._take()
    return turn


TEN = [float(number) for number in range(10)]


def doubled(numbers: Sequence[float]) -> dict[float, list[float]]:
    return {number: [2 * number] * 2 for number in numbers}


def test_on_an_idle_engine_all_of_it_runs_at_once() -> None:
    model = Model(passing=9)
    assert taken(model, TEN).written == doubled(TEN)
    assert model.asked == [("ran before others", TEN[:4]), ("ran before others", TEN[4:8]), ("ran", TEN[8:])]


@pytest.mark.parametrize(("passing", "ran", "cut"), [(0, 0, "cut"), (1, 4, "cut soon"), (2, 8, "cut soon")])
def test_from_where_a_batch_has_to_wait_on_all_do_in_one_queue(passing: int, ran: int, cut: str) -> None:
    model = Model(passing)
    assert taken(model, TEN).written == doubled(TEN[:ran])
    assert model.asked[passing:] == [("queued", TEN[ran:]), (cut, [])]


def test_after_a_while_the_rest_waits_so_that_connections_are_read() -> None:
    model = Model(passing=9, seconds=AT_ONCE_SECONDS / 2)
    assert taken(model, TEN).written == doubled(TEN[:8])
    assert model.asked[2:] == [("queued", TEN[8:]), ("cut soon", [])]


def test_where_other_models_have_requests_too_what_is_more_than_a_batch_waits_for_its_turn() -> None:
    one, other = Model(passing=9), Model(passing=9)
    turn = Answered(lambda: 0.0)
    turn._come = {one: calls_of(TEN), other: calls_of(TEN[:4])}  # type: ignore[dict-item]
    turn._take()
    assert one.asked == [("queued", TEN), ("cut", [])]
    assert other.asked == [("ran", TEN[:4])]


def test_where_clients_bound_their_time_none_overtakes_by_having_come_first() -> None:
    model = Model(passing=9)
    assert taken(model, TEN, seconds_left=5.0).written == {}
    assert model.asked == [("queued", TEN), ("cut", [])]


def test_what_fits_one_batch_is_one() -> None:
    model = Model(passing=9)
    assert taken(model, TEN[:4]).written == doubled(TEN[:4])
    assert model.asked == [("ran", TEN[:4])]
