"""The verdict on a canary that answers copies: the table of what became of them and what is said."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.analysis_status import AnalysisStatus, CopySample
from tidegate_operator.api.rollout_spec import AnalysisSpec, ShadowSpec
from tidegate_operator.evidence.copies import judge_copies
from tidegate_operator.evidence.readings import Copies
from tidegate_operator.evidence.tally import Window

from .builders import NOW, after, an_analysis

SPEC, SHADOW = AnalysisSpec(), ShadowSpec(percent=20)


def judged(
    copies: Copies,
    before: AnalysisStatus | None = None,
    *,
    restarts: int = 0,
    mute: int = 0,
    divergence: str = "1%",
    steps: int = 1,
    **spec: Any,
) -> AnalysisStatus:
    shadow = ShadowSpec(percent=20, max_divergence=divergence)
    window = Window(copies=copies, restarts=restarts, mute=mute)
    return judge_copies(AnalysisSpec(**spec), shadow, before, window, NOW, steps=steps)


@pytest.mark.parametrize(
    ("copies", "spec", "verdict", "reason", "words"),
    [
        pytest.param(Copies(300), {}, "Pass", "AnswersAlike", "0 of 300 answers (0 %) differed", id="all alike"),
        pytest.param(Copies(198, 2), {}, "Pass", "AnswersAlike", "2 of 200 answers (1 %)", id="as many as may"),
        pytest.param(Copies(199), {}, "Inconclusive", "TooFewCopies", "199 of 200 answers to copies", id="too few"),
        pytest.param(Copies(), {"min_requests": 0}, "Pass", "AnswersAlike", "0 of 0 answers", id="none wanted"),
        pytest.param(
            Copies(197, 3), {}, "Inconclusive", "CopiesUndecided", "3 of 200 answers (1.5 %)", id="perhaps too many"
        ),
        pytest.param(Copies(270, 30), {}, "Fail", "AnswersDiverged", "by chance at most once in", id="too many"),
        pytest.param(Copies(0, 20), {}, "Fail", "AnswersDiverged", "20 of 20 answers (100 %)", id="all, and soon"),
        pytest.param(
            Copies(999, 1), {"divergence": "0%"}, "Fail", "AnswersDiverged", "none may at all", id="one, where none may"
        ),
        pytest.param(Copies(0, 300), {"divergence": "100%"}, "Pass", "AnswersAlike", "100 % may", id="any may"),
        pytest.param(Copies(270, 0, 0, 30), {}, "Fail", "CopiesFailed", "30 of 300 copies (10 %) failed", id="failing"),
        pytest.param(
            Copies(0, 0, 0, 30), {}, "Fail", "CopiesFailed", "30 of 30 copies (100 %) failed", id="nothing but failures"
        ),
        pytest.param(
            Copies(300, 0, 0, 4),
            {},
            "Inconclusive",
            "CopiesUndecided",
            "4 of 304 copies",
            id="perhaps failing too often",
        ),
        pytest.param(
            Copies(300, 0, 0, 2), {"max_error_rate": "0%"}, "Fail", "CopiesFailed", "0 % may", id="none may fail"
        ),
        pytest.param(
            Copies(300, 0, 0, 4), {"max_error_increase": "5%"}, "Pass", "AnswersAlike", "5 % may", id="more may fail"
        ),
        pytest.param(
            Copies(0, 0, 0, 0, 900), {}, "Inconclusive", "TooFewCopies", "900 copies came to nothing", id="all dropped"
        ),
        pytest.param(
            Copies(300, 0, 0, 0, 1),
            {},
            "Pass",
            "AnswersAlike",
            "1 copy came to nothing",
            id="what is dropped tells nothing",
        ),
        pytest.param(Copies(300), {"restarts": 1}, "Fail", "CanaryRestarted", "1 container of", id="ended by itself"),
        pytest.param(Copies(), {"mute": 2}, "Inconclusive", "StableCantCopy", "Update stable", id="nobody can copy"),
        pytest.param(Copies(), {"mute": 2, "min_requests": 0}, "Pass", "AnswersAlike", "0 of 0", id="nobody has to"),
        pytest.param(Copies(9), {"mute": 2}, "Inconclusive", "TooFewCopies", "9 of 200", id="some can copy"),
    ],
)
def test_what_became_of_copies_and_what_is_said(
    copies: Copies, spec: dict[str, Any], verdict: str, reason: str, words: str
) -> None:
    found = judged(copies, **spec)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert words in found.message
    assert found.copies == CopySample(
        compared=copies.alike + copies.diverged + copies.moved,
        diverged=copies.diverged + copies.moved,
        failed=copies.failed,
        dropped=copies.dropped,
    )


@pytest.mark.parametrize(
    ("copies", "compare", "verdict", "diverged"),
    [
        (Copies(100, 200, 0), "ArgMax", "Pass", 0),
        (Copies(100, 200, 0), "Values", "Fail", 200),
        (Copies(270, 0, 30), "ArgMax", "Fail", 30),
        (Copies(270, 0, 30), "Values", "Fail", 30),
        (Copies(100, 198, 2), "ArgMax", "Pass", 2),
    ],
)
def test_what_counts_as_different_is_what_the_spec_says(
    copies: Copies, compare: Literal["Values", "ArgMax"], verdict: str, diverged: int
) -> None:
    shadow = ShadowSpec(percent=20, compare=compare)
    found = judge_copies(SPEC, shadow, None, Window(copies=copies), NOW)
    assert (found.verdict, found.copies) == (verdict, CopySample(compared=300, diverged=diverged))


def test_windows_add_up_and_a_fail_is_for_good() -> None:
    first = judged(Copies(95, 5, 0, 1, 2))
    assert (first.verdict, first.reason) == ("Inconclusive", "TooFewCopies")
    second = judged(Copies(95, 5, 0, 1, 2), first)
    assert second.copies == CopySample(compared=200, diverged=10, failed=2, dropped=4)
    assert second.divergence_evidence == pytest.approx([2 * each for each in first.divergence_evidence or []], abs=1e-5)
    failed = judged(Copies(0, 50), second)
    assert (failed.verdict, failed.reason) == ("Fail", "AnswersDiverged")
    later = judge_copies(SPEC, SHADOW, failed, Window(copies=Copies(10_000)), after(30))
    assert later == failed


def test_a_verdict_on_what_callers_saw_is_about_another_step() -> None:
    assert judged(Copies(300), an_analysis("Pass")).copies == CopySample(compared=300)


def test_the_chance_of_an_error_is_shared_among_the_steps() -> None:
    one = next(bad for bad in range(1, 100) if judged(Copies(130 - bad, bad)).verdict == "Fail")
    assert judged(Copies(130 - one, one), steps=20).verdict == "Inconclusive"


def test_what_another_release_bet_by_begins_anew() -> None:
    other = judged(Copies(99, 1)).model_copy(update={"divergence_evidence": [9.0] * 5, "error_evidence": None})
    found = judged(Copies(), other)
    assert found.divergence_evidence == [0.0] * 12
    assert found.copies == other.copies


@given(
    windows=st.lists(st.builds(Copies, *[st.integers(0, 300)] * 5), min_size=1, max_size=6),
    divergence=st.sampled_from(["0%", "0.1%", "1%", "10%", "100%"]),
)
def test_only_what_is_within_its_bounds_passes(windows: list[Copies], divergence: str) -> None:
    found = None
    for window in windows:
        found = judged(window, found, divergence=divergence)
    assert found is not None
    copies = found.copies
    assert copies is not None
    if found.verdict == "Pass":
        assert copies.compared >= 200
        assert copies.diverged <= float(divergence.rstrip("%")) / 100 * copies.compared
        assert copies.failed <= 0.01 * (copies.compared + copies.failed)
    if found.reason == "AnswersDiverged":
        assert copies.diverged > float(divergence.rstrip("%")) / 100 * copies.compared
