"""A process whose work is to begin anew does so by itself, later and later, and ends for any other reason."""

from collections.abc import Iterable, Iterator

import pytest

from tidegate_operator.process.restarting import FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, LASTED_SECONDS, run


class Again(Exception):
    pass


class Process:
    """Work that lasts for so many seconds each time and ends as told."""

    def __init__(self, endings: Iterable[Exception | None], lasts: float = 1.0) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._endings: Iterator[Exception | None] = iter(endings)
        self._lasts = lasts

    async def work(self) -> None:
        self.now += self._lasts
        if (error := next(self._endings)) is not None:
            raise error

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def run(self) -> None:
        run(self.work, Again, sleep=self.sleep, clock=lambda: self.now)


def test_work_that_ends_is_over() -> None:
    process = Process([None])
    process.run()
    assert process.pauses == []


def test_another_error_ends_it() -> None:
    process = Process([Again(), KeyError("a bug")])
    with pytest.raises(KeyError):
        process.run()
    assert len(process.pauses) == 1


def test_pauses_grow_up_to_a_bound() -> None:
    process = Process([*(Again() for _ in range(8)), None])
    process.run()
    expected = [min(FIRST_PAUSE_SECONDS * 2**number, LAST_PAUSE_SECONDS) for number in range(8)]
    assert all(most / 2 <= pause <= most for pause, most in zip(process.pauses, expected, strict=True))


def test_after_work_that_lasted_the_pause_is_short_again() -> None:
    process = Process([*(Again() for _ in range(8)), None], lasts=LASTED_SECONDS + 1)
    process.run()
    assert max(process.pauses) <= FIRST_PAUSE_SECONDS
