"""What the operator tells of the share is what the runtime reads, and the page shows such a document."""

import json
import re
from typing import Any

import pytest
from prometheus_client.core import Metric

from tidegate_operator.xds.catalogue import Catalogue
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.naming import HandoverOutcome, HandoverReason
from tidegate_runtime.shadow.comparison import INCOMPARABLE
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.share.document import MAX_BYTES, MAX_TARGETS, Handover, Key, Match, Shadow, Share, Target, parse
from tidegate_runtime.web.handover_exposition import HandoverCollector
from tidegate_runtime.web.shadow_exposition import ShadowCollector

from .api_page import code, section, table

STABLE, CANARY = "churn-6f3c9d1a", "churn-a81e0213"


def service(**rollout: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ml", "name": "churn", "uid": "u", "resourceVersion": "7"},
        "spec": {"rollout": rollout},
        "status": {"stable": {"revision": STABLE, "weight": 100}, "canary": {"revision": CANARY, "weight": 0}},
    }


def pods(*addresses: str) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "ml",
            "name": "x",
            "resourceVersion": "8",
            "labels": {"tidegate.dev/revision": CANARY},
        },
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


def told(rollout: dict[str, Any], *addresses: str) -> Share:
    catalogue = Catalogue("cluster.test")
    catalogue.see_service(service(**rollout))
    if addresses:
        catalogue.see_slice(pods(*addresses))
    catalogue.publish()
    return parse(catalogue.view(("share", f"ml/{STABLE}")).body)


def test_the_runtime_reads_what_the_operator_tells() -> None:
    shadow = {"shadow": {"percent": 12.5, "maxDivergence": "1%"}}
    assert told(shadow, "10.0.0.5").shadow == Shadow(12.5, CANARY, (Target("10.0.0.5", 8080),))
    assert told(shadow, "fd00::5").shadow == Shadow(12.5, CANARY, (Target("fd00::5", 8080),))
    assert told(shadow).shadow is None
    assert told({}).shadow is None


def test_the_operator_tells_of_no_more_pods_than_the_runtime_takes() -> None:
    share = told({"shadow": {"percent": 1}}, *[f"10.0.{number // 250}.{number % 250}" for number in range(300)])
    assert share.shadow is not None
    assert len(share.shadow.targets) == MAX_TARGETS


DIRECT = {"provider": "Direct", "weights": "Exact"}


def handed(
    revision: str, status: dict[str, Any], *slices: dict[str, Any], **rollout: Any
) -> tuple[Handover | None, int]:
    """What pods of a revision are told to hand over, and in how many bytes."""
    catalogue = Catalogue("cluster.test")
    found = service(**rollout)
    catalogue.see_service({**found, "status": {**found["status"], "routing": DIRECT, **status}})
    for each in slices:
        catalogue.see_slice(each)
    catalogue.publish()
    body = catalogue.view(("share", f"ml/{revision}")).body
    return parse(body).handover, len(body)


def test_the_runtime_reads_what_the_operator_tells_of_requests_for_a_canary() -> None:
    match = [{"header": {"x-a": "1"}, "cookie": {"c": "2"}}, {"cookie": {"c": "3"}}]
    found, _ = handed(STABLE, {}, pods("10.0.0.5"), match=match, sticky={"header": "x-user"})
    matches = (Match((("x-a", "1"),), (("c", "2"),)), Match((), (("c", "3"),)))
    targets = (Target("10.0.0.5", 8080),)
    assert found == Handover(0, CANARY, targets, matches=matches, sticky=Key("x-user"), timeout_seconds=30)
    status = {"canary": {"revision": CANARY, "weight": 25}}
    assert handed(STABLE, status, sticky={"cookie": "u"})[0] == Handover(
        25, CANARY, sticky=Key("u", cookie=True), timeout_seconds=30
    )
    promoted = {"stable": {"revision": CANARY}, "canary": None, "retiring": [{"revision": STABLE}]}
    assert handed(STABLE, promoted, pods("10.0.0.5"))[0] == Handover(
        100, CANARY, targets, leaving=True, timeout_seconds=30
    )
    assert handed(CANARY, promoted, pods("10.0.0.5"))[0] is None


@pytest.mark.parametrize(("timeout", "seconds"), [("1ms", 0.001), ("500ms", 0.5), ("1h", 3600)])
def test_the_runtime_reads_every_time_out_that_a_spec_may_have(timeout: str, seconds: float) -> None:
    """Else all of the document would be refused, and a canary of a fast model never be reached."""
    status = {
        "stable": {"revision": STABLE, "timeout": timeout},
        "canary": {"revision": CANARY, "weight": 5, "timeout": timeout},
    }
    found, _ = handed(STABLE, status)
    assert found == Handover(5, CANARY, timeout_seconds=seconds)


def test_the_largest_document_is_no_larger_than_the_runtime_reads() -> None:
    many = pods(*[f"fd00:1234:5678:9abc:def0:1234:5678:{number:x}" for number in range(0x1000, 0x1400)])
    values = {kind: {f"{'x' * 60}-{number}": '"' * 256 for number in range(4)} for kind in ("header", "cookie")}
    found, size = handed(STABLE, {}, many, match=[values] * 8, shadow={"percent": 20})
    assert found is not None
    assert (len(found.targets), len(found.matches)) == (MAX_TARGETS, 8)
    assert size < MAX_BYTES / 2


def shown(family: Metric) -> tuple[str, tuple[str, set[str]]]:
    """A family's name on a page, its type, and its labels."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return name, (family.type, set(family.samples[0].labels) - {"le"})


def documented(heading: str) -> dict[str, tuple[str, set[str]]]:
    return {code(row[0])[0]: (row[1].split()[0], set(code(row[1]))) for row in table(heading)}


def test_the_page_shows_a_document() -> None:
    text = section("Copies for a canary").split("```json\n")[1].split("```")[0]
    assert parse(text.encode()).shadow is not None
    assert json.loads(text)["version"] == 1


def test_the_page_lists_the_metrics_of_copies() -> None:
    figures = ShadowFigures("churn", STABLE, CANARY)
    figures.compared({"y": INCOMPARABLE})

    class Copying:
        shadow = Shadow(20, CANARY, (Target("10.0.0.5", 8080),))

        def figures(self) -> list[ShadowFigures]:
            return [figures]

    page = documented("Copies (`:8082/metrics` with `--share-url`)")
    assert page == dict(map(shown, ShadowCollector(Copying(), {"news": 1}).collect()))
    (outcomes,) = [row[2] for row in table("Copies (`:8082/metrics` with `--share-url`)") if "outcome" in row[1]]
    assert set(re.findall(r"`([a-z]+)` \(", outcomes)) == set(figures.outcomes)


def test_the_page_lists_the_metrics_of_requests_handed_over() -> None:
    figures = HandoverFigures("churn", STABLE, CANARY)
    figures.fell_back(200)

    class Handed:
        handover = Handover(20, CANARY, (Target("10.0.0.5", 8080),))
        reachable = 1

        def figures(self) -> list[HandoverFigures]:
            return [figures]

    heading = "Requests handed over (`:8082/metrics` with `--share-url`)"
    assert documented(heading) == dict(map(shown, HandoverCollector(Handed()).collect()))
    (row,) = [row for row in table(heading) if "outcome" in row[1]]
    assert {*HandoverReason, *HandoverOutcome} <= set(code(row[2]))


def test_the_page_shows_a_document_that_hands_requests_over() -> None:
    text = section("Requests handed over").split("```json\n")[1].split("```")[0]
    assert parse(text.encode()).handover is not None
