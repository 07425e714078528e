"""Two runtimes: one copies what it has answered to the other, and compares both answers."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from .conftest import Process, build_double, serving
from .told_share import ROW, SECONDS, WAYS, ShareServer, infer, metrics, part, told, turned_round, until

pytestmark = pytest.mark.integration

MARK = {"x-tidegate-hop": "shadow"}
BRIEFLY = ("--drain-seconds", "0.1")
DOUBLED = [2 * value for value in ROW]


def outcomes(process: Process) -> dict[str, float]:
    return {name: count for name, count in metrics(process, "tidegate_shadow_requests_total").items() if count}


def in_force(process: Process, percent: float) -> None:
    """Returns once it copies that share."""
    until(lambda: list(metrics(process, "tidegate_shadow_percent").values()) == ([percent] if percent else []))


class Pair:
    """A stable runtime, which is told its share, and a canary, which turns answers round."""

    def __init__(self, stable: Process, canary: Process, share: ShareServer) -> None:
        self.stable = stable
        self.canary = canary
        self.share = share

    def afresh(self, revision: str = "2") -> None:
        """Nothing is counted yet of the copies of all requests to the canary."""
        self.share.tell()
        in_force(self.stable, 0)
        # Counts are one canary's, so another one in between has them begin anew.
        self.share.tell(shadow=part(self.canary, percent=50, revision="none"))
        in_force(self.stable, 50)
        self.share.tell(shadow=part(self.canary, revision=revision))
        in_force(self.stable, 100)
        assert outcomes(self.stable) == {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    one, two = tmp_path_factory.mktemp("stable"), tmp_path_factory.mktemp("canary")
    options = ("--no-vetting", "--model-version")
    with (
        told() as share,
        serving(one, build_double(), *options, "1", "--share-url", share.url) as stable,
        serving(two, turned_round(), *options, "2") as canary,
    ):
        yield Pair(stable, canary, share)


@pytest.mark.parametrize("way", WAYS)
def test_a_request_of_every_way_is_copied_and_its_answer_compared(pair: Pair, way: str) -> None:
    pair.afresh()
    ask, count = WAYS[way]
    assert ask(pair.stable, {}) == DOUBLED
    until(lambda: outcomes(pair.stable) == {"moved": count})
    assert metrics(pair.stable, "tidegate_shadow_argmax_changes_total") == {"y": count}
    # 8 and -8, of which the larger one, without its sign, is 8.
    assert metrics(pair.stable, "tidegate_shadow_largest_difference") == {"y": 16.0}
    assert metrics(pair.stable, "tidegate_shadow_relative_difference_sum") == {"y": 2.0 * count}


@pytest.mark.parametrize("way", WAYS)
def test_what_another_server_has_sent_on_is_not_copied(pair: Pair, way: str) -> None:
    pair.afresh()
    ask, _ = WAYS[way]
    assert ask(pair.stable, MARK) == DOUBLED
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"moved": 1})


def test_requests_on_one_connection_are_copied_but_for_those_that_are_marked(pair: Pair) -> None:
    pair.afresh()
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    with httpx2.Client() as client:
        for headers in ({}, {}, MARK, MARK, {}):
            assert client.post(pair.stable.url("/v2/models/m/infer"), json=content, headers=headers).status_code == 200
    until(lambda: outcomes(pair.stable) == {"moved": 3})


def test_requests_that_fail_are_not_copied(pair: Pair) -> None:
    pair.afresh()
    before = metrics(pair.canary, "tidegate_requests_total")
    assert httpx2.post(pair.stable.url("/v2/models/m/infer"), json={"inputs": []}).status_code == 400
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"moved": 1})
    assert metrics(pair.canary, "tidegate_requests_total")["200"] == before.get("200", 0) + 1


def test_copies_go_to_the_very_revision(pair: Pair) -> None:
    pair.afresh(revision="3")
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"dropped": 1})


def test_a_share_that_ends_ends_the_copies(pair: Pair) -> None:
    pair.afresh()
    pair.share.tell()
    in_force(pair.stable, 0)
    infer(pair.stable, {})
    assert outcomes(pair.stable) == {}


def test_requests_are_answered_whatever_becomes_of_the_canary(tmp_path: Path) -> None:
    (tmp_path / "stable").mkdir()
    (tmp_path / "canary").mkdir()
    with (
        told() as share,
        serving(tmp_path / "stable", build_double(), "--no-vetting", *BRIEFLY, "--share-url", share.url) as stable,
        serving(tmp_path / "canary", build_double(), "--no-vetting", "--model-version", "2") as canary,
    ):
        share.tell(shadow=part(canary))
        in_force(stable, 100)
        infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1})
        canary.popen.kill()
        canary.popen.wait()
        infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1, "dropped": 1})
        # The share's server is gone, too: what was told last holds.
        share.shutdown()
        share.socket.close()
        for _ in range(3):
            infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1, "dropped": 4})
        stable.popen.terminate()
        assert stable.popen.wait(SECONDS) == 0


def test_two_that_copy_to_each_other_copy_each_request_once(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        told() as first,
        told() as second,
        serving(tmp_path / "one", build_double(), "--no-vetting", "--share-url", first.url) as one,
        serving(
            tmp_path / "two", build_double(), "--no-vetting", "--model-version", "2", "--share-url", second.url
        ) as two,
    ):
        first.tell(shadow=part(two))
        second.tell(shadow=part(one, revision="1"))
        in_force(one, 100)
        in_force(two, 100)
        infer(one, {})
        until(lambda: outcomes(one) == {"compared": 1})
        infer(two, {})
        until(lambda: outcomes(two) == {"compared": 1})
        assert outcomes(one) == {"compared": 1}
        assert metrics(one, "tidegate_requests_total") == {"200": 2}
