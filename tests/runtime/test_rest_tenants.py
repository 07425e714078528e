"""Rows 34 and 35 of the bad-input table for REST, on a running server: by both ways, and as messages of gRPC."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, serving
from .stored_models import Repository, body, first, index, times
from .tokens import FUTURE, PAST, bearer, document, tenant

pytestmark = pytest.mark.integration

MINE, THEIRS, NOBODYS = "/v2/models/mine", "/v2/models/theirs", "/v2/models/nobodys"
MESSAGE = "/inference.GRPCInferenceService/ModelInfer"

RATES = [f"rate-{way}-{form}" for way in ("hot", "cold") for form in ("infer", "predict", "message")]
TENANTS = [
    tenant("one", "one", models=["mine", "not-yet"], expires=FUTURE),
    tenant("two", "two", models=["theirs"]),
    tenant("former", "former", models=["mine"], expires=PAST),
    tenant("root", "root", administration=True),
    tenant("keeper", "keeper", administration=True, models=["mine"]),
    # By turns each of these may send two requests and then, in effect, none.
    *[tenant(name, name, models=["mine"], requestsPerSecond=0.001, burst=2) for name in RATES],
]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("tenants")
    stored = Repository(folder / "models")
    stored.put("mine", 1, times(2))
    stored.put("theirs", 1, times(3))
    (folder / "tenants.json").write_bytes(document(*TENANTS))
    options = ("--no-vetting", "--tenants-file", str(folder / "tenants.json"), "--admin-on-data-port")
    with serving(folder, stored.root, *options) as process:
        yield process


@pytest.fixture(scope="module")
def client(process: Process, way: dict[str, str]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=process.url(""), timeout=10, headers=way) as client:
        yield client


def message(model: str = "mine") -> bytes:
    asked = pb.ModelInferRequest(model_name=model)
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    asked.inputs[0].contents.fp32_contents.extend([1, -1])
    return asked.SerializeToString()


def infer(client: httpx2.Client, headers: dict[str, str], model: str = MINE) -> httpx2.Response:
    return client.post(f"{model}/infer", json=body(1), headers=headers)


def predict(client: httpx2.Client, headers: dict[str, str], model: str = MINE) -> httpx2.Response:
    path = model.replace("/v2", "/v1") + ":predict"
    return client.post(path, json={"instances": [[1, -1]]}, headers=headers)


def send(client: httpx2.Client, headers: dict[str, str], model: str = MINE) -> httpx2.Response:
    headers = headers | {"content-type": "application/proto"}
    return client.post(MESSAGE, content=message(model.rpartition("/")[2]), headers=headers)


Ask = Callable[..., httpx2.Response]
FORMS: dict[str, Ask] = {"infer": infer, "predict": predict, "message": send}


def told(answer: httpx2.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that a client sees, but the time of day."""
    return answer.status_code, answer.content, [pair for pair in answer.headers.multi_items() if pair[0] != "date"]


def samples(process: Process, name: str, label: str, model: str) -> dict[str, float]:
    text = httpx2.get(process.admin_url("/metrics")).text
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels["model"] == model
    }


@pytest.mark.parametrize("ask", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        pytest.param({}, False, id="row 35: no token"),
        pytest.param({"authorization": "Basic b25lOm9uZQ=="}, False, id="row 35: another scheme"),
        pytest.param(bearer("wrong"), True, id="row 35: a wrong token"),
        pytest.param(bearer("former"), True, id="row 35: an expired token"),
        pytest.param(bearer("x" * 8_000), True, id="row 35: a long token"),
    ],
)
def test_refused_with_401_is(client: httpx2.Client, ask: Ask, headers: dict[str, str], error: bool) -> None:
    nothing = ask(client, {})
    answers = [ask(client, headers, model) for model in (MINE, THEIRS, NOBODYS)]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.content for answer in answers} == {nothing.content}
    realm = 'Bearer realm="tidegate"'
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        f'{realm}, error="invalid_token"' if error else realm
    }
    if ask is send:
        assert nothing.json()["code"] == "unauthenticated"
    else:
        assert list(nothing.json()) == ["error"]


@pytest.mark.parametrize("ask", FORMS.values(), ids=FORMS)
def test_row_35_another_tenants_model_is_told_as_one_that_there_is_not(client: httpx2.Client, ask: Ask) -> None:
    theirs, nobodys = ask(client, bearer("one"), THEIRS), ask(client, bearer("one"), NOBODYS)
    assert theirs.status_code == 403
    assert told(theirs) == told(nobodys)
    assert "this token is not for that model" in theirs.text


@pytest.mark.parametrize("of", ["", "/versions/1", "/versions/7", "/ready", "/versions/1/ready", "/config", "/stats"])
def test_row_35_what_is_told_of_a_model_needs_a_token_for_it(client: httpx2.Client, of: str) -> None:
    assert client.get(f"{MINE}{of}").status_code == 401
    theirs, nobodys = (client.get(f"{model}{of}", headers=bearer("one")) for model in (THEIRS, NOBODYS))
    assert theirs.status_code == 403
    assert told(theirs) == told(nobodys)
    assert client.get(f"{MINE}{of}", headers=bearer("one")).status_code == (404 if "7" in of else 200)


def test_row_35_v1_tells_of_a_model_by_a_token_for_it(client: httpx2.Client) -> None:
    paths = ("/v1/models/mine", "/v1/models/theirs", "/v1/models/nobodys")
    assert [client.get(path).status_code for path in paths] == [401, 401, 401]
    assert [client.get(path, headers=bearer("one")).status_code for path in paths] == [200, 403, 403]


def test_only_a_tenant_that_may_ask_for_it_hears_that_there_is_no_such_model(client: httpx2.Client) -> None:
    assert infer(client, bearer("root"), NOBODYS).status_code == 404
    absent = infer(client, bearer("one"), "/v2/models/not-yet")
    assert absent.status_code == 404
    assert "theirs" not in absent.text


def test_health_and_nothing_else_needs_no_token(client: httpx2.Client, process: Process) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2", "/v2/models", "/v2/models/stats", "/v1/models"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=bearer("two")).status_code == 200
    assert httpx2.get(process.admin_url("/v2/models")).json() == {"models": ["mine", "theirs"]}


@pytest.mark.parametrize(
    ("token", "models"),
    [("one", ["mine"]), ("two", ["theirs"]), ("root", ["mine", "theirs"]), ("rate-hot-infer", ["mine"])],
)
def test_lists_have_a_tenants_own_models_alone(client: httpx2.Client, token: str, models: list[str]) -> None:
    for path in ("/v2/models", "/v1/models"):
        assert client.get(path, headers=bearer(token)).json() == {"models": models}
    counted = client.get("/v2/models/stats", headers=bearer(token)).json()["model_stats"]
    assert [each["name"] for each in counted] == models


ADMINISTRATIVE = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/mine/load"),
    ("POST", "/v2/repository/models/mine/unload"),
    ("GET", "/v2/logging"),
    ("GET", "/v2/trace/setting"),
    ("GET", f"{MINE}/trace/setting"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/unregister"),
]


@pytest.mark.parametrize(("method", "path"), ADMINISTRATIVE)
def test_administration_needs_a_token_for_it(client: httpx2.Client, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 401
    refused = client.request(method, path, headers=bearer("one"))
    assert (refused.status_code, refused.json()) == (403, {"error": "this token is not for administration"})


def test_who_administers_some_models_sees_and_changes_these_alone(client: httpx2.Client, process: Process) -> None:
    listed = client.post("/v2/repository/index", headers=bearer("keeper")).json()
    assert [entry["name"] for entry in listed] == ["mine"]
    assert {name for name, _ in index(process)} == {"mine", "theirs"}
    load = "/v2/repository/models/{}/load"
    assert client.post(load.format("mine"), headers=bearer("keeper")).status_code == 200
    theirs, nobodys = (client.post(load.format(name), headers=bearer("keeper")) for name in ("theirs", "nobodys"))
    assert theirs.status_code == 403
    assert told(theirs) == told(nobodys)


@pytest.mark.parametrize("form", FORMS)
def test_row_34_beyond_the_rate_is_429_with_a_reason_and_when_to_come_back(
    client: httpx2.Client, process: Process, way: dict[str, str], form: str
) -> None:
    name = f"rate-{'cold' if way else 'hot'}-{form}"
    before = samples(process, "tidegate_refused_total", "reason", "mine").get("TenantRate", 0)
    # What isn't let in, or asks for no inference, doesn't count.
    for _ in range(3):
        assert FORMS[form](client, bearer(name), THEIRS).status_code == 403
        assert client.get(MINE, headers=bearer(name)).status_code == 200
    answers = [FORMS[form](client, bearer(name)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    refused = answers[-1]
    assert 900 < int(refused.headers["retry-after"]) <= 1000
    assert refused.headers["tidegate-refused"] == "TenantRate"
    assert "0.001 requests a second" in refused.text
    assert samples(process, "tidegate_refused_total", "reason", "mine")["TenantRate"] == before + 2


def test_a_refused_request_leaves_its_connection_usable(process: Process, way: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
    connection.connect()
    used, content = connection.sock, json.dumps(body(1))
    found = []
    for token in ("one", "wrong", "one", "two", "one", "former", "one", "one"):
        connection.request("POST", f"{MINE}/infer", content, way | bearer(token) | {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
        assert connection.sock is used
    connection.close()
    assert found == [200, 401, 200, 403, 200, 401, 200, 200]


def test_refusals_are_counted_of_the_model_and_of_no_other(client: httpx2.Client, process: Process) -> None:
    before = samples(process, "tidegate_requests_total", "code", "theirs")
    assert infer(client, bearer("wrong"), THEIRS).status_code == 401
    assert predict(client, bearer("one"), THEIRS).status_code == 403
    assert send(client, bearer("one"), THEIRS).status_code == 403
    assert infer(client, bearer("one"), NOBODYS).status_code == 403
    after = samples(process, "tidegate_requests_total", "code", "theirs")
    assert {code: count - before.get(code, 0) for code, count in after.items()} | {"200": 0} == {
        "401": 1,
        "403": 2,
        "200": 0,
    }
    assert {name for name, _ in index(process)} == {"mine", "theirs"}


@pytest.mark.parametrize("model", [MINE, NOBODYS])
def test_a_body_is_not_waited_for(process: Process, model: str) -> None:
    head = f"POST {model}/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
    for expect in ("Expect: 100-continue\r\n", ""):
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as connection:
            connection.sendall(head.replace("Expect: 100-continue\r\n", expect).encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_of_two_tokens_none_is_taken(client: httpx2.Client) -> None:
    headers = [("authorization", "Bearer one"), ("authorization", "Bearer one")]
    assert client.post(f"{MINE}/infer", json=body(1), headers=headers).status_code == 401


def test_without_the_option_a_token_means_nothing(doubling: Any, way: dict[str, str]) -> None:
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    answer = httpx2.post(doubling.url("/v2/models/m/infer"), json=content, headers=way | bearer("x"))
    assert first(answer) == 2.0
