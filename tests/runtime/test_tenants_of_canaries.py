"""What is handed over or copied to a canary shows the token that it came with, by every way in."""

from collections.abc import Iterator

import httpx2
import pytest

from .conftest import Process, build_double, serving
from .tokens import bearer, document, tenant
from .told_share import ROW, WAYS, ShareServer, part, sampled, told, turned_round, until

pytestmark = pytest.mark.integration

HERE, THERE = [2 * value for value in ROW], [-2 * value for value in ROW]
GOOD = bearer("good")
TENANTS = document(tenant("a", "good", models=["m"]), tenant("b", "stables", models=["m"]))


class Pair:
    """A stable runtime, which is told its share, and a canary, which turns answers round and knows fewer tokens."""

    def __init__(self, stable: Process, canary: Process, share: ShareServer) -> None:
        self.stable = stable
        self.canary = canary
        self.share = share

    def codes(self) -> dict[tuple[str, ...], float]:
        """What the canary has answered so far."""
        return sampled(self.canary, "tidegate_requests_total", "code")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    one, two = tmp_path_factory.mktemp("stable"), tmp_path_factory.mktemp("canary")
    (one / "tenants.json").write_bytes(TENANTS)
    (two / "tenants.json").write_bytes(document(tenant("a", "good", models=["m"])))
    options = ("--no-vetting", "--model-version")
    with (
        told() as share,
        serving(
            one, build_double(), *options, "1", "--share-url", share.url, "--tenants-file", str(one / "tenants.json")
        ) as stable,
        serving(two, turned_round(), *options, "2", "--tenants-file", str(two / "tenants.json")) as canary,
    ):
        yield Pair(stable, canary, share)


def hand_over(pair: Pair) -> None:
    pair.share.tell(handover=part(pair.canary))
    until(lambda: sampled(pair.stable, "tidegate_handover_percent") == {("2",): 100})
    until(lambda: sampled(pair.stable, "tidegate_handover_reachable_pods") == {("2",): 1})


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_is_handed_over_shows_its_token(pair: Pair, way: str) -> None:
    hand_over(pair)
    ask, _ = WAYS[way]
    assert ask(pair.stable, GOOD) == THERE


@pytest.mark.parametrize("way", WAYS)
def test_one_whose_token_the_canary_does_not_know_is_answered_here(pair: Pair, way: str) -> None:
    hand_over(pair)
    ask, _ = WAYS[way]
    assert ask(pair.stable, bearer("stables")) == HERE


def test_one_that_is_not_let_in_is_not_handed_over(pair: Pair) -> None:
    hand_over(pair)
    before = sum(pair.codes().values())
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    for headers in ({}, {"te": "trailers"}):
        answer = httpx2.post(pair.stable.url("/v2/models/m/infer"), json=content, headers=headers | bearer("wrong"))
        assert answer.status_code == 401
    assert sum(pair.codes().values()) == before


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_shows_the_token_of_its_request(pair: Pair, way: str) -> None:
    # Counts are one canary's, so another one in between has them begin anew.
    pair.share.tell(shadow=part(pair.canary, percent=50, revision="none"))
    until(lambda: sampled(pair.stable, "tidegate_shadow_percent") == {("none",): 50})
    pair.share.tell(shadow=part(pair.canary))
    until(lambda: sampled(pair.stable, "tidegate_shadow_percent") == {("2",): 100})
    ask, count = WAYS[way]
    assert ask(pair.stable, GOOD) == HERE

    def outcomes() -> dict[tuple[str, ...], float]:
        found = sampled(pair.stable, "tidegate_shadow_requests_total", "outcome")
        return {outcome: number for outcome, number in found.items() if number}

    until(lambda: sum(outcomes().values()) == count)
    assert outcomes() == {("moved",): count}


def test_no_token_is_in_a_log(pair: Pair) -> None:
    for process in (pair.stable, pair.canary):
        log = process.log.read_text()
        assert not any(secret in log for secret in ("good", "stables", "Bearer"))
