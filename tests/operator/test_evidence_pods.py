"""What pods tell of the requests they answered, and which of them isn't believed."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_operator.evidence.buckets import BOUNDS_SECONDS
from tidegate_operator.evidence.page import calls_of, copies_of, times_of
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Readings, Times
from tidegate_operator.exposition import Malformed
from tidegate_operator.routing.asking import CONCURRENCY
from tidegate_operator.routing.pods import read_pods

from .builders import A, B

STARTED = "2026-11-22T09:59:00Z"
AT = datetime(2026, 11, 22, 9, 59, tzinfo=UTC)
NONE = (0,) * (len(BOUNDS_SECONDS) + 1)


def page_of(counts: tuple[int, ...], model: str = "churn") -> str:
    bounds = [*map(repr, BOUNDS_SECONDS), "+Inf"]
    return "tidegate_inflight 3\n" + "".join(
        f'tidegate_evidence_seconds_bucket{{le="{bound}",model="{model}",version="1"}} {count}.0\n'
        for bound, count in zip(bounds, accumulate(counts), strict=True)
    )


def copies_page(canary: str = B, **outcomes: int) -> str:
    """The page of a pod that can copy, with what became of the copies to a canary."""
    lines = ['tidegate_share_answers_total{answer="news"} 1.0']
    lines += [
        f'tidegate_shadow_requests_total{{canary="{canary}",model="churn",outcome="{outcome}",version="{A}"}} {count}.0'
        for outcome, count in outcomes.items()
    ]
    return "\n".join(lines) + "\n"


def some(bucket: int, count: int) -> tuple[int, ...]:
    return (*NONE[:bucket], count, *NONE[bucket + 1 :])


def pod(
    name: str,
    revision: str | None = A,
    *,
    address: str | None = "10.0.0.1",
    restarts: int = 0,
    running: bool = True,
    phase: str = "Running",
    tells: bool = True,
) -> dict[str, Any]:
    state = {"running": {"startedAt": STARTED}} if running else {"waiting": {"reason": "CrashLoopBackOff"}}
    labels = {"tidegate.dev/revision": revision} if revision else {}
    silent = {} if tells else {"tidegate.dev/metrics": "none"}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": name, "labels": {**labels, **silent}},
        "status": {
            "phase": phase,
            **({"podIP": address} if address else {}),
            "containerStatuses": [{"name": "runtime", "restartCount": restarts, "state": state}],
        },
    }


def answering(**pages: str | Exception) -> Callable[[str], Any]:
    """Answers by the last number of the address: `answering(p1="…")`."""

    async def fetch(url: str) -> str:
        found = re.fullmatch(r"http://10\.0\.0\.(\d+):8082/metrics/evidence", url)
        assert found is not None
        page = pages[f"p{found[1]}"]
        if isinstance(page, Exception):
            raise page
        return page

    return fetch


async def test_a_pod_that_has_no_page_of_evidence_is_asked_for_all_its_metrics() -> None:
    """One that an earlier release made."""
    pages: dict[str, str | int] = {
        "http://10.0.0.1:8082/metrics/evidence": 404,
        "http://10.0.0.1:8082/metrics": COUNTED,
    }

    async def fetch(url: str) -> str:
        page = pages[url]
        if isinstance(page, int):
            raise aiohttp.ClientResponseError(cast(Any, SimpleNamespace(real_url=url)), (), status=page)
        return page

    readings = await read_pods(fetch, [pod("one")], counting=True)
    assert readings[A].calls == {"one/0": Calls(95, 5)}
    pages["http://10.0.0.1:8082/metrics/evidence"] = 503
    assert (await read_pods(fetch, [pod("one")], counting=True))[A].calls == {}


@settings(max_examples=10)
@given(st.lists(st.integers(0, 1000), min_size=len(NONE), max_size=len(NONE)))
def test_a_page_is_read_as_it_was_counted(counts: list[int]) -> None:
    assert times_of(page_of(tuple(counts))) == Times(tuple(counts))


def test_a_pages_models_count_together_and_an_older_release_tells_of_none() -> None:
    assert times_of(page_of(some(3, 2)) + page_of(some(3, 5), "other")) == Times(some(3, 7))
    assert times_of("tidegate_inflight 3\n") is None


@pytest.mark.parametrize(
    ("page", "message"),
    [
        pytest.param('tidegate_evidence_seconds_bucket{le="0.1"} 3\n', "other bounds", id="other bounds"),
        pytest.param(page_of(NONE).replace('le="0.0001"', 'le="0.00011"'), "other bounds", id="one that differs"),
        pytest.param(
            page_of(some(0, 5)).replace(
                'le="+Inf",model="churn",version="1"} 5.0', 'le="+Inf",model="churn",version="1"} 4.0'
            ),
            "falls from 5 to 4",
            id="counts that fall",
        ),
        pytest.param("".join(page_of(NONE, f"m{number}") for number in range(4)), "more than 1000", id="too many"),
    ],
)
def test_a_page_that_no_runtime_writes_is_refused(page: str, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        times_of(page)


COUNTED = """
tidegate_requests_total{model="churn",version="1",code="200"} 90
tidegate_requests_total{model="churn",version="1",code="400"} 3
tidegate_requests_total{model="churn",version="1",code="504"} 2
tidegate_requests_total{model="churn",version="1",code="429"} 50
tidegate_requests_total{model="churn",version="1",code="499"} 7
tidegate_requests_total_created{model="churn"} 1e9
"""


def test_a_pods_own_counts_are_those_of_a_router() -> None:
    assert calls_of(COUNTED) == Calls(95, 5)
    assert calls_of('tidegate_requests_total{code="429"} 3') == Calls()
    assert calls_of("") is None


async def test_pods_count_for_their_revision_where_nobody_else_does() -> None:
    fetch = answering(p1=COUNTED, p2=page_of(some(6, 2)))
    pods = [pod("a"), pod("b", address="10.0.0.2")]
    counted, uncounted = await read_pods(fetch, pods, counting=True), await read_pods(fetch, pods)
    assert counted[A].calls == {"a/0": Calls(95, 5)}
    assert uncounted[A].calls == {}
    assert counted[A].times == uncounted[A].times == {"b/0": Times(some(6, 2))}


async def test_each_revision_has_the_times_of_its_own_pods() -> None:
    fetch = answering(p1=page_of(some(5, 1)), p2=page_of(some(6, 2)), p3=page_of(some(7, 3)))
    pods = [pod("a"), pod("b", address="10.0.0.2", restarts=2), pod("c", B, address="10.0.0.3"), pod("d", None)]
    started = {"a/0": AT, "b/2": AT, "c/0": AT}
    assert await read_pods(fetch, pods) == {
        A: Readings(times={"a/0": Times(some(5, 1)), "b/2": Times(some(6, 2))}, restarts=2, started=started, mute=1),
        B: Readings(times={"c/0": Times(some(7, 3))}, started=started, mute=2),
    }


async def test_copies_are_evidence_of_the_canary_that_answered_them_told_by_the_pods_that_sent_them() -> None:
    fetch = answering(
        p1=copies_page(compared=90, diverged=10, moved=1, failed=2, timeout=3, dropped=4),
        p2=copies_page("churn-cccccccc", compared=7),
        p3="",
        p4=page_of(some(7, 3)) + copies_page("churn-aaaaaaaa", compared=1),
    )
    pods = [pod("a"), *(pod(name, A, address=f"10.0.0.{at}") for name, at in (("b", 2), ("c", 3)))]
    found = await read_pods(fetch, [*pods, pod("d", B, address="10.0.0.4")])
    assert found[B].copies == {"a/0": Copies(alike=90, diverged=10, moved=1, failed=5, dropped=4), "b/0": NO_COPIES}
    assert found[B].mute == 0, "only one is of an older release"
    assert found[B].times == {"d/0": Times(some(7, 3))}


def test_what_became_of_copies_is_read_by_canary_and_models_count_together() -> None:
    page = copies_page(compared=3) + copies_page(B, compared=4, diverged=1) + copies_page("other", failed=1)
    assert copies_of(page) == {B: Copies(alike=7, diverged=1), "other": Copies(failed=1)}
    assert copies_of(copies_page()) == {}
    assert copies_of("tidegate_inflight 3\n") is None
    assert copies_of(copies_page(heard_of_later=5)) == {B: Copies(dropped=5)}
    with pytest.raises(Malformed, match="not a number"):
        copies_of(copies_page().replace("1.0", "many"))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(TimeoutError(), id="doesn't answer in time"),
        pytest.param(aiohttp.ClientConnectionError("refused"), id="can't be reached"),
        pytest.param(OSError("no route"), id="has no route to it"),
        pytest.param(Malformed("longer than it may be"), id="tells too much"),
        pytest.param('tidegate_evidence_seconds_bucket{le="0.1"} 3\n', id="tells something else"),
        pytest.param("", id="tells nothing"),
    ],
)
async def test_a_pod_that_cannot_be_read_is_no_source_and_keeps_no_other_from_being_one(
    answer: str | Exception,
) -> None:
    fetch = answering(p1=answer, p2=page_of(some(6, 2)))
    found = await read_pods(fetch, [pod("a", restarts=1), pod("b", address="10.0.0.2")])
    assert found[A].times == {"b/0": Times(some(6, 2))}
    assert found[A].restarts == 1


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param(pod("a", address=None), id="without an address"),
        pytest.param(pod("a", running=False, restarts=1), id="between two starts"),
        pytest.param(pod("a", phase="Failed"), id="that has ended"),
        pytest.param({"metadata": {"name": "a", "uid": "a", "labels": {"tidegate.dev/revision": A}}}, id="brand new"),
    ],
)
async def test_a_pod_that_is_not_running_is_not_asked(silent: dict[str, Any]) -> None:
    found = await read_pods(answering(), [silent])
    restarts = sum(each["restartCount"] for each in silent.get("status", {}).get("containerStatuses", []))
    assert (found[A].times, found[A].restarts) == ({}, restarts)


@pytest.mark.looptime(start=100)
async def test_a_pod_that_hangs_is_given_up_after_two_seconds_and_so_many_are_asked_at_once() -> None:
    asked = []

    async def fetch(url: str) -> str:
        asked.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
        return url

    await read_pods(fetch, [pod(f"p{number}") for number in range(CONCURRENCY + 1)])
    assert asyncio.get_running_loop().time() == 104
    assert asked == [100.0] * CONCURRENCY + [102.0]


async def test_a_pod_that_tells_no_metrics_is_not_asked_and_known_for_it() -> None:
    pods = [pod("p1", tells=False), pod("p2", B, address="10.0.0.2")]
    found = await read_pods(answering(p2=page_of(some(3, 2))), pods, counting=True)
    assert (found[A].untimed, found[A].calls, found[A].times) == (True, {}, {})
    assert found[B].untimed is False
    assert found[B].mute == 1, "nor can it copy requests"
