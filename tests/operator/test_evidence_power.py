"""What the analysis finds and how often it is wrong, by the simulation whose table docs/evidence.md publishes."""

import pytest

from power.simulation import Case, simulate
from tidegate_operator.api.rollout_spec import AnalysisSpec

LOOKS = 24


@pytest.mark.parametrize("variation", [0.15, 0.3, 0.5, 0.7, 1.0])
def test_an_equal_canary_is_hardly_ever_rolled_back(variation: float) -> None:
    assert simulate(Case("equal", LOOKS, variation=variation), runs=30, seed=1).share(LOOKS) == 0


@pytest.mark.parametrize(
    ("case", "within", "share"),
    [
        pytest.param(Case("", 3, variation=0.15, slower=0.3), 3, 0.95, id="30 % slower at CV 0.15"),
        pytest.param(Case("", 10, variation=0.3, slower=0.3), 10, 0.9, id="30 % slower at CV 0.3"),
        pytest.param(Case("", 3, mean_ms=1.0, later_ms=4.0), 3, 0.95, id="4 ms later than a model of 1 to 2 ms"),
        pytest.param(Case("", 3, canary_errors=0.051), 3, 0.95, id="5 in 100 more fail"),
    ],
)
def test_a_worse_canary_is_found(case: Case, within: int, share: float) -> None:
    assert simulate(case, runs=100, seed=2).share(within) >= share


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case("", LOOKS, variation=0.15, slower=0.2, canary_errors=0.011), id="by share"),
        pytest.param(Case("", LOOKS, variation=0.15, mean_ms=1.0, later_ms=2.0, canary_errors=0.011), id="by time"),
    ],
)
def test_a_canary_just_at_its_bounds_is_hardly_ever_rolled_back(case: Case) -> None:
    assert simulate(case, runs=30, seed=3).share(LOOKS) == 0


def test_a_canary_of_a_millisecond_is_not_given_up_for_another_one() -> None:
    assert simulate(Case("", LOOKS, mean_ms=1.0, later_ms=1.0), runs=30, seed=6).share(LOOKS) == 0
    by_share_alone = Case("", LOOKS, mean_ms=1.0, later_ms=1.0, analysis=AnalysisSpec(min_p95_increase="0ms"))
    assert simulate(by_share_alone, runs=10, seed=6).share(3) == 1


def test_what_makes_both_slower_is_not_the_canarys_fault() -> None:
    assert simulate(Case("", LOOKS, slump=6), runs=20, seed=4).share(LOOKS) == 0


def test_the_same_seed_gives_the_same_table() -> None:
    case = Case("", 10, slower=0.3)
    assert simulate(case, runs=5, seed=5) == simulate(case, runs=5, seed=5)
