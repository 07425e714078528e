"""What the operator tells of the share is what the runtime reads, and the page shows such a document."""

import json
import re
from typing import Any

from prometheus_client.core import Metric

from tidegate_operator.xds.catalogue import Catalogue
from tidegate_runtime.shadow.comparison import INCOMPARABLE
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.shadow.share import MAX_TARGETS, Shadow, Share, Target, parse
from tidegate_runtime.web.shadow_exposition import ShadowCollector

from .api_page import code, section, table

STABLE, CANARY = "churn-6f3c9d1a", "churn-a81e0213"


def service(**rollout: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ml", "name": "churn", "resourceVersion": "7"},
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

    def shown(family: Metric) -> tuple[str, tuple[str, set[str]]]:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        return name, (family.type, set(family.samples[0].labels) - {"le"})

    page = {}
    for row in table("Copies (`:8082/metrics` with `--share-url`)"):
        page[code(row[0])[0]] = (row[1].split()[0], set(code(row[1])))
    assert page == dict(map(shown, ShadowCollector(Copying(), {"news": 1}).collect()))
    (outcomes,) = [row[2] for row in table("Copies (`:8082/metrics` with `--share-url`)") if "outcome" in row[1]]
    assert set(re.findall(r"`([a-z]+)` \(", outcomes)) == set(figures.outcomes)
