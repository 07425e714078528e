import pytest

from bench import usage

BEFORE = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 100 0 50 800 0 0 0 50 0 0\ncpu1 10 0 10 980 0 0 0 0 0 0\nintr 1\n"
AFTER = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 180 0 60 800 0 0 0 60 0 0\ncpu1 60 0 10 1030 0 0 0 0 0 0\nintr 2\n"


def test_the_most_disturbed_core_says_how_much_was_stolen() -> None:
    before, after = (usage.stolen(text, (0, 1)) for text in (BEFORE, AFTER))
    assert usage.stolen_share(before, after) == pytest.approx(0.1)


def test_cpu_time_is_read_past_a_name_with_parentheses() -> None:
    times = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 30 20 5 1 20 0 1 0 100"
    assert usage.cpu_seconds_in(times) == pytest.approx(56 / usage.TICKS)
