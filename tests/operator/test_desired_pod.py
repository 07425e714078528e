"""The pod that a revision's record holds."""

from collections.abc import Callable
from typing import Any

import pytest

from tidegate_operator.desired.container import DRAIN_SECONDS
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.install import Install

from .builders import A, Object, a_spec

PLACEMENT = {
    "nodeSelector": {"gpu": "a100"},
    "tolerations": [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "value": "ml"},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
    ],
    "topologySpread": "hostname",
    "runtimeClass": "nvidia",
    "priorityClass": "high",
    "imagePullSecrets": ["registry", "mirror"],
}
SPECS: dict[str, dict[str, Any]] = {
    "the least": {},
    "cpu": {"runtime": {"device": "cpu"}},
    "a claim": {"model": {"uri": "pvc://models/churn/v3.onnx", "sha256": "a" * 64}},
    "accelerators": {"resources": {"gpu": {"count": 2, "resource": "nvidia.com/mig-1g.10gb"}}},
    "a claim template": {"resources": {"gpu": {"claimTemplate": "one-a100"}}},
    "a place": {"placement": PLACEMENT},
    "variables": {"runtime": {"environment": [{"name": "A", "value": "b"}]}},
    "shared memory": {"resources": {"sharedMemory": "1Gi"}},
}


def a_template(**parts: Any) -> Object:
    return pod_template("churn", A, a_spec(**parts), Install())


def containers(pod: Object) -> list[Object]:
    return [*pod["initContainers"], *pod["containers"]]


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
RESTRICTED: dict[str, Callable[[Object], bool]] = {
    "no host namespaces": lambda pod: not {"hostNetwork", "hostPID", "hostIPC"} & set(pod),
    "allowed volumes alone": lambda pod: all(set(volume) - {"name"} <= ALLOWED_VOLUMES for volume in pod["volumes"]),
    "no host ports": lambda pod: all("hostPort" not in port for c in containers(pod) for port in c.get("ports", [])),
    "no privileged container": lambda pod: all("privileged" not in c["securityContext"] for c in containers(pod)),
    "no privilege escalation": lambda pod: all(
        c["securityContext"]["allowPrivilegeEscalation"] is False for c in containers(pod)
    ),
    "every capability dropped": lambda pod: all(
        c["securityContext"]["capabilities"] == {"drop": ["ALL"]} for c in containers(pod)
    ),
    "not as root": lambda pod: pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] >= 10001,
    "the runtime's seccomp profile": lambda pod: pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
    "no SELinux or AppArmor choice": lambda pod: (
        not {"seLinuxOptions", "appArmorProfile"} & set(pod["securityContext"])
    ),
    "no sysctls": lambda pod: "sysctls" not in pod["securityContext"],
}


@pytest.mark.parametrize("parts", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize("rule", RESTRICTED.values(), ids=RESTRICTED.keys())
def test_the_pod_is_fit_for_the_restricted_standard(rule: Callable[[Object], bool], parts: dict[str, Any]) -> None:
    assert rule(a_template(**parts)["spec"])


@pytest.mark.parametrize("parts", SPECS.values(), ids=SPECS.keys())
def test_nothing_of_the_pod_is_writable_but_its_own_volumes(parts: dict[str, Any]) -> None:
    pod = a_template(**parts)["spec"]
    assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in containers(pod))
    (runtime,) = pod["containers"]
    writable = [mount["name"] for mount in runtime["volumeMounts"] if not mount.get("readOnly")]
    assert set(writable) <= {"tmp", "shared-memory"}


def test_the_pod_has_no_way_to_the_api_server() -> None:
    assert a_template()["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("timeout", "seconds"), [("30s", 30), ("1500ms", 2), ("1h", 3600)])
def test_the_grace_covers_drain_and_time_out(timeout: str, seconds: int) -> None:
    grace = a_template(runtime={"timeout": timeout})["spec"]["terminationGracePeriodSeconds"]
    assert isinstance(grace, int)
    assert grace >= DRAIN_SECONDS + seconds


def test_the_drain_outlasts_the_routers_health_check_and_dns() -> None:
    assert DRAIN_SECONDS >= 1 + 5


RESOURCES = {
    "cuda has one GPU": ({}, {"memory": "2Gi", "nvidia.com/gpu": "1"}),
    "cpu has none": ({"runtime": {"device": "cpu"}}, {"memory": "2Gi"}),
    "what is asked for is given": (SPECS["accelerators"], {"memory": "2Gi", "nvidia.com/mig-1g.10gb": "2"}),
}


@pytest.mark.parametrize(("parts", "limits"), RESOURCES.values(), ids=RESOURCES.keys())
def test_of_resources(parts: dict[str, Any], limits: dict[str, str]) -> None:
    (runtime,) = a_template(**parts)["spec"]["containers"]
    assert runtime["resources"] == {"limits": limits, "requests": {"cpu": "1", **limits}}


def test_a_claim_template_takes_the_place_of_extended_resources() -> None:
    pod = a_template(**SPECS["a claim template"])["spec"]
    (runtime,) = pod["containers"]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one-a100"}]
    assert runtime["resources"] == {
        "limits": {"memory": "2Gi"},
        "requests": {"cpu": "1", "memory": "2Gi"},
        "claims": [{"name": "gpu"}],
    }


def test_shared_memory_is_a_volume_in_memory_of_the_runtime_alone() -> None:
    pod = a_template(**SPECS["shared memory"])["spec"]
    (fetcher,), (runtime,) = pod["initContainers"], pod["containers"]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in pod["volumes"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in runtime["volumeMounts"]
    assert "shared-memory" not in [mount["name"] for mount in fetcher["volumeMounts"]]
    assert runtime["resources"]["limits"]["memory"] == "2Gi", "it is part of what the pod may hold"


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"shared memory"}))
def test_a_pod_has_no_shared_memory_of_its_own_unless_asked_to(name: str) -> None:
    assert "/dev/shm" not in str(a_template(**SPECS[name]))


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"a claim template"}))
def test_a_pod_claims_no_device_unless_asked_to(name: str) -> None:
    pod = a_template(**SPECS[name])["spec"]
    assert "resourceClaims" not in pod
    assert "claims" not in pod["containers"][0]["resources"]


@pytest.mark.parametrize(("device", "image"), [("cpu", "r:cpu"), ("cuda", "r:cuda")])
def test_each_device_has_its_image(device: str, image: str) -> None:
    install = Install(runtime_image_cpu="r:cpu", runtime_image_cuda="r:cuda")
    pod = pod_template("churn", A, a_spec(runtime={"device": device}), install)["spec"]
    assert {container["image"] for container in containers(pod)} == {image}


def test_the_fetcher_checks_the_digest_and_the_size() -> None:
    (fetcher,) = a_template(model={"uri": "https://h/m.onnx", "sha256": "a" * 64})["spec"]["initContainers"]
    assert fetcher["args"][:3] == ["fetch", "https://h/m.onnx", "/models"]
    assert option(fetcher["args"], "--sha256") == "a" * 64
    assert option(fetcher["args"], "--max-bytes") == str(32 * 2**30)


def test_without_a_digest_none_is_checked() -> None:
    (fetcher,) = a_template()["spec"]["initContainers"]
    assert "--sha256" not in fetcher["args"]


def test_a_claim_is_mounted_for_the_fetcher_alone() -> None:
    pod = a_template(**SPECS["a claim"])["spec"]
    (fetcher,), (runtime,) = pod["initContainers"], pod["containers"]
    assert {"name": "claim", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}} in pod["volumes"]
    assert {"name": "claim", "mountPath": "/pvc", "readOnly": True} in fetcher["volumeMounts"]
    assert option(fetcher["args"], "--pvc-root") == "/pvc"
    assert "claim" not in [mount["name"] for mount in runtime["volumeMounts"]]


def test_a_model_from_elsewhere_mounts_no_claim() -> None:
    pod = a_template()["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["model", "tmp"]
    assert "--pvc-root" not in pod["initContainers"][0]["args"]


def test_the_runtime_is_told_what_the_spec_says() -> None:
    spec = {
        "device": "cpu",
        "batching": {"maxBatchSize": 8, "maxDelay": "9ms"},
        "limits": {"queueSize": 9, "maxBodyBytes": "10Mi", "maxElementBytes": "2Ki", "rejectNonFinite": True},
        "timeout": "2s",
    }
    (runtime,) = a_template(runtime=spec)["spec"]["containers"]
    namespace, *settings = runtime["env"]
    assert namespace == {"name": "TIDEGATE_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    assert {variable["name"]: variable["value"] for variable in settings} == {
        "TIDEGATE_NAME": "churn",
        "TIDEGATE_MODEL_VERSION": A,
        "TIDEGATE_DEVICE": "cpu",
        "TIDEGATE_MAX_BATCH_SIZE": "8",
        "TIDEGATE_MAX_DELAY_SECONDS": "0.009",
        "TIDEGATE_QUEUE_SIZE": "9",
        "TIDEGATE_MAX_BODY_BYTES": "10485760",
        "TIDEGATE_MAX_ELEMENT_BYTES": "2048",
        "TIDEGATE_REJECT_NON_FINITE": "True",
        "TIDEGATE_TIMEOUT_SECONDS": "2.0",
        "TIDEGATE_DRAIN_SECONDS": "10",
        "TIDEGATE_SHARE_URL": f"http://tidegate-xds.tidegate-system.svc.cluster.local:18000/v1/share/$(TIDEGATE_NAMESPACE)/{A}",
    }


def test_pods_are_spread_within_their_revision() -> None:
    constraints = a_template()["spec"]["topologySpreadConstraints"]
    selector = {"tidegate.dev/service": "churn", "tidegate.dev/revision": A}
    assert [constraint["labelSelector"]["matchLabels"] for constraint in constraints] == [selector, selector]
    assert {constraint["whenUnsatisfiable"] for constraint in constraints} == {"ScheduleAnyway"}


def test_pull_secrets_are_those_of_the_install_and_none_where_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "imagePullSecrets" not in a_template()["spec"]
    monkeypatch.setenv("TIDEGATE_IMAGE_PULL_SECRETS", '["teams","mirror"]')
    pod = pod_template("churn", A, a_spec(), Install())["spec"]
    assert pod["imagePullSecrets"] == [{"name": "teams"}, {"name": "mirror"}]


def test_a_pod_is_placed_as_its_spec_says() -> None:
    pod = a_template(placement=PLACEMENT)["spec"]
    assert pod["nodeSelector"] == {"gpu": "a100"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml"},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
    ]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["priorityClassName"] == "high"
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


ZONE, HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


@pytest.mark.parametrize(("spread", "keys"), [("zone", [ZONE]), ("hostname", [HOSTNAME]), ("both", [ZONE, HOSTNAME])])
def test_pods_are_spread_over(spread: str, keys: list[str]) -> None:
    constraints = a_template(placement={"topologySpread": spread})["spec"]["topologySpreadConstraints"]
    assert [constraint["topologyKey"] for constraint in constraints] == keys


PLACED = {"nodeSelector", "tolerations", "runtimeClassName", "priorityClassName", "imagePullSecrets"}


def test_a_pod_without_a_place_has_the_clusters_defaults() -> None:
    assert not PLACED & set(a_template()["spec"])


def variables(*items: Object) -> list[Object]:
    (runtime,) = a_template(runtime={"environment": list(items)})["spec"]["containers"]
    found: list[Object] = runtime["env"]
    return [variable for variable in found if not variable["name"].startswith("TIDEGATE_")]


def test_the_runtime_gets_the_variables_of_the_spec() -> None:
    assert variables(
        {"name": "OMP_WAIT_POLICY", "value": "PASSIVE"},
        {"name": "EMPTY", "value": ""},
    ) == [{"name": "OMP_WAIT_POLICY", "value": "PASSIVE"}, {"name": "EMPTY", "value": ""}]


@pytest.mark.parametrize(
    ("value", "rendered"), [("$(TIDEGATE_NAME)", "$$(TIDEGATE_NAME)"), ("5$", "5$$"), ("$$(A)", "$$$$(A)")]
)
def test_a_variable_has_its_value_as_it_is(value: str, rendered: str) -> None:
    # Kubernetes reads `$$` as `$`, and `$(NAME)` as the value of NAME.
    assert variables({"name": "A", "value": value}) == [{"name": "A", "value": rendered}]


def test_the_fetcher_gets_none_of_them() -> None:
    model = {"uri": "https://models.example/churn.onnx", "sha256": "a" * 64}
    template = a_template(model=model, runtime={"environment": [{"name": "A", "value": "1"}]})
    (fetcher,) = template["spec"]["initContainers"]
    assert "env" not in fetcher
