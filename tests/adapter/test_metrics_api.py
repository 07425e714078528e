import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from tidegate_operator.adapter.certificates import Identity, issue
from tidegate_operator.adapter.exposition import Reading
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.frontproxy import Doorway, FrontProxy
from tidegate_operator.adapter.web import OnlyFrontProxy, metrics_api
from tidegate_operator.process.serving import serving

pytestmark = pytest.mark.integration
HOST = "tidegate-metrics-adapter.tidegate-system.svc"
API = "/apis/custom.metrics.k8s.io"


class Authority:
    """A certificate authority of the test's own, which signs client certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "front-proxy-ca")])
        self.pem = self._pem(self._certificate(self._name, self._key.public_key(), is_authority=True))

    def client_context(self, common_name: str, server: Identity) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._certificate(name, key.public_key(), is_authority=False)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{id(key)}.pem"
        path.write_text(self._pem(certificate) + pem.decode())
        context = ssl.create_default_context(cadata=server.authorities.decode())
        context.load_cert_chain(path)
        return context

    def _certificate(self, subject: x509.Name, key: Any, *, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @staticmethod
    def _pem(certificate: x509.Certificate) -> str:
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Running:
    """A metrics API that serves, and what it takes to ask it."""

    url: str
    doorway: Doorway
    identity: Identity
    authority: Authority
    fleet: Fleet

    @asynccontextmanager
    async def client(self, context: ssl.SSLContext | None = None) -> AsyncIterator[aiohttp.ClientSession]:
        context = context or self.authority.client_context("front-proxy", self.identity)
        async with aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
            yield session

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self.client() as session, session.get(path, params=query, server_hostname=HOST) as response:
            return response.status, await response.json()


@pytest.fixture
def fleet(pod_body: Callable[..., Any], service_body: Callable[..., Any], reading: Callable[..., Reading]) -> Fleet:
    """ml/churn with two pods that are read every other second up to 20, and one that was never reached."""
    fleet = Fleet()
    fleet.see_service(service_body(slo={"p95": "120ms"}), deleted=False)
    for name, queue in [("a", 2), ("b", 5)]:
        fleet.see_pod(pod_body(name), deleted=False)
        for number in range(11):
            fleet.record(f"uid-ml-{name}", reading({0.1: 100 * number}, queue=queue), 2.0 * number)
    fleet.see_pod(pod_body("unreachable"), deleted=False)
    return fleet


@pytest.fixture
async def api(tmp_path: Path, fleet: Fleet) -> AsyncIterator[Running]:
    authority = Authority(tmp_path)
    identity = issue([HOST], datetime.now(UTC))
    doorway = Doorway(identity, FrontProxy(authority.pem, frozenset({"front-proxy"})))
    application = OnlyFrontProxy(metrics_api(fleet, lambda: 20.0), lambda: doorway.proxy)
    async with serving(application, "127.0.0.1", 0, doorway.context) as listener:
        yield Running(f"https://127.0.0.1:{listener.getsockname()[1]}", doorway, identity, authority, fleet)


async def test_pods_are_read_as_the_hpa_controller_asks_for_them(api: Running) -> None:
    selector = "tidegate.dev/revision=churn-6f3c9d1a,tidegate.dev/service=churn"
    # The star is percent-encoded on the wire, as client-go does.
    url = URL(f"{api.url}{API}/v1beta2/namespaces/ml/pods/%2A/tidegate_queue_depth", encoded=True)
    async with (
        api.client() as session,
        session.get(url.update_query(labelSelector=selector), server_hostname=HOST) as response,
    ):
        assert response.status == 200
        document = await response.json()
    assert document["kind"] == "MetricValueList"
    assert {item["describedObject"]["name"]: item["value"] for item in document["items"]} == {
        "a": "2000m",
        "b": "5000m",
    }


async def test_object_metric_is_read_as_the_hpa_controller_asks_for_it(api: Running) -> None:
    status, document = await api.get(
        f"{API}/v1beta2/namespaces/ml/inferenceservices.tidegate.dev/churn/tidegate_p95_milliseconds",
        metricLabelSelector="tidegate.dev/revision=churn-6f3c9d1a",
    )
    assert status == 200
    (item,) = document["items"]
    assert item["describedObject"] == {
        "kind": "InferenceService",
        "namespace": "ml",
        "name": "churn",
        "apiVersion": "tidegate.dev/v1alpha1",
    }
    assert (item["value"], item["windowSeconds"]) == ("95000m", 30)


async def test_v1beta1_answers_in_its_own_shape(api: Running) -> None:
    status, document = await api.get(f"{API}/v1beta1/namespaces/ml/pods/a/tidegate_inflight")
    assert status == 200
    (item,) = document["items"]
    assert (item["metricName"], item["window"], item["value"]) == ("tidegate_inflight", 15, "3000m")


async def test_selector_that_matches_nothing_is_an_empty_list(api: Running) -> None:
    status, document = await api.get(
        f"{API}/v1beta2/namespaces/ml/pods/*/tidegate_queue_depth", labelSelector="tidegate.dev/service=none"
    )
    assert (status, document["items"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "query", "status", "reason", "message"),
    [
        ("/v1beta2/namespaces/ml/pods/unreachable/tidegate_queue_depth", {}, 404, "NotFound", "no value of"),
        ("/v1beta2/namespaces/ml/pods/*/cpu", {}, 404, "NotFound", "metric cpu of pods is not served"),
        ("/v1beta2/namespaces/ml/jobs.batch/x/tidegate_queue_depth", {}, 404, "NotFound", "is not served"),
        (
            "/v1beta2/namespaces/ml/inferenceservices.tidegate.dev/none/tidegate_p95_milliseconds",
            {},
            404,
            "NotFound",
            "no value of tidegate_p95_milliseconds for inferenceservices.tidegate.dev ml/none",
        ),
        (
            "/v1beta2/namespaces/ml/inferenceservices.tidegate.dev/churn/tidegate_p95_milliseconds",
            {"metricLabelSelector": "tidegate.dev/revision=gone"},
            404,
            "NotFound",
            "none of its pods",
        ),
        ("/v2/namespaces/ml/pods/*/tidegate_queue_depth", {}, 404, "NotFound", "use v1beta2 or v1beta1"),
        ("/v2", {}, 404, "NotFound", "use v1beta2 or v1beta1"),
        ("/v1beta2/namespaces/ml/pods/*/tidegate_queue_depth", {"labelSelector": "a b"}, 400, "BadRequest",
         "labelSelector: unable to parse"),
        ("/v1beta2/elsewhere", {}, 404, "NotFound", "Not Found"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_a_status(
    api: Running, path: str, query: dict[str, str], status: int, reason: str, message: str
) -> None:
    code, document = await api.get(API + path, **query)
    assert code == status
    assert (document["kind"], document["status"]) == ("Status", "Failure")
    assert (document["reason"], document["code"]) == (reason, status)
    assert message in document["message"]


async def test_writing_is_refused_with_a_status(api: Running) -> None:
    async with api.client() as session, session.post(f"{API}/v1beta2", server_hostname=HOST) as response:
        assert response.status == 405
        assert (await response.json())["reason"] == "MethodNotAllowed"


async def test_discovery_is_complete(api: Running) -> None:
    status, groups = await api.get("/apis")
    assert status == 200
    assert groups["groups"] == [(await api.get(API))[1]]
    for version in groups["groups"][0]["versions"]:
        status, document = await api.get(f"/apis/{version['groupVersion']}")
        assert (status, document["kind"]) == (200, "APIResourceList")


async def test_openapi_is_there_for_the_aggregator_and_describes_nothing(api: Running) -> None:
    status, document = await api.get("/openapi/v2")
    assert (status, document["swagger"], document["paths"]) == (200, "2.0", {})
    assert await api.get("/openapi/v3") == (200, {"paths": {}})


async def test_client_without_certificate_is_refused_at_the_handshake(api: Running) -> None:
    context = ssl.create_default_context(cadata=api.identity.authorities.decode())
    async with api.client(context) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/healthz", server_hostname=HOST)


async def test_client_of_another_authority_is_refused_at_the_handshake(api: Running, tmp_path: Path) -> None:
    context = Authority(tmp_path).client_context("front-proxy", api.identity)
    async with api.client(context) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/apis", server_hostname=HOST)


async def test_client_whose_name_is_not_allowed_is_forbidden(api: Running) -> None:
    context = api.authority.client_context("someone", api.identity)
    async with api.client(context) as session, session.get("/apis", server_hostname=HOST) as response:
        assert response.status == 403
        assert "'someone' is not among requestheader-allowed-names" in (await response.json())["message"]


async def test_renewed_certificate_and_front_proxy_are_used_without_a_restart(api: Running, tmp_path: Path) -> None:
    assert (await api.get("/apis"))[0] == 200
    old_client = api.authority.client_context("front-proxy", api.identity)
    api.identity = issue([HOST], datetime.now(UTC), api.identity)
    new_authority = Authority(tmp_path)
    api.doorway.update(api.identity, FrontProxy(new_authority.pem, frozenset()))
    new_client = new_authority.client_context("renamed", issue([HOST], datetime.now(UTC)))
    new_client.load_verify_locations(cadata=api.identity.authorities.decode())
    async with api.client(new_client) as session, session.get("/apis", server_hostname=HOST) as response:
        assert response.status == 200
    # It still trusts what is served, but is no longer trusted itself.
    old_client.load_verify_locations(cadata=api.identity.authorities.decode())
    async with api.client(old_client) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/apis", server_hostname=HOST)


async def test_port_is_closed_afterwards(tmp_path: Path, fleet: Fleet) -> None:
    async with serving(metrics_api(fleet, lambda: 0.0), "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
