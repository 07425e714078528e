"""The local way: upstream binaries, started directly in a node of their own namespaces."""

import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import (
    binaries,
    certificates,
    command,
    configuration,
    gpus,
    hostnetwork,
    images,
    packages,
    pins,
    processes,
)
from localcluster.api import APPLY, MERGE, Api
from localcluster.components import Component, components
from localcluster.errors import ClusterError
from localcluster.files import write
from localcluster.node import Node
from localcluster.progress import Progress
from localcluster.provider import Health
from localcluster.settings import Settings
from localcluster.waiting import wait_for

_START_SECONDS = 90.0


@dataclass(frozen=True)
class LocalCluster:
    """A cluster in `folder`. Settings are the recorded ones where it exists already."""

    settings: Settings
    folder: Path
    progress: Progress

    def up(self) -> None:
        """Start whatever doesn't run yet and wait until pods can be made."""
        packages.ensure(self.progress)
        upstream = binaries.ensure(self.progress)
        node = Node(self.settings, self.folder)
        if node.init is None:
            self.progress.say(f"make node {self.settings.name} ({_ranges(self.settings)})")
            node.start(upstream)
        self._write_files()
        for component in components(self.settings):
            self._start(component, node)
        for component in components(self.settings):
            self._await_health(component)
        self._await_node()
        self.progress.say(f"cluster {self.settings.name} is up: {self.kubeconfig()}")

    def down(self) -> None:
        """End the node, and with it all that ran in it; then remove the folder."""
        node = Node(self.settings, self.folder)
        for component in components(self.settings):
            # Where a component was stopped (SIGSTOP), nsenter has stopped itself, and would never see it end.
            if (entered := self._running(component, node)) is not None:
                processes.resume(entered)
        node.stop()
        inside = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        if mounted := [point for point in inside if Path(point).is_relative_to(self.folder)]:
            raise ClusterError(f"something is mounted at {mounted[0]}: unmount it, then run down again")
        shutil.rmtree(self.folder, ignore_errors=False)
        self.progress.say(f"cluster {self.settings.name} is gone")

    def status(self) -> Sequence[Health]:
        """One row for every component, and one for the node."""
        node = Node(self.settings, self.folder)
        if node.init is None:
            return ()
        versions = _versions()
        rows = [
            Health(each.name, f"{versions.get(each.name, versions['kubernetes'])}", self._lack(each, node))
            for each in components(self.settings)
        ]
        return [*rows, Health("node", self.settings.name, _told(self._node_lacks))]

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    def bin(self) -> Path:
        """The upstream binaries' folder."""
        return binaries.ensure(self.progress)

    def load(self, archives: Sequence[Path]) -> None:
        """Import into the cluster's containerd what it doesn't have."""
        if Node(self.settings, self.folder).init is None:
            raise ClusterError(f"cluster {self.settings.name} isn't up: run `hack/cluster up` first")
        for archive in archives:
            for name, imported in images.load(self.folder / "containerd.sock", archive).items():
                self.progress.say(f"{name}: {'imported' if imported else 'already there'}")

    def _write_files(self) -> None:
        folder, settings = self.folder, self.settings
        certificates.ensure(folder / "pki", settings)
        server = f"https://{settings.addresses.node}:{configuration.PORTS['kube-apiserver']}"
        authority = (folder / "pki" / "ca.crt").read_bytes()
        for each in ("kubeconfigs", "cni"):
            (folder / each).mkdir(exist_ok=True)
        for client in certificates.clients(settings.name):
            certificate, key = ((folder / "pki" / f"{client.file}.{end}").read_bytes() for end in ("crt", "key"))
            text = configuration.kubeconfig(server, authority, certificate, key)
            write(folder / "kubeconfigs" / client.file, text)
        write(self.kubeconfig(), (folder / "kubeconfigs" / "admin").read_text())
        out = hostnetwork.way_out()
        servers = configuration.nameservers(_resolv_conf()) if out else ()
        write(folder / "kubelet.json", configuration.kubelet(settings))
        write(folder / "kube-proxy.json", configuration.kube_proxy(settings))
        write(folder / "cni" / "10-tidegate.conflist", configuration.cni(settings, out.mtu if out else 1500))
        write(folder / "containerd.toml", configuration.containerd())
        write(folder / "Corefile", configuration.corefile(servers))
        write(folder / "resolv.conf", "".join(f"nameserver {server}\n" for server in servers), mode=0o644)

    def _start(self, component: Component, node: Node) -> None:
        if self._running(component, node):
            return
        for needed in component.needs:
            self._await_health(next(each for each in components(self.settings) if each.name == needed))
        if component.name == "coredns":
            self._grant_coredns()
        if component.name == "kubelet":
            self._import_pause()
        self.progress.say(f"start {component.name}")
        processes.start(
            [*node.enter(), *component.argv],
            pid_file=self._pid_file(component),
            log=self._log(component),
            env=node.environment(),
        )

    def _await_health(self, component: Component) -> None:
        node = Node(self.settings, self.folder)

        def missing() -> str | None:
            if not self._running(component, node):
                raise ClusterError(f"{component.name} has ended")
            return self._unhealthy(component)

        try:
            wait_for(component.name, missing, seconds=_START_SECONDS)
        except ClusterError as failed:
            log = self._log(component)
            raise ClusterError(f"{failed}\n{processes.tail(log)}\n  all it said: {log}") from None

    def _await_node(self) -> None:
        wait_for("the node", lambda: _told(self._node_lacks), seconds=_START_SECONDS)

    def _node_lacks(self) -> str | None:
        """What pods still miss: a ready node with its GPUs, and the account that they run as."""
        api, name = self._api(), self.settings.name
        node = api.get(f"/api/v1/nodes/{name}")
        if node is None:
            return "not registered by the kubelet"
        conditions = {each["type"]: each for each in node["status"].get("conditions", ())}
        if "Ready" not in conditions or conditions["Ready"]["status"] != "True":
            return f"not ready: {conditions.get('Ready', {}).get('message')}"
        if int(node["status"]["allocatable"].get(gpus.RESOURCE, "0")) != self.settings.gpus:
            api.patch(f"/api/v1/nodes/{name}/status", gpus.status_patch(self.settings.gpus), MERGE)
            return f"{gpus.RESOURCE} isn't told yet"
        if api.get("/api/v1/namespaces/default/serviceaccounts/default") is None:
            return "no default service account yet"
        return None

    def _grant_coredns(self) -> None:
        for thing in configuration.coredns_rights():
            kind = f"{str(thing['kind']).lower()}s"
            path = f"/apis/rbac.authorization.k8s.io/v1/{kind}/{thing['metadata']['name']}"
            self._api().patch(f"{path}?fieldManager=tidegate-cluster&force=true", thing, APPLY)

    def _import_pause(self) -> None:
        archive = self.folder / "pause.tar"
        archive.write_bytes(images.pause_archive(packages.INIT, configuration.PAUSE_IMAGE, pins.architecture()))
        images.load(self.folder / "containerd.sock", archive)

    def _lack(self, component: Component, node: Node) -> str | None:
        if not self._running(component, node):
            return f"not running; {self._log(component)}"
        return self._unhealthy(component)

    def _unhealthy(self, component: Component) -> str | None:
        if not component.health.startswith("/"):
            return self._api().unhealthy(component.health)
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{self.folder}{component.health}")
        except OSError as refused:
            return str(refused)
        return None

    def _running(self, component: Component, node: Node) -> int | None:
        return processes.running(self._pid_file(component), [str(node.init), component.argv[0]])

    def _api(self) -> Api:
        server = f"https://{self.settings.addresses.node}:{configuration.PORTS['kube-apiserver']}"
        return Api(server, self.folder / "pki")

    def _pid_file(self, component: Component) -> Path:
        return self.folder / "pids" / component.name

    def _log(self, component: Component) -> Path:
        return self.folder / "logs" / f"{component.name}.log"


def _told(condition: Callable[[], str | None]) -> str | None:
    try:
        return condition()
    except OSError as broken:
        return str(broken)


def _ranges(settings: Settings) -> str:
    pods, services, link = settings.addresses.ranges()
    return f"pods {pods}, services {services}, link {link}"


def _resolv_conf() -> str:
    """The nameservers that the host itself asks, also where a stub on loopback stands before them."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    return (behind_stub if behind_stub.exists() else Path("/etc/resolv.conf")).read_text()


def _versions() -> dict[str, str]:
    wanted = pins.read()
    containerd = command.output(["containerd", "--version"]).split()[2]
    return {"etcd": wanted.etcd, "coredns": wanted.coredns, "containerd": containerd, "kubernetes": wanted.kubernetes}
