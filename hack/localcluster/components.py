"""The cluster's processes: how each is called, what it needs first, and where it tells its health. Pure."""

from dataclasses import dataclass

from localcluster.configuration import PORTS
from localcluster.node import BIN, STATE
from localcluster.settings import Settings

_PKI = f"{STATE}/pki"


@dataclass(frozen=True)
class Component:
    """One process of the node. `health` is a URL or, beginning with `/`, a socket in the cluster's folder."""

    name: str
    argv: tuple[str, ...]
    health: str
    needs: tuple[str, ...] = ()


def components(settings: Settings) -> tuple[Component, ...]:
    """Every component, those needed before those that need them."""
    api = ("kube-apiserver",)
    return (
        Component("etcd", _etcd(settings), _health(settings, "etcd", "/health", "http")),
        Component("containerd", ("/usr/bin/containerd", "--config", f"{STATE}/containerd.toml"), "/containerd.sock"),
        Component("kube-apiserver", _apiserver(settings), _health(settings, "kube-apiserver", "/readyz"), ("etcd",)),
        Component(
            "kube-controller-manager",
            _controller_manager(settings),
            _health(settings, "kube-controller-manager", "/healthz"),
            api,
        ),
        Component("kube-scheduler", _scheduler(), _health(settings, "kube-scheduler", "/healthz"), api),
        Component("coredns", _coredns(), _health(settings, "coredns", "/ready", "http"), api),
        Component(
            "kubelet", _kubelet(settings), _health(settings, "kubelet", "/healthz", "http"), ("containerd", *api)
        ),
        Component("kube-proxy", _proxy(settings), _health(settings, "kube-proxy", "/livez", "http"), api),
    )


def _health(settings: Settings, name: str, path: str, scheme: str = "https") -> str:
    return f"{scheme}://{settings.addresses.node}:{PORTS[name]}{path}"


def _etcd(settings: Settings) -> tuple[str, ...]:
    # A cluster that is made anew in seconds has nothing that is worth waiting for a disk.
    return (
        f"{BIN}/etcd",
        f"--data-dir={STATE}/etcd",
        "--unsafe-no-fsync",
        "--listen-peer-urls=http://127.0.0.1:2380",
        f"--listen-metrics-urls=http://{settings.addresses.node}:{PORTS['etcd']}",
    )


def _apiserver(settings: Settings) -> tuple[str, ...]:
    return (
        f"{BIN}/kube-apiserver",
        f"--advertise-address={settings.addresses.node}",
        f"--secure-port={PORTS['kube-apiserver']}",
        f"--service-cluster-ip-range={settings.addresses.services}",
        "--etcd-servers=http://127.0.0.1:2379",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={_PKI}/ca.crt",
        *_serving(),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={_PKI}/service-accounts.pub",
        f"--service-account-signing-key-file={_PKI}/service-accounts.key",
        # Without the preference it would look up the node's name, which nobody serves.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={_PKI}/ca.crt",
        f"--kubelet-client-certificate={_PKI}/apiserver-kubelet.crt",
        f"--kubelet-client-key={_PKI}/apiserver-kubelet.key",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={_PKI}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={_PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={_PKI}/front-proxy-client.key",
    )


def _controller_manager(settings: Settings) -> tuple[str, ...]:
    return (
        f"{BIN}/kube-controller-manager",
        *_control_loop("kube-controller-manager"),
        f"--horizontal-pod-autoscaler-sync-period={settings.hpa_sync_seconds}s",
        "--use-service-account-credentials=true",
        f"--root-ca-file={_PKI}/ca.crt",
        f"--service-account-private-key-file={_PKI}/service-accounts.key",
        f"--cluster-signing-cert-file={_PKI}/ca.crt",
        f"--cluster-signing-key-file={_PKI}/ca.key",
    )


def _scheduler() -> tuple[str, ...]:
    return (f"{BIN}/kube-scheduler", *_control_loop("kube-scheduler"))


def _control_loop(name: str) -> tuple[str, ...]:
    kubeconfig = f"{STATE}/kubeconfigs/{name}"
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        *_serving(),
    )


def _serving() -> tuple[str, str]:
    return (f"--tls-cert-file={_PKI}/server.crt", f"--tls-private-key-file={_PKI}/server.key")


def _kubelet(settings: Settings) -> tuple[str, ...]:
    return (
        f"{BIN}/kubelet",
        f"--config={STATE}/kubelet.json",
        f"--kubeconfig={STATE}/kubeconfigs/kubelet",
        f"--hostname-override={settings.name}",
        f"--node-ip={settings.addresses.node}",
    )


def _proxy(settings: Settings) -> tuple[str, ...]:
    return (f"{BIN}/kube-proxy", f"--config={STATE}/kube-proxy.json", f"--hostname-override={settings.name}")


def _coredns() -> tuple[str, ...]:
    return (f"{BIN}/coredns", "-conf", f"{STATE}/Corefile")
