"""What the chart renders: hardened pods, no right that isn't used, and no value silently ignored."""

from pathlib import Path

import pytest
import yaml

from lab.kubectl import ROOT
from tidegate_operator import naming
from tidegate_operator.controller.command import WATCHED
from tidegate_operator.kube.objects import CHILDREN, NODE, QUOTA, SERVICES

from .rendering import CHART, Object, named, of_kind, render, template

# helm comes with the cluster's binaries.
pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "values", [None, *sorted((CHART / "ci").glob("*.yaml"))], ids=lambda path: getattr(path, "name", "defaults")
)
def test_every_pod_is_fit_for_a_namespace_that_enforces_restricted(helm: Path, values: Path | None) -> None:
    deployments = list(of_kind(render(helm, *(("-f", str(values)) if values else ())), "Deployment"))
    assert {found["metadata"]["name"] for found in deployments} == {
        "tidegate-controller",
        "tidegate-metrics-adapter",
        "tidegate-router",
        "tidegate-xds",
    }
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("controler.replicas=1", "controler"),
        ("controller.replica=1", "replica"),
        ("router.replicas=0", "replicas"),
        ("images.pullPolicy=Sometimes", "/images/pullPolicy"),
        ("images.router.digest=sha256:77aa", "/images/router/digest"),
        ("images.router.repository=registry.example/router:1.2", "/images/router/repository"),
        ("images.pullSecrets={Not_A_Name}", "/images/pullSecrets/0"),
        ("models.allowHttp=maybe", "/models/allowHttp"),
        ("images.allowOwn=maybe", "/images/allowOwn"),
        ("statusPolicy.enabled=false", "enabled"),
        ("networkPolicies.metricsFrom[0].namespace=monitoring", "namespace"),
        ("xds.resources.limit.memory=1Gi", "limit"),
        ("router.tolerations[0].effect=Never", "/router/tolerations/0/effect"),
        ("metricsAdapter.nodeSelector=gpu", "/metricsAdapter/nodeSelector"),
    ],
)
def test_a_value_that_would_be_ignored_is_refused_by_name(helm: Path, value: str, refused: str) -> None:
    done = template(helm, "--set", value)
    assert done.returncode != 0
    assert refused in done.stderr


def test_the_crd_is_the_generated_one_and_stays_when_the_chart_goes(rendered: list[Object]) -> None:
    (found,) = of_kind(rendered, "CustomResourceDefinition")
    generated = yaml.safe_load((ROOT / "crds/tidegate.dev_inferenceservices.yaml").read_text())
    assert found == generated
    assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_no_right_is_a_wildcard(rendered: list[Object]) -> None:
    for kind in ("ClusterRole", "Role"):
        for role in of_kind(rendered, kind):
            for rule in role["rules"]:
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], role["metadata"]["name"]


def test_the_controller_may_do_to_each_kind_what_it_does_and_no_more(rendered: list[Object]) -> None:
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in named(rendered, "ClusterRole", "tidegate-controller")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    expected = {(kind.group, kind.plural): {"list", "watch"} for kind in WATCHED}
    for kind in CHILDREN:
        # A server-side apply that makes an object is both a patch and a create.
        expected[kind.group, kind.plural] |= {"get", "create", "patch", "delete"}
    expected[SERVICES.group, f"{SERVICES.plural}/status"] = {"update"}
    expected["", "events"] = {"create"}
    for kind in (NODE, QUOTA):
        expected[kind.group, kind.plural] = {"list"}
    assert granted == expected


def test_only_the_metrics_adapter_reads_a_secret_and_only_its_own(rendered: list[Object]) -> None:
    about_secrets = [
        (role["metadata"]["name"], role["kind"], rule.get("resourceNames"), rule["verbs"])
        for kind in ("ClusterRole", "Role")
        for role in of_kind(rendered, kind)
        for rule in role["rules"]
        if "secrets" in rule["resources"]
    ]
    assert about_secrets == [
        ("tidegate-metrics-adapter", "Role", None, ["create"]),
        ("tidegate-metrics-adapter", "Role", ["tidegate-metrics-adapter-tls"], ["get", "update"]),
    ]


def test_services_have_the_names_and_ports_that_others_rely_on(rendered: list[Object]) -> None:
    services = {
        found["metadata"]["name"]: [port["port"] for port in found["spec"]["ports"]]
        for found in of_kind(rendered, "Service")
    }
    router = [80, naming.GRPC_PORT]
    assert services == {naming.ROUTER_SERVICE: router, "tidegate-xds": [18000], "tidegate-metrics-adapter": [443]}


def test_the_routers_bootstrap_asks_the_xds_service_of_the_same_release(rendered: list[Object]) -> None:
    bootstrap = yaml.safe_load(named(rendered, "ConfigMap", "tidegate-router")["data"]["envoy.yaml"])
    xds = next(c for c in bootstrap["static_resources"]["clusters"] if c["name"] == "xds")
    endpoint = xds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"] == {"address": "tidegate-xds.tidegate-system.svc", "port_value": 18000}
