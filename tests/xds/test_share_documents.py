"""What stable's pods are told of the share: by status and spec, by the canary's pods, and when it changes."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.discovery import SHARE_HOLD_SECONDS, Discovery, DiscoveryRequest
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.web import discovery_app

A, B = "churn-aaaaaaaa", "churn-bbbbbbbb"
SHARE_A = ("share", f"ml/{A}")
POD = SimpleNamespace(address="10.0.0.5", port=8080)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue("cluster.test")


def see(
    catalogue: Catalogue, builders: Any, version: int, shadow: Any, canary: tuple[str, int] | None = (B, 0), **spec: Any
) -> None:
    service = builders.service(version, stable=A, canary=canary)
    service["spec"]["rollout"] = {"shadow": shadow} | spec
    catalogue.see_service(service)


def told(catalogue: Catalogue, revision: str = A) -> Any:
    return json.loads(catalogue.view(("share", f"ml/{revision}")).body)


def test_stables_pods_copy_to_the_canarys(catalogue: Catalogue, builders: Any) -> None:
    see(catalogue, builders, 5, {"percent": 20})
    catalogue.see_slice(builders.slice(6, B, [POD]))
    assert SHARE_A in catalogue.publish()
    document = told(catalogue)
    assert document.pop("revision").startswith("6.")
    assert document == {
        "version": 1,
        "shadow": {"percent": 20, "revision": B, "targets": ["10.0.0.5:8080"]},
        "handover": None,
    }
    for revision in (B, "churn-cccccccc", "other"):
        assert told(catalogue, revision)["shadow"] is None


def test_a_revision_that_is_rolled_back_to_gets_no_copies(catalogue: Catalogue, builders: Any) -> None:
    """Nobody judges it, and its pods have enough to do."""
    service = builders.service(5, stable=A, canary=(B, 0))
    service["spec"]["rollout"] = {"shadow": {"percent": 20}}
    service["status"]["rollout"] = {"phase": "RollingBack"}
    catalogue.see_service(service)
    catalogue.publish()
    assert told(catalogue)["shadow"] is None
    service["status"]["rollout"] = {"phase": "Progressing"}
    service["metadata"]["resourceVersion"] = "6"
    catalogue.see_service(service)
    catalogue.publish()
    assert told(catalogue)["shadow"]["percent"] == 20


def test_an_ipv6_address_is_told_in_brackets(catalogue: Catalogue, builders: Any) -> None:
    see(catalogue, builders, 5, {"percent": 20})
    slice_ = builders.slice(6, B, [SimpleNamespace(address="fd00::5", port=8080)])
    catalogue.see_slice(slice_ | {"addressType": "IPv6"})
    catalogue.publish()
    assert told(catalogue)["shadow"]["targets"] == ["[fd00::5]:8080"]


@pytest.mark.parametrize(
    ("shadow", "canary"),
    [
        (None, (B, 0)),
        ({}, (B, 0)),
        ({"percent": 0}, (B, 0)),
        ({"percent": 20}, None),
        # Its own requests are the evidence then.
        ({"percent": 20}, (B, 5)),
        # What this release doesn't know is not guessed.
        ({"percent": "some"}, (B, 0)),
        ({"percent": 200}, (B, 0)),
        ([], (B, 0)),
    ],
)
def test_nothing_is_copied_unless_it_was_asked_for(
    catalogue: Catalogue, builders: Any, shadow: Any, canary: tuple[str, int] | None
) -> None:
    see(catalogue, builders, 5, shadow, canary)
    catalogue.see_slice(builders.slice(6, B, [POD]))
    assert SHARE_A not in catalogue.publish()
    assert told(catalogue)["shadow"] is None


def test_fields_of_a_later_release_are_passed_over(catalogue: Catalogue, builders: Any) -> None:
    see(catalogue, builders, 5, {"percent": 0.5, "maxDivergence": "1%", "new": [1]}, later=True)
    catalogue.publish()
    assert told(catalogue)["shadow"] == {"percent": 0.5, "revision": B, "targets": []}


def test_a_change_is_told_to_those_whom_it_concerns(catalogue: Catalogue, builders: Any) -> None:
    see(catalogue, builders, 5, {"percent": 20})
    catalogue.publish()
    catalogue.see_slice(builders.slice(6, B, [POD]))
    assert SHARE_A in catalogue.publish()
    # Stable's own pods don't concern it.
    catalogue.see_slice(builders.slice(7, A, [POD]))
    assert SHARE_A not in catalogue.publish()
    see(catalogue, builders, 8, {"percent": 20}, (B, 5))
    assert SHARE_A in catalogue.publish()
    assert told(catalogue)["shadow"] is None
    assert told(catalogue)["revision"].startswith("8.")


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.looptime
async def test_a_question_is_held_until_the_share_changes(catalogue: Catalogue, builders: Any) -> None:
    discovery = Discovery(catalogue, XdsMetrics(), never)
    see(catalogue, builders, 5, {"percent": 20})
    discovery.publish()
    known = told(catalogue)["revision"]

    def ask() -> "asyncio.Task[bytes | None]":
        question = DiscoveryRequest(version_info=known, resource_names=[f"ml/{A}"])
        return asyncio.create_task(discovery.ask("share", question))

    assert await ask() is None
    now = asyncio.get_running_loop().time
    assert 0.9 * SHARE_HOLD_SECONDS <= now() <= SHARE_HOLD_SECONDS
    held = ask()
    await asyncio.sleep(1)
    began = now()
    catalogue.see_slice(builders.slice(6, B, [POD]))
    discovery.noticed()
    news = json.loads(await held or b"")
    assert news["shadow"]["targets"] == ["10.0.0.5:8080"]
    assert now() - began < 0.1


@pytest.mark.looptime
async def test_a_replica_that_is_behind_doesnt_bring_a_share_back(catalogue: Catalogue, builders: Any) -> None:
    discovery = Discovery(catalogue, XdsMetrics(), never)
    see(catalogue, builders, 5, {"percent": 20})
    discovery.publish()
    # The caller has heard of version 9, in which nothing is copied, from another replica.
    question = DiscoveryRequest(version_info="9.0123456789abcdef", resource_names=[f"ml/{A}"])
    assert await discovery.ask("share", question) is None


@pytest.fixture
def client(catalogue: Catalogue) -> TestClient:
    discovery = Discovery(catalogue, XdsMetrics(), never, {"share": 0.01})
    discovery.ready = True
    return TestClient(discovery_app(discovery, discovery._metrics))


@pytest.mark.parametrize("tag", ["{}", '"{}"', 'W/"{}"'])
def test_a_pod_asks_with_what_it_knows(client: TestClient, catalogue: Catalogue, builders: Any, tag: str) -> None:
    see(catalogue, builders, 5, {"percent": 20})
    catalogue.publish()
    first = client.get(f"/v1/share/ml/{A}")
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    assert first.json()["shadow"]["percent"] == 20
    again = client.get(f"/v1/share/ml/{A}", headers={"if-none-match": tag.format(first.json()["revision"])})
    assert again.status_code == 304


def test_nothing_is_told_before_everything_was_listed(catalogue: Catalogue) -> None:
    discovery = Discovery(catalogue, XdsMetrics(), never)
    assert TestClient(discovery_app(discovery, discovery._metrics)).get(f"/v1/share/ml/{A}").status_code == 503


def test_the_share_is_no_type_of_xds(client: TestClient) -> None:
    assert client.post("/v3/discovery:share", json={}).status_code == 404
