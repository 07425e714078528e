"""An install for some namespaces: no right anywhere else, and work on an API server that grants no more."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import aiohttp
import pytest

from lab.kubectl import Failed, Kubectl, Object
from localcluster.ports import free_ports
from localcluster.waiting import wait_for
from tidegate_operator.controller.command import WATCHED, Controller
from tidegate_operator.install import Install
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.fence import Fence
from tidegate_operator.kube.store import Key

from .rendering import CHART, NAMESPACE, named, of_kind, pod, render, template

pytestmark = pytest.mark.e2e

OFF = "watchNamespaces={ml,vision},crds.install=false,statusPolicy.install=false"
OURS = ["ml", NAMESPACE, "vision"]
SERVICE: Object = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "InferenceService",
    "metadata": {"name": "churn"},
    "spec": {"model": {"uri": "https://models.example/churn.onnx"}},
}
STATUS = {"stable": {"revision": "churn-6f3c9d1a", "weight": 100}}


def test_nothing_is_made_that_belongs_to_the_whole_cluster(helm: Path) -> None:
    objects = render(helm, "--set", OFF)
    assert all(found["metadata"].get("namespace") in OURS for found in objects), "a cluster-wide object"
    assert {found["metadata"]["name"] for found in of_kind(objects, "Deployment")} == {
        "tidegate-controller",
        "tidegate-router",
        "tidegate-xds",
    }


def test_each_namespace_grants_what_all_would_have(helm: Path, rendered: list[Object]) -> None:
    objects = render(helm, "--set", OFF)
    for process in ("controller", "xds"):
        rules = named(rendered, "ClusterRole", f"tidegate-{process}")["rules"]
        # Nodes belong to no namespace: what fits isn't foretold there.
        everywhere = [rule for rule in rules if rule["resources"] != ["nodes", "resourcequotas"]]
        roles = [
            found for found in of_kind(objects, "Role") if found["metadata"]["name"] == f"tidegate-{process}-watch"
        ]
        assert sorted(found["metadata"]["namespace"] for found in roles) == OURS
        assert all(found["rules"] == everywhere for found in roles)
        told = {entry["name"]: entry.get("value") for entry in pod(objects, process)["containers"][0]["env"]}
        assert json.loads(told["TIDEGATE_WATCH_NAMESPACES"]) == OURS


def test_by_default_all_namespaces_are_watched(rendered: list[Object]) -> None:
    for process in ("controller", "xds"):
        assert "TIDEGATE_WATCH_NAMESPACES" not in str(pod(rendered, process))
    assert not [found for found in of_kind(rendered, "Role") if found["metadata"]["name"].endswith("-watch")]


def test_its_policy_is_about_its_own_namespaces(helm: Path) -> None:
    (policy,) = of_kind(render(helm, "--set", "watchNamespaces={ml,vision}"), "ValidatingAdmissionPolicy")
    assert policy["metadata"]["name"] == f"tidegate-status-{NAMESPACE}"
    assert policy["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"] == [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": OURS}
    ]


@pytest.mark.parametrize("value", ["watchNamespaces={ml,ml}", "watchNamespaces={team.ml}", "watchNamespaces=ml"])
def test_what_can_not_be_a_list_of_namespaces_is_refused(helm: Path, value: str) -> None:
    done = template(helm, "--set", value)
    assert done.returncode != 0
    assert "watchNamespaces" in done.stderr


@pytest.fixture(scope="module")
def namespaced(api_server: Kubectl) -> Kubectl:
    """An API server with the CRD, the install, and a service with a status in each of three namespaces, two watched."""
    api_server.run("apply", "--server-side", "-f", str(CHART / "files/crd.yaml"))
    for namespace in ("ml", "vision", "elsewhere"):
        api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    words = ("install", "tidegate", str(CHART), "--namespace", NAMESPACE, "--create-namespace", "--set", OFF)
    api_server.run(*words, program="helm")
    api_server.run("wait", "crd/inferenceservices.tidegate.dev", "--for=condition=Established", "--timeout=30s")
    for namespace in ("ml", "vision", "elsewhere"):
        make(api_server, namespace)
    return api_server


def make(kubectl: Kubectl, namespace: str, name: str = "churn") -> None:
    where = {"name": name, "namespace": namespace}
    kubectl.apply({**SERVICE, "metadata": where})
    patch = json.dumps({"status": STATUS})
    kubectl.run("-n", namespace, "patch", "isv", name, "--subresource=status", "--type=merge", "-p", patch)


def account(kubectl: Kubectl, process: str, folder: Path) -> Path:
    """A kubeconfig of a process's account: its token and nothing else."""
    token = kubectl.run("-n", NAMESPACE, "create", "token", f"tidegate-{process}").strip()
    known = json.loads(kubectl.kubeconfig.read_text())
    known["users"] = [{"name": "tidegate", "user": {"token": token}}]
    path = folder / f"{process}.kubeconfig"
    path.write_text(json.dumps(known))
    return path


async def test_the_controller_lists_its_namespaces_by_its_own_account(
    namespaced: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = str(account(namespaced, "controller", tmp_path))
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    # The client read the environment when it was imported.
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    cluster = await ApiServer.open()
    try:
        async with aiohttp.ClientSession() as session:
            install = Install(namespace=NAMESPACE, watch_namespaces=("ml", "vision"))
            controller = Controller(cluster, session, install, Fence())
            listing = asyncio.create_task(controller.keep_listed())
            try:
                async with asyncio.timeout(30):
                    await controller.listed.wait()
            finally:
                listing.cancel()
    finally:
        await cluster.close()
    assert sorted(controller.store.services()) == [Key("ml", "churn"), Key("vision", "churn")]


def test_the_controller_may_watch_what_it_watches_there_and_nowhere_else(namespaced: Kubectl) -> None:
    def may(verb: str, resource: str, namespace: str) -> bool:
        who = f"--as=system:serviceaccount:{NAMESPACE}:tidegate-controller"
        try:
            return namespaced.run("auth", "can-i", verb, resource, "-n", namespace, who).strip() == "yes"
        except Failed:
            return False

    for kind in WATCHED:
        resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        found = [may("watch", resource, namespace) for namespace in ("ml", NAMESPACE, "elsewhere")]
        assert found == [True, True, False], resource
    assert not may("list", "namespaces", "ml")


def test_xds_tells_routers_of_its_namespaces_by_its_own_account(namespaced: Kubectl, tmp_path: Path) -> None:
    with xds(account(namespaced, "xds", tmp_path), tmp_path / "xds.log") as hosts:
        wait_for("the listed services", lambda: None if hosts() == {"ml/churn", "vision/churn"} else "", seconds=60)
        make(namespaced, "vision", "later")
        wait_for("a service made since", lambda: None if "vision/later" in hosts() else str(hosts()), seconds=30)
        assert hosts() == {"ml/churn", "vision/churn", "vision/later"}


@contextmanager
def xds(kubeconfig: Path, log: Path) -> Iterator[Callable[[], set[str]]]:
    """The command as a process; the virtual hosts that it tells routers of at the moment."""
    port, admin = free_ports(2)
    settings = {
        "KUBECONFIG": str(kubeconfig),
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_PORT": str(port),
        "TIDEGATE_ADMIN_PORT": str(admin),
        "TIDEGATE_WATCH_NAMESPACES": json.dumps(OURS),
    }

    def hosts() -> set[str]:
        request = Request(f"http://127.0.0.1:{port}/v3/discovery:routes", b"{}", {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=5) as answer:
                told: Any = json.load(answer)
        except (URLError, ConnectionError):
            return set()
        return {host["name"] for table in told["resources"] for host in table["virtual_hosts"]}

    words = [sys.executable, "-m", "tidegate_operator", "xds"]
    with (
        log.open("w") as said,
        subprocess.Popen(words, env={**os.environ, **settings}, stdout=said, stderr=said) as run,
    ):
        try:
            yield hosts
            assert run.poll() is None, log.read_text()
        finally:
            run.terminate()
