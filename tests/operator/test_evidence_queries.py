"""What Prometheus' answers make of a verdict: the table, and what holds whatever it says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.api.analysis_status import AnalysisStatus
from tidegate_operator.api.query_spec import QuerySpec
from tidegate_operator.evidence.answers import Answer, NoData, Number, Unanswered
from tidegate_operator.evidence.queries import AGAINST, UNSETTLED, Names, judge_queries, refusal, rendered
from tidegate_operator.install import Install

from .builders import A, B, an_analysis

NAMES = Names("ml", "churn", A, B)
EMPTY, AWAY = NoData("it has no sample"), Unanswered("Prometheus can't be reached")


def a_query(**parts: Any) -> QuerySpec:
    bounds = {} if {"max", "min"} & parts.keys() else {"max": 0.05}
    return QuerySpec.model_validate({"name": "refunds", "query": 'refunds{revision="{{canary}}"}', **bounds, **parts})


def judged(query: QuerySpec, *answers: Answer, callers: AnalysisStatus | None = None) -> AnalysisStatus:
    """The verdict after these answers to one query, a window each."""
    found: AnalysisStatus | None = None
    for answer in answers:
        found = judge_queries(callers or an_analysis(), found, [query], [rendered(query.query, NAMES)], [answer])
    assert found is not None
    return found


IN, OUT = Number(0.05), Number(0.06)


@pytest.mark.parametrize(
    ("spec", "answers", "verdict", "reason"),
    [
        pytest.param({}, [IN], "Pass", "WithinBounds", id="at its bound it is within"),
        pytest.param({}, [OUT], "Inconclusive", "QueryUndecided", id="once out of bounds holds the step"),
        pytest.param({}, [OUT, OUT], "Inconclusive", "QueryUndecided", id="twice, too"),
        pytest.param({}, [OUT, OUT, OUT], "Fail", "QueryOutOfBounds", id="three times in a row ends it"),
        pytest.param({}, [OUT, OUT, IN], "Pass", "WithinBounds", id="one within lets it go on"),
        pytest.param({}, [OUT, OUT, IN, OUT, OUT], "Inconclusive", "QueryUndecided", id="and begins the row anew"),
        pytest.param({"windows": 1}, [OUT], "Fail", "QueryOutOfBounds", id="once, where the spec says so"),
        pytest.param({"min": 3}, [Number(2.9)], "Inconclusive", "QueryUndecided", id="too little"),
        pytest.param({"min": 3}, [Number(3)], "Pass", "WithinBounds", id="just enough"),
        pytest.param({"min": -1, "max": 1}, [Number(0)], "Pass", "WithinBounds", id="between"),
        pytest.param({"min": -1, "max": 1}, [Number(-2)], "Inconclusive", "QueryUndecided", id="below both"),
        pytest.param({"min": -1, "max": 1}, [Number(2)], "Inconclusive", "QueryUndecided", id="above both"),
        pytest.param({}, [EMPTY] * 9, "Inconclusive", "QueryWithoutData", id="no data holds"),
        pytest.param({}, [OUT, OUT, EMPTY], "Inconclusive", "QueryWithoutData", id="no data ends nothing"),
        pytest.param({}, [OUT, OUT, EMPTY, OUT], "Fail", "QueryOutOfBounds", id="nor does it begin the row anew"),
        pytest.param({"onNoData": "Pass"}, [OUT, EMPTY], "Pass", "WithinBounds", id="no data may be as good as within"),
        pytest.param({"onNoData": "Fail"}, [EMPTY] * 2, "Inconclusive", "QueryWithoutData", id="or as bad as out"),
        pytest.param({"onNoData": "Fail"}, [EMPTY] * 3, "Fail", "QueryGaveNoData", id="which ends it as well"),
        pytest.param({"onNoData": "Fail"}, [OUT, EMPTY, OUT], "Fail", "QueryOutOfBounds", id="in one row with it"),
        pytest.param({}, [AWAY] * 9, "Inconclusive", "QueryUnanswered", id="no answer holds"),
        pytest.param(
            {"onNoData": "Pass"}, [AWAY], "Inconclusive", "QueryUnanswered", id="it is never taken for a pass"
        ),
        pytest.param(
            {"onNoData": "Fail", "windows": 1}, [AWAY], "Inconclusive", "QueryUnanswered", id="nor for a failure"
        ),
        pytest.param({"windows": 2}, [OUT, AWAY, OUT], "Fail", "QueryOutOfBounds", id="nor for an end of the row"),
    ],
)
def test_the_verdict_by_a_query(spec: dict[str, Any], answers: list[Answer], verdict: str, reason: str) -> None:
    found = judged(a_query(**spec), *answers)
    assert (found.verdict, found.reason) == (verdict, reason), found.message


@pytest.mark.parametrize(
    ("spec", "answers", "told"),
    [
        pytest.param({}, [IN], "told; query refunds gave 0.05 (at most 0.05)", id="within"),
        pytest.param(
            {}, [OUT], "query refunds gave 0.06 (at most 0.05), 1 of 3 in a row against the canary; told", id="out"
        ),
        pytest.param(
            {"min": 0.5, "max": 2},
            [Number(1234567.0), AWAY],
            "query refunds gave no number (from 0.5 to 2), 1 of 3 in a row against the canary: Prometheus can't be"
            " reached; told",
            id="no answer",
        ),
        pytest.param(
            {"min": 0.5}, [EMPTY], "query refunds gave no number (at least 0.5): it has no sample; told", id="no data"
        ),
    ],
)
def test_the_message_names_the_query_its_value_and_its_bounds(
    spec: dict[str, Any], answers: list[Answer], told: str
) -> None:
    assert judged(a_query(**spec), *answers).message == told


def test_the_status_tells_what_was_asked_and_answered() -> None:
    (told,) = judged(a_query(), OUT, OUT).queries or []
    assert told.dump() == {
        "name": "refunds",
        "query": f'refunds{{revision="{B}"}}',
        "bounds": "at most 0.05",
        "outcome": "OutOfBounds",
        "value": 0.06,
        "against": 2,
        "windows": 3,
    }


def test_a_query_that_was_changed_begins_its_row_anew() -> None:
    before = judged(a_query(), OUT, OUT)
    for changed in (a_query(max=0.01), a_query(query='refunds{pod=~"{{canary}}-.*"}')):
        found = judge_queries(an_analysis(), before, [changed], [rendered(changed.query, NAMES)], [OUT])
        assert (found.verdict, (found.queries or [])[0].against) == ("Inconclusive", 1)


def test_too_few_requests_are_told_only_where_the_queries_leave_nothing_open() -> None:
    few = an_analysis("Inconclusive", "TooFewRequests", "9 of 200 requests")
    assert judged(a_query(), IN, callers=few).reason == "TooFewRequests"
    held = judged(a_query(), AWAY, callers=few)
    assert held.reason == "QueryUnanswered"
    assert "9 of 200 requests" in held.message


def test_of_ten_long_queries_the_message_tells_as_much_as_a_status_takes() -> None:
    queries = [a_query(name=f"q{number}") for number in range(10)]
    answers = [Unanswered("x" * 250)] * 10
    few = an_analysis("Inconclusive", "TooFewRequests", "y" * 400)
    found = judge_queries(few, None, queries, ["up"] * 10, answers)
    assert "and 7 others as well" in found.message
    assert len(found.message) <= 1024
    AnalysisStatus.model_validate(found.dump())


ANSWERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(Number), st.just(EMPTY), st.just(AWAY))
QUERIES = st.builds(
    lambda bound, most, windows, then: a_query(
        **{"max" if most else "min": bound, "windows": windows, "onNoData": then}
    ),
    st.floats(-1e9, 1e9),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from(["Hold", "Pass", "Fail"]),
)


@given(QUERIES, st.lists(ANSWERS, min_size=1, max_size=12), st.sampled_from(["Pass", "Inconclusive"]))
def test_whatever_is_answered(query: QuerySpec, answers: list[Answer], callers: Any) -> None:
    told = an_analysis(callers, "WithinBounds" if callers == "Pass" else "TooFewRequests")
    found = judged(query, *answers, callers=told)
    if isinstance(answers[-1], Unanswered):
        assert (found.verdict, found.reason) == ("Inconclusive", "QueryUnanswered")
    if found.verdict == "Pass":
        assert callers == "Pass"
        assert isinstance(answers[-1], Number) or query.on_no_data == "Pass"
    if found.verdict == "Fail":
        assert found.reason in AGAINST
        assert sum(not isinstance(answer, Unanswered) for answer in answers) >= query.windows
    if found.verdict == "Inconclusive":
        assert found.reason in UNSETTLED | {"TooFewRequests"}
    AnalysisStatus.model_validate(found.dump())


def test_names_are_put_in_and_nothing_else_is_touched() -> None:
    text = 'sum by (pod) (rate(x{ns="{{namespace}}",r=~"{{stable}}|{{canary}}",s="{{service}}"}[5m])) {{ other }} $1'
    assert rendered(text, NAMES) == (f'sum by (pod) (rate(x{{ns="ml",r=~"{A}|{B}",s="churn"}}[5m])) {{{{ other }}}} $1')


@pytest.mark.parametrize("name", ["", 'a"} or vector(0) #', "a\nb", "a{{canary}}", "Ä", "a b", ".*", "a'"])
def test_what_is_no_objects_name_is_not_put_into_a_query(name: str) -> None:
    with pytest.raises(ValueError, match="no object's name"):
        rendered('x{r="{{canary}}"}', Names("ml", "churn", A, name))


@pytest.mark.parametrize(
    ("install", "namespace", "told"),
    [
        ({}, "ml", "set the chart's prometheus.url"),
        ({"prometheus_url": "http://p:9090"}, "ml", None),
        ({"prometheus_url": "http://p:9090", "prometheus_namespaces": ("ml",)}, "ml", None),
        ({"prometheus_url": "http://p:9090", "prometheus_namespaces": ("ml",)}, "web", "prometheus.namespaces"),
    ],
)
def test_who_may_ask_is_the_administrators_choice(install: dict[str, Any], namespace: str, told: str | None) -> None:
    found = refusal(namespace, Install(**install))
    assert found is None if told is None else told in (found or "")


@pytest.mark.parametrize(
    "url", ["ftp://p", "http://", "//p", "http://u:p@p", "http://p?x=1", "http://p/#a", "http://p /", "p:9090"]
)
def test_an_install_takes_no_other_address_than_a_plain_one(url: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        Install(prometheus_url=url)
