"""What platform teams set for every pod, and that all of Tidegate's images can come from where they want."""

from pathlib import Path

import pytest

from .rendering import PROCESSES, Object, named, of_kind, pod, render

pytestmark = pytest.mark.e2e

VALUES = {"controller": "controller", "metrics-adapter": "metricsAdapter", "router": "router", "xds": "xds"}
DIGEST = "sha256:" + "7a" * 32


def images(objects: list[Object]) -> dict[str, str]:
    """Every image that the chart names, of its own pods and of the runtime."""
    own = {process: pod(objects, process)["containers"][0]["image"] for process in PROCESSES}
    assert own["controller"] == own["metrics-adapter"] == own["xds"]
    told = {entry["name"]: entry.get("value", "") for entry in pod(objects, "controller")["containers"][0]["env"]}
    return {
        "operator": own["controller"],
        "router": own["router"],
        "runtime": told["TIDEGATE_RUNTIME_IMAGE_CPU"],
        "runtimeCuda": told["TIDEGATE_RUNTIME_IMAGE_CUDA"],
    }


def test_images_are_those_of_the_release(rendered: list[Object]) -> None:
    assert images(rendered) == {
        "operator": "tidegate.dev/operator:0.1.0",
        "router": "tidegate.dev/router:0.1.0",
        "runtime": "tidegate.dev/runtime:0.1.0",
        "runtimeCuda": "tidegate.dev/runtime-cuda:0.1.0",
    }


def test_one_value_takes_every_image_from_a_registry_of_ones_own(helm: Path) -> None:
    assert images(render(helm, "--set", "images.registry=registry.example:5000/mirror")) == {
        "operator": "registry.example:5000/mirror/operator:0.1.0",
        "router": "registry.example:5000/mirror/router:0.1.0",
        "runtime": "registry.example:5000/mirror/runtime:0.1.0",
        "runtimeCuda": "registry.example:5000/mirror/runtime-cuda:0.1.0",
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"repository": "registry.example/a/b"}, "registry.example/a/b:0.1.0"),
        ({"repository": "a/b", "registry": "registry.example"}, "registry.example/a/b:0.1.0"),
        ({"repository": "localhost/a", "registry": "registry.example/"}, "registry.example/a:0.1.0"),
        ({"repository": "r.example/a", "tag": "v2"}, "r.example/a:v2"),
        ({"repository": "r.example/a", "digest": DIGEST}, f"r.example/a@{DIGEST}"),
        ({"repository": "r.example/a", "tag": "v2", "digest": DIGEST}, f"r.example/a:v2@{DIGEST}"),
    ],
)
def test_each_image_is_named_in_parts(helm: Path, settings: dict[str, str], expected: str) -> None:
    words = [
        word
        for image in ("operator", "router", "runtime", "runtimeCuda")
        for key, value in settings.items()
        for word in ("--set-string", f"images.{image}.{key}={value}")
    ]
    assert set(images(render(helm, *words)).values()) == {expected}


def test_each_image_has_its_pull_secrets(helm: Path) -> None:
    objects = render(helm, "--set", "images.pullSecrets={ours},images.runtimePullSecrets={teams,mirror}")
    for process in PROCESSES:
        assert pod(objects, process)["imagePullSecrets"] == [{"name": "ours"}]
    (told,) = [
        entry["value"]
        for entry in pod(objects, "controller")["containers"][0]["env"]
        if entry["name"] == "TIDEGATE_IMAGE_PULL_SECRETS"
    ]
    assert told == '["teams","mirror"]'


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_goes_where_it_is_told(helm: Path, process: str, tmp_path: Path) -> None:
    placed = """
      nodeSelector: {pool: system}
      tolerations: [{key: dedicated, operator: Exists, effect: NoSchedule}]
      affinity: {nodeAffinity: {}}
      priorityClassName: system-cluster-critical
      podAnnotations: {a.example/b: "c"}
    """
    values = tmp_path / "values.yaml"
    values.write_text(f"{VALUES[process]}:{placed}")
    objects = render(helm, "-f", str(values))
    found = pod(objects, process)
    assert found["nodeSelector"] == {"pool": "system"}
    assert found["tolerations"] == [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}]
    assert found["affinity"] == {"nodeAffinity": {}}
    assert found["priorityClassName"] == "system-cluster-critical"
    template = named(objects, "Deployment", f"tidegate-{process}")["spec"]["template"]
    assert template["metadata"]["annotations"]["a.example/b"] == "c"
    others = [pod(objects, other) for other in PROCESSES if other != process]
    assert not any("nodeSelector" in other for other in others)


@pytest.mark.parametrize("process", PROCESSES)
def test_replicas_are_spread_and_evicted_one_at_a_time(rendered: list[Object], process: str) -> None:
    deployment = named(rendered, "Deployment", f"tidegate-{process}")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    budget = named(rendered, "PodDisruptionBudget", f"tidegate-{process}")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    for selector in (budget["selector"], deployment["spec"]["selector"], *(each["labelSelector"] for each in spread)):
        assert selector["matchLabels"].items() <= labels.items()


def test_a_single_replica_has_no_budget_since_it_would_be_no_promise(helm: Path) -> None:
    budgets = of_kind(render(helm, "--set", "controller.replicas=1"), "PodDisruptionBudget")
    assert {found["metadata"]["name"] for found in budgets} == {
        "tidegate-metrics-adapter",
        "tidegate-router",
        "tidegate-xds",
    }
