"""The verdict on a canary: the table of what is seen and what is said, and what holds whatever is seen."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.analysis_status import AnalysisStatus, Sample
from tidegate_operator.api.rollout_spec import AnalysisSpec
from tidegate_operator.evidence.allowance import failures_allowed, slow_allowed
from tidegate_operator.evidence.betting import upper_bound
from tidegate_operator.evidence.buckets import BOUNDS_SECONDS, above, bound, index_of, p95_ms, p95_seconds, steps_of
from tidegate_operator.evidence.chance import share_differs
from tidegate_operator.evidence.judge import judge
from tidegate_operator.evidence.tally import Window

from .builders import NOW, after

SPEC = AnalysisSpec(min_p95_increase="0ms")
"""By shares alone, so that a bound is as many buckets higher wherever it is."""


def counts(**by_bucket: int) -> tuple[int, ...]:
    """Requests by bucket: `counts(b100=5)`."""
    found = [0] * (len(BOUNDS_SECONDS) + 1)
    for name, count in by_bucket.items():
        found[int(name[1:])] = count
    return tuple(found)


def window(requests: int = 0, failures: int = 0, restarts: int = 0, **by_bucket: int) -> Window:
    return Window(requests=requests, failures=failures, restarts=restarts, counts=counts(**by_bucket))


STABLE = window(2700, 3, b100=2565, b103=135)
"""5 in 100 are above the bound 100, so 20 % slower is above the bound 104."""
SILENT = Window(requests=300, untimed=True)
"""Of an image of the user's own that tells no times."""


@pytest.mark.parametrize(
    ("spec", "canary", "stable", "verdict", "reason", "words"),
    [
        pytest.param({}, window(300, 0, b100=300), STABLE, "Pass", "WithinBounds", "failed 0 of 300", id="like stable"),
        pytest.param(
            {}, window(199, 0, b100=199), STABLE, "Inconclusive", "TooFewRequests", "199 of 200 requests", id="too few"
        ),
        pytest.param({"min_requests": 0}, Window(), STABLE, "Pass", "WithinBounds", "failed 0 of 0", id="none wanted"),
        pytest.param(
            {}, window(300, 0, b100=19), STABLE, "Inconclusive", "TooFewTimes", "19 of the canary's", id="few times"
        ),
        pytest.param({}, SILENT, STABLE, "Pass", "NoTimes", "whether it is slower isn't known", id="no times"),
        pytest.param(
            {}, replace(SILENT, failures=30), STABLE, "Fail", "ErrorsIncreased", "30 of 300", id="errors without times"
        ),
        pytest.param(
            {}, window(300, 30, b100=270), STABLE, "Fail", "ErrorsIncreased", "30 of 300 requests (10 %)", id="errors"
        ),
        pytest.param(
            {"max_error_rate": "0.5%"},
            window(300, 12, b100=288),
            STABLE,
            "Fail",
            "ErrorRateExceeded",
            "0.5 % are allowed",
            id="a limit of its own",
        ),
        pytest.param(
            {},
            window(300, 0, b100=200, b107=100),
            STABLE,
            "Fail",
            "P95Increased",
            "100 of 300 timed requests (33.3 %)",
            id="slow",
        ),
        pytest.param(
            {"min_p95_increase": "0ms"},
            window(300, 0, b100=200, b104=100),
            STABLE,
            "Pass",
            "WithinBounds",
            "0 of 300 timed",
            id="just within",
        ),
        pytest.param(
            {"min_p95_increase": "0ms"},
            window(300, 0, b100=200, b105=100),
            STABLE,
            "Fail",
            "P95Increased",
            "above 11.45 ms by now (maxP95Increase)",
            id="just too slow by share",
        ),
        pytest.param(
            {"min_p95_increase": "5ms"},
            window(300, 0, b100=200, b110=100),
            STABLE,
            "Pass",
            "WithinBounds",
            "0 of 300 timed",
            id="just within by time",
        ),
        pytest.param(
            {"min_p95_increase": "5ms"},
            window(300, 0, b100=200, b111=100),
            STABLE,
            "Fail",
            "P95Increased",
            "above 15.05 ms by now (minP95Increase)",
            id="just too slow by time",
        ),
        pytest.param(
            {"max_p95": "10ms"},
            window(300, 0, b100=200, b103=100),
            STABLE,
            "Fail",
            "P95Exceeded",
            "above 10.45 ms by now (maxP95)",
            id="slower than its own limit",
        ),
        pytest.param(
            {}, window(10, 0, 2, b100=10), STABLE, "Fail", "CanaryRestarted", "2 containers", id="ended by itself"
        ),
        pytest.param(
            {}, window(300, 3, b100=297), Window(), "Pass", "NoStableRequests", "stable had no requests", id="alone"
        ),
        pytest.param(
            {},
            window(300, 3, b200=297),
            window(99, 0, b100=10),
            "Pass",
            "NoStableRequests",
            "no p95 to hold",
            id="as good as alone",
        ),
        pytest.param(
            {}, window(300, 60, b100=240), Window(), "Fail", "ErrorRateExceeded", "5 % are allowed", id="alone and bad"
        ),
        pytest.param(
            {}, window(300, 60, b100=240), window(50, 10), "Pass", "NoStableRequests", "21 %", id="stable is as bad"
        ),
        pytest.param(
            {"max_p95": "10ms"},
            window(300, 0, b200=300),
            Window(),
            "Fail",
            "P95Exceeded",
            "5 % are allowed",
            id="alone and slow",
        ),
    ],
)
def test_the_verdict_on_what_was_seen(
    spec: dict[str, Any], canary: Window, stable: Window, verdict: str, reason: str, words: str
) -> None:
    status = judge(AnalysisSpec(**spec), None, canary, stable, NOW)
    assert (status.verdict, status.reason) == (verdict, reason), status.message
    assert words in status.message
    assert len(status.message) <= 400
    assert status.at == NOW


def test_the_status_tells_the_numbers_of_all_windows() -> None:
    first = judge(SPEC, None, window(300, 1, b100=290, b107=9), STABLE, NOW)
    assert first.canary == Sample(requests=300, failures=1, timed=299, slow=9)
    assert first.stable == Sample(requests=2700, failures=3, timed=2700, slow=0)
    assert first.slow_after_ms == pytest.approx(1000 * bound(104), abs=1e-3)
    second = judge(SPEC, first, window(10, 0, b100=10), Window(earlier=STABLE.counts), after(30))
    assert second.canary == Sample(requests=310, failures=1, timed=309, slow=9)
    assert (second.stable, second.at) == (first.stable, after(30))


def test_a_controller_that_forgot_stables_times_goes_on_with_the_rest() -> None:
    first = judge(SPEC, None, window(300, 1, b100=290, b107=9), STABLE, NOW)
    second = judge(SPEC, first, window(300, 0, b107=300), Window(requests=5), after(30))
    assert second.verdict == "Pass"
    assert second.slow_after_ms == first.slow_after_ms
    assert second.p95_evidence == first.p95_evidence
    assert judge(SPEC, second, window(300, 0, b107=300), STABLE, after(60)).reason == "P95Increased"


def test_a_fail_is_for_good() -> None:
    failed = judge(SPEC, None, window(300, 60, b100=240), STABLE, NOW)
    assert judge(SPEC, failed, window(10_000, 0, b100=10_000), STABLE, after(30)) is failed


def test_evidence_of_another_length_is_another_releases_and_begins_anew() -> None:
    first = judge(SPEC, None, window(300, 4, b100=300), STABLE, NOW)
    other = first.model_copy(update={"error_evidence": [9.0] * 5})
    assert judge(SPEC, other, Window(), STABLE, NOW).error_evidence == [0.0] * 12


WINDOWS = st.builds(
    lambda requests, bad, fast, slow: window(requests, min(bad, requests), b100=fast, b110=slow),
    st.integers(0, 400),
    st.integers(0, 6),
    st.integers(0, 400),
    st.integers(0, 10),
)


def run(windows: list[Window], stable: Window = STABLE) -> AnalysisStatus | None:
    status = None
    for each in windows:
        status = judge(SPEC, status, each, stable, NOW)
    return status


@given(st.lists(WINDOWS, min_size=1, max_size=6), st.integers(0, 5))
def test_a_window_in_which_nothing_came_changes_no_verdict(windows: list[Window], place: int) -> None:
    still = Window(earlier=STABLE.counts)
    status = None
    for each in windows[: place + 1]:
        status = judge(SPEC, status, each, STABLE, NOW)
    assert status is not None
    again = judge(SPEC, status, Window(), still, after(30))
    assert again.model_copy(update={"at": status.at, "message": status.message}) == status


@given(st.lists(WINDOWS, min_size=1, max_size=6))
def test_a_status_that_was_stored_and_read_goes_on_as_it_would_have(windows: list[Window]) -> None:
    status = run(windows)
    assert status is not None
    stored = AnalysisStatus.model_validate(status.dump())
    following = window(100, 1, b100=99)
    assert judge(SPEC, stored, following, STABLE, NOW) == judge(SPEC, status, following, STABLE, NOW)


@pytest.mark.parametrize(
    ("spec", "before", "stable", "allowed", "compared"),
    [
        # U(3 of 2700) and 1 %.
        pytest.param({}, Sample(), window(2700, 3), upper_bound(3, 2700) + 0.01, True, id="stable's and the increase"),
        pytest.param(
            {},
            Sample(requests=2700, failures=1),
            window(2700, 2),
            upper_bound(3, 5400) + 0.01,
            True,
            id="of all windows",
        ),
        pytest.param(
            {},
            Sample(requests=2700, failures=1),
            window(2700, 30),
            upper_bound(30, 2700) + 0.01,
            True,
            id="of this one alone, where it is worse for stable",
        ),
        pytest.param({"max_error_rate": "1%"}, Sample(), window(2700, 3), 0.01, False, id="a lower limit rules"),
        pytest.param({"max_error_rate": "9%"}, Sample(), window(99), 0.09, False, id="alone where stable says nothing"),
        pytest.param({}, Sample(), window(99), 0.05, False, id="else 5 %"),
        pytest.param({}, Sample(), window(50, 20), 0.41, False, id="or as much as stable"),
        pytest.param({}, Sample(), window(50, 50), 1.0, False, id="if that fails altogether: anything"),
    ],
)
def test_what_the_canary_may_fail(
    spec: dict[str, Any], before: Sample, stable: Window, allowed: float, compared: bool
) -> None:
    found = failures_allowed(AnalysisSpec(**spec), before, stable)
    assert found.share == pytest.approx(allowed)
    assert found.compared is compared


def test_the_bound_nearest_to_the_p95_is_compared_four_buckets_higher() -> None:
    found = slow_allowed(SPEC, window(0, b100=930, b101=30, b105=40))
    assert found is not None
    # 7 in 100 are above the bound 100, 4 above the bound 101: that is nearer to 5.
    assert (found.index, found.bad, found.of) == (105, 40, 1000)
    assert found.share == upper_bound(40, 1000) > 0.05
    exact = slow_allowed(SPEC, window(0, b100=100_000))
    assert exact is not None
    assert (exact.index, exact.share) == (104, 0.05), "it is a p95 that is compared, though none of stable's is slower"


@pytest.mark.parametrize(
    ("spec", "p95", "slow_after", "by"),
    [
        # 0.98 + 2 = 2.98 ms are above the bound 74, 2.92 ms; 20 % more are the bound 54.
        pytest.param({}, 50, 75, "minP95Increase", id="a millisecond and two"),
        # 9.54 + 2 = 11.54 ms are above the bound 104, 11.45 ms.
        pytest.param({}, 100, 105, "minP95Increase", id="where both are nearly the same"),
        # 10.45 + 2 = 12.45 ms are above the bound 105, 11.98 ms, and at most 106, which 20 % more are, too.
        pytest.param({}, 102, 106, "maxP95Increase", id="from ten milliseconds on the share leads further"),
        pytest.param({"min_p95_increase": "0ms"}, 50, 54, "maxP95Increase", id="no least"),
        pytest.param({"max_p95_increase": "0%"}, 100, 105, "minP95Increase", id="no share"),
        pytest.param({"max_p95_increase": "9999%"}, 50, 152, "maxP95Increase", id="a large share"),
        pytest.param({"min_p95_increase": "1h"}, 50, 305, "minP95Increase", id="nothing is slower by an hour"),
        pytest.param({"max_p95": "2ms"}, 50, 66, "maxP95", id="a limit of its own holds whatever counts as increased"),
    ],
)
def test_slow_is_what_is_beyond_the_share_and_beyond_the_time(
    spec: dict[str, Any], p95: int, slow_after: int, by: str
) -> None:
    found = slow_allowed(AnalysisSpec(**spec), window(0, **{f"b{p95}": 1000}))
    assert found is not None
    assert (found.index, found.by) == (slow_after, by)


@given(st.integers(0, 304), st.integers(0, 200), st.integers(0, 5000))
def test_nothing_within_the_share_or_the_time_is_slow(p95: int, percent: int, milliseconds: int) -> None:
    spec = AnalysisSpec(max_p95_increase=f"{percent}%", min_p95_increase=f"{milliseconds}ms")
    found = slow_allowed(spec, window(0, **{f"b{p95}": 1000}))
    assert found is not None
    within = max(bound(p95) * (1 + percent / 100), bound(p95) + milliseconds / 1000)
    assert bound(found.index) >= min(within, BOUNDS_SECONDS[-1]) * (1 - 1e-6)
    assert bound(found.index - 1) < within, "and it is no more than one bucket too kind"


def test_an_equal_canary_of_a_millisecond_is_not_given_up_because_its_pod_is_colder() -> None:
    """Where two busy cores ran both, 33 of 102 requests of an equal one took longer than 1.5 ms, stable's p95 × 1.2."""
    stable = window(918, 0, b55=873, b56=45)
    canary = window(102, 0, b55=69, b62=33)
    assert judge(SPEC, None, canary, stable, NOW, steps=3).reason == "P95Increased"
    judged = judge(AnalysisSpec(min_requests=100), None, canary, stable, NOW, steps=3)
    assert (judged.verdict, judged.reason) == ("Pass", "WithinBounds")
    assert "0 of 102 timed requests (0 %) of the canary were slow, above" in judged.message


def test_where_stable_is_slower_than_before_its_last_window_alone_is_compared() -> None:
    calm, slow = counts(b100=950, b102=50), counts(b110=950, b112=50)
    found = slow_allowed(SPEC, Window(earlier=calm, counts=slow))
    assert found is not None
    assert (found.index, found.of) == (114, 1000)
    few = slow_allowed(SPEC, Window(earlier=calm, counts=counts(b110=19)))
    assert few is None, "of what is too little to tell a p95 nothing is said"


@pytest.mark.parametrize(("increase", "steps"), [(0.0, 0), (0.01, 1), (0.2, 4), (0.21, 5), (0.44, 8), (1.0, 16)])
def test_an_increase_is_rounded_up_to_whole_buckets(increase: float, steps: int) -> None:
    assert steps_of(increase) == steps


@pytest.mark.parametrize(
    ("seconds", "index"), [(0.00001, 0), (0.0001, 0), (0.00012, 4), (0.01, 102), (104.0, 304), (1000.0, 305)]
)
def test_the_bound_of_a_time_is_the_least_that_is_not_below_it(seconds: float, index: int) -> None:
    assert index_of(seconds) == index


def test_requests_above_a_bound_are_those_of_the_buckets_behind_it() -> None:
    assert [above((1, 2, 4, 8), index) for index in (0, 1, 2, 3, 9)] == [14, 12, 8, 0, 0]


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        pytest.param((), None, id="none"),
        pytest.param(counts(b100=100), bound(100) * 1.2 ** (-0.05 / 4), id="95 hundredths into the only bucket"),
        pytest.param(counts(b100=95, b104=5), bound(100), id="at the end of one"),
        pytest.param(counts(b100=90, b104=10), bound(104) * 1.2**-0.125, id="in the middle of one"),
        pytest.param(counts(b305=1), BOUNDS_SECONDS[-1], id="above them all"),
    ],
)
def test_the_p95_for_people(found: tuple[int, ...], seconds: float | None) -> None:
    told = p95_seconds(found)
    assert told == (None if seconds is None else pytest.approx(seconds))
    assert p95_ms(found) == (None if seconds is None else round(1000 * seconds))


@pytest.mark.parametrize(
    ("canary", "stable", "weight", "differs"),
    [
        pytest.param(0, 0, 10, False, id="nothing yet"),
        pytest.param(9, 0, 10, False, id="small numbers never do"),
        pytest.param(0, 100, 10, False, id="a hundred of which ten are missing"),
        pytest.param(0, 1000, 10, True, id="a thousand of which a hundred are missing"),
        pytest.param(1000, 9000, 10, False, id="just right"),
        pytest.param(1150, 8850, 10, False, id="five standard deviations, of which 5.5 would do"),
        pytest.param(1200, 8800, 10, True, id="seven"),
        pytest.param(10, 10_000, 0, True, id="ten requests at no weight"),
        pytest.param(9, 10_000, 0, False, id="nine"),
        pytest.param(10_000, 0, 100, False, id="all at all the weight"),
    ],
)
def test_a_share_differs_beyond_chance(canary: int, stable: int, weight: float, differs: bool) -> None:
    assert share_differs(canary, stable, weight) is differs
