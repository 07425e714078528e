"""What pods tell of the requests that they hand over, as callers saw it."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.evidence.handover import Counts, Share, counts_of, share_of
from tidegate_operator.evidence.readings import Calls
from tidegate_operator.exposition import Malformed

from .builders import A, B, C

PAGE = f"""
# HELP tidegate_handover_percent of requests
# TYPE tidegate_handover_percent gauge
tidegate_handover_percent{{canary="{B}"}} 10.0
tidegate_handover_reachable_pods{{canary="{B}"}} 2.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="answered",version="{A}"}} 90.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="failed",version="{A}"}} 1.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="timeout",version="{A}"}} 2.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="unreachable",version="{A}"}} 3.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="overloaded",version="{A}"}} 40.0
tidegate_handover_requests_total{{by="match",canary="{B}",model="churn",outcome="answered",version="{A}"}} 500.0
tidegate_handover_requests_total{{by="match",canary="{B}",model="churn",outcome="failed",version="{A}"}} 6.0
tidegate_handover_requests_total{{by="weight",canary="{C}",model="churn",outcome="answered",version="{A}"}} 7.0
tidegate_handover_requests_total{{by="weight",canary="{B}",model="churn",outcome="later",version="{A}"}} 8.0
tidegate_handover_fallbacks_total{{code="200",model="churn",version="{A}"}} 45.0
tidegate_handover_fallbacks_total{{code="429",model="churn",version="{A}"}} 5.0
tidegate_handover_fallbacks_total{{code="500",model="churn",version="{A}"}} 2.0
tidegate_requests_total{{code="200",model="churn",version="{A}"}} 945.0
tidegate_requests_total{{code="429",model="churn",version="{A}"}} 25.0
tidegate_requests_total{{code="500",model="churn",version="{A}"}} 7.0
"""


def test_a_page_is_read_by_hand() -> None:
    assert share_of(PAGE) == Share({B: 10}, {B: 2})
    # Of 952 that weren't refused for load it answered 47 in the canary's stead, two of them badly.
    assert counts_of(PAGE) == Counts(own=Calls(905, 5), handed={B: Calls(96, 6), C: Calls(7, 0)})
    assert counts_of(PAGE).of("churn-dddddddd") == Calls()


SHARES = [
    pytest.param("tidegate_inflight 3\n", None, id="of an earlier release"),
    pytest.param('tidegate_handover_reachable_pods{canary="x"} 1\n', None, id="without its percentage"),
    pytest.param('tidegate_handover_percent{canary=""} 0\n', Share({}, {}), id="of a pod without a canary"),
    pytest.param(
        f'tidegate_handover_percent{{canary="{B}"}} 0\ntidegate_handover_reachable_pods{{canary="{B}"}} 0\n',
        Share({}, {B: 0}),
        id="of a canary without weight that can't be reached",
    ),
]


@pytest.mark.parametrize(("page", "expected"), SHARES)
def test_the_share_in_force(page: str, expected: Share | None) -> None:
    assert share_of(page) == expected


def test_whether_a_canary_is_reached_is_unknown_until_it_was_heard_of() -> None:
    share = Share({}, {B: 0, C: 3})
    assert [share.reaches(canary) for canary in (A, B, C)] == [None, False, True]


def test_a_pod_that_answered_more_in_a_canarys_stead_than_at_all_is_not_believed() -> None:
    page = 'tidegate_handover_fallbacks_total{code="200"} 2\ntidegate_requests_total{code="200"} 1\n'
    with pytest.raises(Malformed, match="tidegate_handover_fallbacks_total is above"):
        counts_of(page)


def page_of(counts: Mapping[tuple[str, tuple[tuple[str, str], ...]], int]) -> str:
    lines = []
    for (name, labels), count in counts.items():
        told = ",".join(f'{label}="{value}"' for label, value in labels)
        lines.append(f"tidegate_{name}_total{{{told}}} {count}.0\n")
    return "".join(lines)


OUTCOMES = st.sampled_from(["answered", "failed", "timeout", "unreachable", "overloaded"])
REQUESTS = st.lists(
    st.tuples(st.sampled_from(["own", "weight", "match"]), OUTCOMES, st.sampled_from(["200", "400", "500", "429"]))
)


@given(REQUESTS)
def test_every_request_is_one_revisions_and_no_failure_of_a_canary_is_stables(
    requests: list[tuple[str, str, str]],
) -> None:
    counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    own: Counter[str] = Counter()
    canarys: Counter[str] = Counter()
    for by, outcome, code in requests:
        answered_by_stable = by == "own" or outcome != "answered"
        if answered_by_stable:
            counts["requests", (("code", code),)] += 1
        if by == "own":
            own["requests"] += code != "429"
            own["failures"] += code in ("400", "500")
            continue
        counts["handover_requests", (("canary", B), ("by", by), ("outcome", outcome))] += 1
        if answered_by_stable:
            counts["handover_fallbacks", (("code", code),)] += 1
        if by == "weight" and outcome != "overloaded":
            canarys["requests"] += 1
            canarys["failures"] += outcome != "answered"
    found = counts_of(page_of(counts))
    assert found.own == Calls(own["requests"], own["failures"])
    assert found.of(B) == Calls(canarys["requests"], canarys["failures"])
