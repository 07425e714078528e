import json
from typing import Any

import pytest
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.discovery import Discovery
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.web import discovery_app, readiness


async def never() -> None:
    raise AssertionError("nothing is behind here")


@pytest.fixture
def discovery() -> Discovery:
    return Discovery(Catalogue("cluster.test"), XdsMetrics(), never)


@pytest.fixture
def client(discovery: Discovery) -> TestClient:
    discovery.ready = True
    return TestClient(discovery_app(discovery, discovery._metrics))


@pytest.mark.parametrize("kind", ["listeners", "clusters", "routes", "endpoints"])
def test_every_type_is_answered_with_a_version(client: TestClient, kind: str) -> None:
    answer = client.post(f"/v3/discovery:{kind}", json={"resource_names": ["ml/x/pods"]})
    assert answer.status_code == 200
    assert answer.json()["version_info"].startswith("0.")


def test_nothing_is_told_before_everything_was_listed(discovery: Discovery) -> None:
    client = TestClient(discovery_app(discovery, discovery._metrics))
    answer = client.post("/v3/discovery:clusters", json={})
    assert answer.status_code == 503
    assert "listed" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v3/discovery:secrets", b"{}", 404),
        ("/v3/discovery:routes", b"{", 400),
        ("/v3/discovery:routes", b'{"version_info": 7}', 400),
        ("/v3/discovery:routes", b" " * (4 * 2**20 + 1), 413),
    ],
    ids=["unknown type", "not JSON", "wrong type", "too large"],
)
def test_a_bad_question_is_refused_with_the_reason(client: TestClient, path: str, body: bytes, status: int) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_readiness_follows_the_first_listing(discovery: Discovery) -> None:
    assert not readiness(discovery)[0]
    discovery.ready = True
    assert readiness(discovery)[0]


def test_the_version_of_what_is_told_is_a_metric(discovery: Discovery) -> None:
    discovery.publish()
    assert b'tidegate_xds_resource_version{type="routes"} 0.0' in generate_latest(discovery._metrics.registry)


def test_a_response_is_what_envoy_calls_a_discovery_response(client: TestClient) -> None:
    body: Any = json.loads(client.post("/v3/discovery:listeners", json={}).content)
    assert set(body) == {"version_info", "resources"}
    assert body["resources"][0]["@type"] == "type.googleapis.com/envoy.config.listener.v3.Listener"
