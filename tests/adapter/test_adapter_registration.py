import asyncio
import logging
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tidegate_operator import errors
from tidegate_operator.adapter.apiservice import owner_reference, register
from tidegate_operator.adapter.certificates import issue
from tidegate_operator.adapter.frontproxy import NoFrontProxy, front_proxy
from tidegate_operator.adapter.health import State
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.registration import Registration
from tidegate_operator.adapter.settings import AdapterSettings

BETA2 = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io"
BETA1 = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.metrics.k8s.io"
OWNER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "name": "tidegate-metrics-adapter",
    "uid": "role-uid",
}


def service_of(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"service": {"namespace": namespace, "name": name}}}


async def test_owner_is_the_installs_cluster_role(cluster: Any) -> None:
    assert await owner_reference(cluster, "tidegate-metrics-adapter") == OWNER


async def test_both_versions_are_registered_where_the_group_is_free(cluster: Any) -> None:
    assert await register(cluster, "tidegate-system", b"PEM", OWNER) is None
    assert cluster.writes == [("create", BETA2), ("create", BETA1)]
    assert cluster.objects[BETA2]["spec"] == {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta2",
        "groupPriorityMinimum": 100,
        "versionPriority": 200,
        "service": {"name": "tidegate-metrics-adapter", "namespace": "tidegate-system", "port": 443},
        "caBundle": b64encode(b"PEM").decode(),
    }
    assert cluster.objects[BETA1]["spec"]["versionPriority"] == 100
    assert cluster.objects[BETA1]["metadata"]["ownerReferences"] == [OWNER]


async def test_a_second_look_writes_nothing(cluster: Any) -> None:
    await register(cluster, "tidegate-system", b"PEM", OWNER)
    cluster.writes.clear()
    assert await register(cluster, "tidegate-system", b"PEM", OWNER) is None
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("authorities", "owner"),
    [(b"RENEWED", OWNER), (b"PEM", {**OWNER, "uid": "role-of-a-new-install"})],
    ids=["a renewed authority", "a reinstalled chart"],
)
async def test_own_registration_is_updated(cluster: Any, authorities: bytes, owner: dict[str, Any]) -> None:
    await register(cluster, "tidegate-system", b"PEM", OWNER)
    cluster.writes.clear()
    assert await register(cluster, "tidegate-system", authorities, owner) is None
    assert cluster.writes == [("apply by tidegate-adapter", BETA2), ("apply by tidegate-adapter", BETA1)]
    assert cluster.objects[BETA2]["spec"]["caBundle"] == b64encode(authorities).decode()
    assert cluster.objects[BETA2]["metadata"]["ownerReferences"] == [owner]


@pytest.mark.parametrize("taken", [BETA1, BETA2])
@pytest.mark.parametrize(
    ("api_service", "provider"),
    [
        (service_of("monitoring", "prometheus-adapter"), "monitoring/prometheus-adapter"),
        (service_of("other-install", "tidegate-metrics-adapter"), "other-install/tidegate-metrics-adapter"),
        ({"metadata": {"name": "x"}, "spec": {"service": None}}, "the API server itself"),
    ],
    ids=["another adapter", "another install", "the API server"],
)
async def test_group_of_another_provider_is_left_alone_even_where_one_version_is_free(
    cluster: Any, taken: str, api_service: dict[str, Any], provider: str
) -> None:
    cluster.put(taken, api_service)
    assert await register(cluster, "tidegate-system", b"PEM", OWNER) == provider
    assert cluster.writes == []


async def test_losing_a_race_for_the_group_is_not_an_error(cluster: Any) -> None:
    def someone_is_quicker(verb: str, path: str) -> None:
        if path not in cluster.objects:
            cluster.put(path, service_of("monitoring", "prometheus-adapter"))

    cluster.before = someone_is_quicker
    await register(cluster, "tidegate-system", b"PEM", OWNER)
    assert await register(cluster, "tidegate-system", b"PEM", OWNER) == "monitoring/prometheus-adapter"


def authentication(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "extension-apiserver-authentication"}, "data": data}


def test_front_proxy_is_what_the_api_server_says() -> None:
    proxy = front_proxy(
        authentication(**{"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": '["front-proxy"]'})
    )
    assert proxy.authority == "PEM"
    assert [proxy.admits(name) for name in ("front-proxy", "someone", None)] == [True, False, False]


def test_front_proxy_may_have_any_name_where_none_is_listed() -> None:
    for names in ("[]", ""):
        proxy = front_proxy(
            authentication(**{"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": names})
        )
        assert [proxy.admits(name) for name in ("anyone", None)] == [True, False]


def test_cluster_without_front_proxy_is_told_how_to_get_one() -> None:
    with pytest.raises(NoFrontProxy, match="--requestheader-client-ca-file"):
        front_proxy(authentication(**{"client-ca-file": "PEM"}))


@pytest.mark.looptime(start=0)
async def test_registration_follows_what_happens_to_the_group_and_survives_an_absent_api_server(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    authority = issue(["front-proxy"], datetime.now(UTC))
    cluster.put(
        "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
        authentication(**{"requestheader-client-ca-file": authority.authorities.decode()}),
    )
    registry, state, loop = CollectorRegistry(), State(), asyncio.get_running_loop()

    def clock() -> float:
        return 1_795_341_600 + loop.time()

    def seen() -> tuple[float | None, str | None]:
        return registry.get_sample_value("tidegate_adapter_registered"), state.provider

    registration = await Registration.prepare(cluster, AdapterSettings(namespace="tidegate-system"), clock)
    assert BETA2 not in cluster.objects
    task = asyncio.create_task(registration.run(state, AdapterMetrics(registry)))
    await asyncio.sleep(1)
    assert BETA2 in cluster.objects
    assert seen() == (1, None)

    cluster.put(BETA2, service_of("monitoring", "prometheus-adapter"))
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(180)
    assert seen() == (0, "monitoring/prometheus-adapter")
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    get = cluster.get

    async def unavailable(path: str, query: Any = None) -> Any:
        raise errors.Unavailable("connection refused", 0)

    cluster.get = unavailable
    await asyncio.sleep(120)
    assert not task.done()
    cluster.get = get
    del cluster.objects[BETA2]
    await asyncio.sleep(60)
    assert seen() == (1, None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
