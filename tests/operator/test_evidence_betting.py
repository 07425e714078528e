"""Bets on a canary: hand-computed wealth, and what has to hold of it whatever comes."""

from math import comb, exp, inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.evidence.betting import (
    DELTA,
    LEAST_SHARE,
    STAKES,
    after,
    begun,
    log_evidence,
    upper_bound,
    won,
)

SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 10_000)


def evidence(bad: int, good: int, share: float) -> float:
    return exp(log_evidence(after(begun(), bad, good, share)))


@pytest.mark.parametrize(
    ("bad", "good", "share", "stake", "wealth"),
    [
        # 1 + f (1 − p) / p for a bad one, 1 − f for a good one.
        pytest.param(1, 0, 0.5, 0, 1.002, id="a bad one at even odds wins the stake"),
        pytest.param(0, 1, 0.5, 0, 0.998, id="a good one loses it"),
        pytest.param(2, 0, 0.05, 0, 1.038**2, id="two bad ones at 19 to 1"),
        pytest.param(1, 2, 0.2, 1, (1 + 0.0035 * 4) * 0.9965**2, id="one of three at 4 to 1, by the second stake"),
    ],
)
def test_a_bet_wins_and_loses_at_the_odds_of_the_share(
    bad: int, good: int, share: float, stake: int, wealth: float
) -> None:
    assert exp(after(begun(), bad, good, share)[stake]) == pytest.approx(wealth)


def test_the_stakes_fit_the_status_and_are_never_all_that_there_is() -> None:
    assert len(STAKES) <= 32
    assert 0 < min(STAKES) < max(STAKES) < 1


@pytest.mark.parametrize("of", range(1, 9))
@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_under_the_hypothesis_the_mean_of_the_evidence_is_one_at_the_bound_and_less_below_it(
    of: int, share: float
) -> None:
    def mean(true: float) -> float:
        return sum(
            comb(of, bad) * true**bad * (1 - true) ** (of - bad) * evidence(bad, of - bad, share)
            for bad in range(of + 1)
        )

    assert mean(share) == pytest.approx(1)
    assert mean(share / 2) < 1


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_the_chance_that_the_evidence_ever_gets_large_is_what_ville_says(share: float) -> None:
    """Exact, by the distribution of the number of bad ones among those that never crossed, with a look at each."""
    level, crossed, at = 20.0, 0.0, {0: 1.0}
    for seen in range(1, 201):
        following: dict[int, float] = {}
        for bad, chance in at.items():
            following[bad] = following.get(bad, 0.0) + chance * (1 - share)
            following[bad + 1] = following.get(bad + 1, 0.0) + chance * share
        at = {}
        for bad, chance in following.items():
            if chance < 1e-12:
                continue
            if evidence(bad, seen - bad, share) >= level:
                crossed += chance
            else:
                at[bad] = chance
    assert 0 < crossed <= 1 / level


@given(COUNTS, COUNTS, COUNTS, COUNTS, SHARES)
def test_it_does_not_matter_in_how_many_windows_the_requests_come(
    bad: int, good: int, more_bad: int, more_good: int, share: float
) -> None:
    split = after(after(begun(), bad, good, share), more_bad, more_good, share)
    assert split == pytest.approx(after(begun(), bad + more_bad, good + more_good, share))


@given(st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=12), SHARES)
def test_nothing_changes_where_nothing_comes(wealth: list[float], share: float) -> None:
    assert after(wealth, 0, 0, share) == tuple(wealth)


@given(st.integers(0, 10**9), st.integers(0, 10**9), SHARES)
def test_whatever_comes_is_a_number(bad: int, good: int, share: float) -> None:
    wealth = after(begun(), bad, good, share)
    assert all(-inf < each < inf for each in wealth)
    assert -inf < log_evidence(wealth) <= max(wealth)


@given(COUNTS, COUNTS)
def test_no_share_exceeds_all(bad: int, good: int) -> None:
    assert after(begun(), bad, good, 1.0) == begun()


def test_a_share_of_none_takes_more_than_one_bad_request_to_be_refuted() -> None:
    # The stakes are 0.183 on average: 1 + 0.183 · 1999 = 367, less than 400.
    assert evidence(1, 0, 0.0) == evidence(1, 0, LEAST_SHARE) == pytest.approx(367, abs=1)
    assert not won(after(begun(), 1, 0, 0.0))
    assert won(after(begun(), 2, 10, 0.0))


def test_more_steps_share_the_chance_of_an_error() -> None:
    wealth = [log(1000.0)] * len(STAKES)
    assert [won(wealth, steps) for steps in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize(
    ("bad", "of", "bound"),
    [
        pytest.param(0, 0, 1.0, id="nothing is known"),
        pytest.param(5, 5, 1.0, id="all were bad"),
        # The mixture is B(½, 109½) / B(½, 9½) = 0.290 against (1 − p)^100: p = 1 − (0.001 · 0.290)^(1/100).
        pytest.param(0, 100, 0.0783, id="none of a hundred"),
        # B(½, 2709½) / B(½, 9½) = 0.0584: p = 1 − (0.001 · 0.0584)^(1/2700).
        pytest.param(0, 2700, 0.00360, id="none of 2700"),
    ],
)
def test_stables_share_is_bounded(bad: int, of: int, bound: float) -> None:
    assert upper_bound(bad, of) == pytest.approx(bound, rel=2e-3)


@given(st.integers(0, 200), st.integers(1, 2000))
def test_the_bound_is_above_what_was_seen_and_falls_with_more_of_the_same(bad: int, good: int) -> None:
    bound = upper_bound(bad, bad + good)
    assert bad / (bad + good) < bound <= 1
    assert upper_bound(10 * bad, 10 * (bad + good)) < bound or bound == 1


def test_stables_true_share_is_hardly_ever_above_its_bound_at_any_time() -> None:
    """Exact, as above: a bound that holds at all times, not at each."""
    share, missed, at = 0.2, 0.0, {0: 1.0}
    for seen in range(1, 151):
        following: dict[int, float] = {}
        for bad, chance in at.items():
            following[bad] = following.get(bad, 0.0) + chance * (1 - share)
            following[bad + 1] = following.get(bad + 1, 0.0) + chance * share
        low = [bad for bad in following if bad < share * seen and upper_bound(bad, seen) < share]
        missed += sum(following.pop(bad) for bad in low)
        at = {bad: chance for bad, chance in following.items() if chance > 1e-9}
    assert 0 < missed <= DELTA
