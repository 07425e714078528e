"""An API server and its etcd alone, on loopback, without a node: for trying what it takes and what it refuses."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from localcluster import certificates, configuration, processes
from localcluster.addresses import divide
from localcluster.api import Api
from localcluster.errors import ClusterError
from localcluster.files import write
from localcluster.ports import free_ports
from localcluster.settings import Settings
from localcluster.waiting import wait_for

_START_SECONDS = 90.0
# Named in certificates and in ClusterIPs; nothing routes to it.
_SETTINGS = Settings("control-plane", divide(IPv4Network("10.64.0.0/16")))


@contextmanager
def control_plane(binaries: Path, folder: Path) -> Iterator[Path]:
    """The administrator's kubeconfig of an API server that answers; both processes end with the block, or with ours.

    Raises:
        ClusterError: one of them ended, or the API server didn't answer in time; shows its last words.
    """
    pki = folder / "pki"
    certificates.ensure(pki, _SETTINGS)
    clients, peers, secure = free_ports(3)
    server = f"https://127.0.0.1:{secure}"
    authority, certificate, key = ((pki / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
    write(folder / "kubeconfig", configuration.kubeconfig(server, authority, certificate, key))
    with ExitStack() as stack:
        stack.enter_context(_running(_etcd(binaries, folder, clients, peers), folder / "etcd.log"))
        log = folder / "kube-apiserver.log"
        api_server = stack.enter_context(_running(_api_server(binaries, pki, clients, secure), log))

        def missing() -> str | None:
            if api_server.poll() is not None:
                raise ClusterError(f"kube-apiserver has ended:\n{processes.tail(log)}")
            return Api(server, pki).unhealthy(f"{server}/readyz")

        wait_for("kube-apiserver", missing, seconds=_START_SECONDS)
        yield folder / "kubeconfig"


@contextmanager
def _running(argv: Sequence[str | Path], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    # However we die, it does too.
    words = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]
    with log.open("wb") as said, subprocess.Popen(words, stdout=said, stderr=said, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _etcd(binaries: Path, folder: Path, clients: int, peers: int) -> list[str | Path]:
    return [
        binaries / "etcd",
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=error",
        f"--listen-client-urls=http://127.0.0.1:{clients}",
        f"--advertise-client-urls=http://127.0.0.1:{clients}",
        f"--listen-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-cluster=default=http://127.0.0.1:{peers}",
    ]


def _api_server(binaries: Path, pki: Path, clients: int, secure: int) -> list[str | Path]:
    return [
        binaries / "kube-apiserver",
        "--bind-address=127.0.0.1",
        f"--secure-port={secure}",
        # Told to nobody: there is no node that would ask for the Service `kubernetes`.
        f"--advertise-address={_SETTINGS.addresses.node}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={_SETTINGS.addresses.services}",
        f"--etcd-servers=http://127.0.0.1:{clients}",
        "--authorization-mode=RBAC",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
    ]
