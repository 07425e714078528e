"""Requests that Schemathesis makes from the OpenAPI document: nothing but documented answers, and no 5xx undeserved.

`TIDEGATE_FUZZ_EXAMPLES` says how many requests each operation gets beside the ones that every run makes.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from tidegate_runtime.rpc.handed_call import PATH
from tidegate_runtime.web.openapi import document

from .conftest import Process, build_double, serving

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("TIDEGATE_FUZZ_EXAMPLES", "20"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TIDEGATE_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
GOOD = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


NARROWED = {"name": {"enum": ["m", "m", "m", "n"]}, "version": {"enum": ["7", "7", "8"]}}


def described(port: str) -> Any:
    """The operations of one port, with names and shapes mostly the served model's: else all requests ended there."""
    narrowed = copy.deepcopy(document())
    paths = {}
    for path, item in narrowed["paths"].items():
        for parameter in item.get("parameters", ()):
            parameter["schema"] = NARROWED.get(parameter["name"], parameter["schema"])
        operations = [operation for verb, operation in item.items() if verb != "parameters"]
        # Messages aren't to be had from a schema; `test_grpc_fuzzing.py` makes them.
        if path != PATH and any(
            port in server["description"] for operation in operations for server in operation["servers"]
        ):
            paths[path] = item
    narrowed["paths"] = paths
    schemas = narrowed["components"]["schemas"]
    tensor = schemas["InputTensor"]["properties"]
    tensor["name"] = {"enum": ["x", "x", "x", "y"]}
    tensor["shape"] = {"enum": [[1, 4], [1, 4], [2, 4], [4]]}
    tensor["datatype"] = {"enum": ["FP32", "FP32", "INT64"]}
    tensor["data"] = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    return schemathesis.openapi.from_dict(narrowed)


data, administration = described("data"), described("administration")
SEMANTIC = [checks.positive_data_acceptance, checks.not_a_server_error]
"""Left out: what a schema can't say is refused all the same, and a 5xx may be what the request asked for."""


def held_to_the_document(case: Any, *deserved: int, **options: Any) -> None:
    """Sends it and judges the answer; a 5xx has to be one of the `deserved`."""
    answer = case.call(timeout=30, **options)
    assert answer.status_code < 500 or answer.status_code in deserved, answer.text
    case.validate_response(answer, excluded_checks=SEMANTIC)


def timed(case: Any) -> bool:
    """Whether the request gives itself a time, which may be over at once."""
    parameters = case.body.get("parameters") if isinstance(case.body, dict) else None
    return isinstance(parameters, dict) and "timeout" in parameters


@data.parametrize()  # type: ignore[untyped-decorator]
@SETTINGS
def test_the_data_port_answers_as_documented(case: Any, doubling: Process, way: dict[str, str]) -> None:
    deserved = (504,) if timed(case) else ()
    held_to_the_document(case, *deserved, base_url=doubling.url(""), headers=way)


@pytest.fixture(scope="module")
def administered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server whose model may be unloaded."""
    options = ("--no-vetting", "--shared-memory-bytes", "4096")
    with serving(tmp_path_factory.mktemp("administered"), build_double(), *options) as process:
        yield process


@administration.parametrize()  # type: ignore[untyped-decorator]
@SETTINGS
def test_the_administration_port_answers_as_documented(case: Any, administered: Process) -> None:
    # The model is unloaded by some requests; then others are told that it is not there. CUDA's memory is not served.
    held_to_the_document(case, 501, 503, base_url=administered.admin_url(""))


def test_after_all_that_the_model_is_loaded_and_answers(administered: Process) -> None:
    assert httpx2.post(administered.admin_url("/v2/repository/models/m/load"), timeout=60).status_code == 200
    answer = httpx2.post(administered.url("/v2/models/m/infer"), json=GOOD)
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]
