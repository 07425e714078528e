"""The OpenAPI document: it is whole, it is of both ports, and a wrong method is told the right ones."""

from typing import Any

import httpx2
import jsonschema_rs
import pytest
from fastapi.openapi.utils import get_openapi

from tidegate_runtime.hosting import Host
from tidegate_runtime.model.store import open_store
from tidegate_runtime.placing import Placement
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.openapi import document

GOOD = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def operations(described: dict[str, Any], port: str = "") -> set[tuple[str, str]]:
    return {
        (verb, path)
        for path, item in described["paths"].items()
        for verb, operation in item.items()
        if verb != "parameters"
        and (not port or any(f"{port} port" in server["description"] for server in operation["servers"]))
    }


def routed(app: Any) -> set[tuple[str, str]]:
    return operations(get_openapi(title="", version="", routes=app.routes))


@pytest.fixture
def service() -> Service:
    return Service(Limits(8, 0.005, 8, 65536, 30.0))


def test_the_data_ports_routes_are_described_and_no_others(service: Service) -> None:
    assert operations(document(), "data") == routed(create_app(service))


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
def test_the_administration_ports_routes_are_described_and_no_others(service: Service, tmp_path: Any) -> None:
    host = Host(service, open_store(tmp_path, "m", "1"), Placement("cpu", 0, False, False))
    assert operations(document(), "administration") == routed(create_admin_app(service, host))


def test_every_schema_is_one_and_refers_to_schemas_that_there_are() -> None:
    described = document()
    for name in described["components"]["schemas"]:
        jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", "components": described["components"]})


@pytest.mark.integration
def test_the_document_is_served_on_the_administration_port(doubling: Any) -> None:
    assert httpx2.get(doubling.admin_url("/openapi.json")).json() == document()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v2/logging", {"GET", "POST"}), ("/v2/models/m/trace/setting", {"GET", "POST"}), ("/v2/models/m", {"GET"})],
)
def test_a_wrong_method_is_told_all_that_are_allowed(doubling: Any, path: str, allowed: set[str]) -> None:
    answer = httpx2.put(doubling.admin_url(path))
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.integration
def test_a_v1_prediction_by_a_wrong_method_is_told_that_post_is_allowed(doubling: Any) -> None:
    assert httpx2.put(doubling.url("/v1/models/m:predict")).headers["allow"] == "POST"
