from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate_operator.xds import names
from tidegate_operator.xds.clusters import ENDPOINTS_SOURCE
from tidegate_operator.xds.discovery import HOLD_SECONDS
from tidegate_operator.xds.listener import listener

TEXT = (Path(__file__).parents[2] / "charts/tidegate/files/router-bootstrap.yaml").read_text()


@pytest.fixture
def bootstrap() -> Any:
    return yaml.safe_load(TEXT.replace("{{ .Release.Namespace }}", "tidegate-system"))


def sources(bootstrap: Any) -> dict[str, Any]:
    manager = listener()["filter_chains"][0]["filters"][0]["typed_config"]
    return {
        "listeners": bootstrap["dynamic_resources"]["lds_config"],
        "clusters": bootstrap["dynamic_resources"]["cds_config"],
        "routes": manager["rds"]["config_source"],
        "endpoints": ENDPOINTS_SOURCE,
    }


@pytest.mark.parametrize("kind", ["listeners", "clusters", "routes"])
def test_a_router_waits_for_its_configuration_without_limit(bootstrap: Any, kind: str) -> None:
    """Envoy's default goes live after 15 s, and answers 404."""
    assert sources(bootstrap)[kind]["initial_fetch_timeout"] == "0s"


@pytest.mark.parametrize("kind", list(HOLD_SECONDS))
def test_envoy_waits_longer_than_a_question_is_held(bootstrap: Any, kind: str) -> None:
    source = sources(bootstrap)[kind]["api_config_source"]
    assert source["cluster_names"] == [names.XDS_CLUSTER]
    assert float(source["request_timeout"].removesuffix("s")) > HOLD_SECONDS[kind]


def test_the_bootstrap_leads_to_the_installs_xds_and_keeps_the_administration_local(bootstrap: Any) -> None:
    xds = next(cluster for cluster in bootstrap["static_resources"]["clusters"] if cluster["name"] == "xds")
    address = xds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address == {"address": "tidegate-xds.tidegate-system.svc", "port_value": names.XDS_PORT}
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert TEXT.count("{{") == 1
