"""A control plane without a node: etcd, kube-apiserver and kube-controller-manager on loopback, in a folder."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from lab.kubectl import ROOT, Object
from localcluster import binaries, certificates, configuration
from localcluster.addresses import divide
from localcluster.api import APPLY, Api
from localcluster.errors import ClusterError
from localcluster.node import Node
from localcluster.ports import free_ports
from localcluster.processes import tail
from localcluster.progress import Progress
from localcluster.settings import Settings
from localcluster.waiting import wait_for

CONTROLLERS = tuple(certificates.Client(name, name, "system:masters") for name in ("controller-a", "controller-b"))
"""Whom the API server takes the controllers' processes for; the audit log tells of them alone."""

# Nothing routes them: certificates and Services want some.
_ADDRESSES = divide(IPv4Network("10.64.0.0/16"))
_START_SECONDS = 60.0


@dataclass
class Program:
    """One of its processes, which may be started again."""

    argv: Sequence[str]
    health: str
    """Where it answers 200 once it is well."""
    log: Path
    pki: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is well; raises ClusterError with the end of its log where it doesn't get so."""
        # The kernel ends it with us, however we end.
        words = ["setpriv", "--pdeathsig", "KILL", "--", *self.argv]
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=Node.environment(), cwd="/"
            )
        api = Api("", self.pki)
        try:
            wait_for(self.argv[0], lambda: api.unhealthy(self.health), seconds=_START_SECONDS)
        except ClusterError as failed:
            raise ClusterError(f"{failed}\n{tail(self.log)}") from None

    def kill(self) -> None:
        """End it at once; one that has ended is no error."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs."""

    folder: Path
    port: int
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def pki(self) -> Path:
        """Where its certificates lie."""
        return self.folder / "pki"

    @property
    def audit_log(self) -> Path:
        """What the controllers' processes asked of the API server, an answered request a line."""
        return self.folder / "audit.log"

    def kubeconfig(self, client: str) -> Path:
        """The kubeconfig of a client that has a certificate."""
        path = self.folder / f"{client}.kubeconfig"
        certificate, key = ((self.pki / f"{client}.{end}").read_bytes() for end in ("crt", "key"))
        authority = (self.pki / "ca.crt").read_bytes()
        path.write_text(configuration.kubeconfig(self.server, authority, certificate, key))
        return path


@contextlib.contextmanager
def running(folder: Path, progress: Progress) -> Iterator[ControlPlane]:
    """A control plane that knows InferenceServices, ended with the block.

    Raises:
        ClusterError: a process doesn't become healthy; shows the end of its log.
    """
    upstream = binaries.ensure(progress)
    certificates.ensure(folder / "pki", Settings(name="scale", addresses=_ADDRESSES), CONTROLLERS)
    client_port, peer_port, api_port, manager_port = free_ports(4)
    plane = ControlPlane(folder, api_port)
    etcd = f"http://127.0.0.1:{client_port}"
    (folder / "audit.yaml").write_text(json.dumps(_audit_policy()))
    words = {
        "etcd": (_etcd(folder, etcd, f"http://127.0.0.1:{peer_port}"), f"{etcd}/health"),
        "kube-apiserver": (_apiserver(plane, etcd), f"{plane.server}/readyz"),
        "kube-controller-manager": (_manager(plane, manager_port), f"https://127.0.0.1:{manager_port}/healthz"),
    }
    with contextlib.ExitStack() as stack:
        for name, (arguments, health) in words.items():
            progress.say(f"start {name}")
            program = Program([str(upstream / name), *arguments], health, folder / f"{name}.log", folder / "pki")
            stack.callback(program.kill)
            program.start()
            plane.programs[name] = program
        _know_services(Api(plane.server, plane.pki))
        yield plane


def _know_services(api: Api) -> None:
    crd: Object = yaml.safe_load((ROOT / "crds/tidegate.dev_inferenceservices.yaml").read_text())
    name = crd["metadata"]["name"]
    api.patch(
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=scale&force=true", crd, APPLY
    )

    def missing() -> str | None:
        found = api.get("/apis/tidegate.dev/v1alpha1")
        return None if found else "not served yet"

    wait_for("InferenceServices", missing, seconds=_START_SECONDS)


def _audit_policy() -> Object:
    users = [client.user for client in CONTROLLERS]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {"level": "Metadata", "users": users, "omitStages": ["RequestReceived", "ResponseStarted"]},
            {"level": "None"},
        ],
    }


def _etcd(folder: Path, clients: str, peers: str) -> tuple[str, ...]:
    return (
        f"--data-dir={folder}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    )


def _apiserver(plane: ControlPlane, etcd: str) -> tuple[str, ...]:
    pki = plane.pki
    return (
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # It would refuse to publish an address of loopback as the Service `kubernetes`.
        "--endpoint-reconciler-type=none",
        f"--secure-port={plane.port}",
        f"--service-cluster-ip-range={_ADDRESSES.services}",
        f"--etcd-servers={etcd}",
        "--authorization-mode=RBAC",
        f"--client-ca-file={pki}/ca.crt",
        *_serving(pki),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--audit-policy-file={plane.folder}/audit.yaml",
        f"--audit-log-path={plane.audit_log}",
        "--audit-log-maxsize=1000",
    )


def _manager(plane: ControlPlane, port: int) -> tuple[str, ...]:
    pki, kubeconfig = plane.pki, plane.kubeconfig("kube-controller-manager")
    return (
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        *_serving(pki),
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-accounts.key",
    )


def _serving(pki: Path) -> tuple[str, str]:
    return (f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key")
