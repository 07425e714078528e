"""Envoy Gateway in a cluster, by the chart that its Go module has, and a Gateway of its."""

import json
import os
import tempfile
from pathlib import Path

from envoygateway import binary
from lab.kubectl import Failed, Kubectl, Object
from localcluster import command, gobuild
from localcluster.progress import Progress

NAMESPACE = "envoy-gateway-system"
CLASS = "tidegate-envoy-gateway"
HOST = f"public.{NAMESPACE}.svc.cluster.local"
"""Where the Gateway listens, on port 80."""
_RELEASE = "eg"
_OURS = {"tidegate.dev/made-for": "tests"}
_API = "gateway.envoyproxy.io/v1alpha1"
_GROUPS = (".gateway.envoyproxy.io", ".gateway.networking.k8s.io", ".gateway.networking.x-k8s.io")


def claim(kubectl: Kubectl) -> None:
    """Make its namespace; raises Failed where the cluster has the Gateway API from someone else, whom `remove` robs."""
    found = kubectl.get("namespaces", "-l", ",".join(f"{key}={value}" for key, value in _OURS.items()))["items"]
    if _crds(kubectl) and not found:
        raise Failed("the cluster has the Gateway API already, and all of its kinds goes with these tests: use another")
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": _OURS}})


def install(kubectl: Kubectl, envoy: str, progress: Progress) -> None:
    """Install Envoy Gateway with the CRDs that it brings, and a class of Gateways, whose proxies run from `envoy`.

    The cluster is to be claimed before.

    Raises:
        ClusterError: the module or the program can't be had.
        Failed: it doesn't get ready.
    """
    chart = _module(progress) / "charts/gateway-helm"
    image, _ = binary.archive(progress)
    # As its project does for a release: of its values the chart has a template alone.
    values = (chart / "values.tmpl.yaml").read_text()
    values = values.replace("${GatewayImage}", image).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        kubectl.run(
            *("upgrade", "--install", _RELEASE, str(chart), "--namespace", NAMESPACE),
            # What tells proxies their zone has a hand in the binding of all pods; there is one zone.
            *("-f", file.name, "--set", "topologyInjector.enabled=false", "--wait", "--timeout", "3m"),
            program="helm",
        )
    kubectl.apply(*_class(envoy))


def remove(kubectl: Kubectl) -> None:
    """Remove it with its CRDs, and all that is of their kinds."""
    crds = _crds(kubectl)
    if crds:
        # While there is a Gateway of it, a class is held.
        for words in (("gateways", "--all", "-n", NAMESPACE), ("gatewayclass", CLASS)):
            kubectl.run("delete", *words, "--ignore-not-found", "--wait", "--timeout=60s")
    kubectl.run("uninstall", _RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", program="helm")
    if crds:
        kubectl.run("delete", *crds, "--wait")
    kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")


def _crds(kubectl: Kubectl) -> list[str]:
    return [crd for crd in kubectl.names("crd") if crd.endswith(_GROUPS)]


def _module(progress: Progress) -> Path:
    with gobuild.toolchain(binary.PROGRAM.oldest_go, progress) as go:
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
        words: list[str | Path] = [go, "mod", "download", "-json", binary.MODULE]
        told = command.output(words, cwd=binary.PROGRAM.module, env=environment)
    return Path(json.loads(told)["Dir"])


def _class(envoy: str) -> tuple[Object, ...]:
    container = {"image": envoy, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}
    provider = {
        "type": "Kubernetes",
        "kubernetes": {
            "envoyDeployment": {"container": container},
            "envoyService": {"name": HOST.partition(".")[0], "type": "ClusterIP"},
        },
    }
    proxy: Object = {
        "apiVersion": _API,
        "kind": "EnvoyProxy",
        "metadata": {"name": CLASS, "namespace": NAMESPACE},
        # No test has a proxy go while it has callers.
        "spec": {"provider": provider, "shutdown": {"drainTimeout": "1s", "minDrainDuration": "1s"}},
    }
    made_by = {"group": _API.partition("/")[0], "kind": "EnvoyProxy", "name": CLASS, "namespace": NAMESPACE}
    found: Object = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {
            "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
            "parametersRef": made_by,
        },
    }
    return proxy, found
