"""The text of every configuration file: pure. JSON where YAML is asked for, since each JSON text is YAML too."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from localcluster.node import STATE
from localcluster.packages import CNI_PLUGINS
from localcluster.settings import DOMAIN, Settings

PAUSE_IMAGE = "tidegate.local/pause:1"
PORTS = {
    "etcd": 2381,
    "kube-apiserver": 6443,
    "kube-controller-manager": 10257,
    "kube-scheduler": 10259,
    "kubelet": 10248,
    "kube-proxy": 10256,
    "coredns": 8181,
}


def kubeconfig(server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """A kubeconfig that holds its certificates, so that it may be copied."""

    def encoded(value: bytes) -> str:
        return b64encode(value).decode()

    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "tidegate", "cluster": {"server": server, "certificate-authority-data": encoded(authority)}}
            ],
            "users": [{"name": "tidegate", "user": user}],
            "contexts": [{"name": "tidegate", "context": {"cluster": "tidegate", "user": "tidegate"}}],
            "current-context": "tidegate",
        }
    )


def kubelet(settings: Settings) -> str:
    """KubeletConfiguration: never evicts for a full disk, never collects images, since no registry has them."""
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{STATE}/pki/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{STATE}/pki/server.crt",
            "tlsPrivateKeyFile": f"{STATE}/pki/server.key",
            "containerRuntimeEndpoint": f"unix://{STATE}/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/tidegate-{settings.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [str(settings.addresses.node)],
            "clusterDomain": DOMAIN,
            "resolvConf": f"{STATE}/resolv.conf",
            "healthzBindAddress": str(settings.addresses.node),
            "healthzPort": PORTS["kubelet"],
            "podLogsDir": f"{STATE}/logs/pods",
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
            "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
            "oomScoreAdj": 0,
            "maxPods": 250,
        }
    )


def kube_proxy(settings: Settings) -> str:
    """KubeProxyConfiguration: leaves the connection tracking limits, which are the whole machine's, alone."""
    node = str(settings.addresses.node)
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": str(settings.addresses.pods),
            "clientConnection": {"kubeconfig": f"{STATE}/kubeconfigs/kube-proxy"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": f"{node}:{PORTS['kube-proxy']}",
            "metricsBindAddress": f"{node}:10249",
            "oomScoreAdj": 0,
        }
    )


def cni(settings: Settings, mtu: int) -> str:
    """The pods' network: a routed link each, so that nothing depends on bridge filtering in the host's kernel."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": str(settings.addresses.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "mtu": mtu, "ipam": ipam}]
    return _json({"cniVersion": "0.4.0", "name": "tidegate", "plugins": plugins})


def containerd() -> str:
    """The TOML of containerd: all its paths inside the node, our own pause image, runc with cgroupfs."""
    return f"""version = 2
root = "{STATE}/containerd"
state = "/run/containerd"

[grpc]
address = "{STATE}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{STATE}/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{STATE}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def corefile(nameservers: Sequence[str]) -> str:
    """CoreDNS: the cluster's domain from the API server and never cached; the rest asked of the host's nameservers."""
    forward = f"    forward . {' '.join(nameservers)}\n" if nameservers else ""
    return f""".:53 {{
    errors
    health :8080
    ready :{PORTS["coredns"]}
    cache 30 {{
        disable success {DOMAIN}
        disable denial {DOMAIN}
    }}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {STATE}/kubeconfigs/coredns
        pods insecure
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
{forward}}}
"""


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """The nameservers in the text of a resolv.conf that a network namespace of its own can reach: none on loopback."""
    words = [line.split() for line in resolv_conf.splitlines()]
    named = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    return tuple(name for name in named if not name.startswith("127.") and ":" not in name)


def coredns_rights() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """ClusterRole and binding that let CoreDNS read what it answers from."""
    name = "system:coredns"
    listed = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    head = {"apiVersion": f"{group}/v1", "metadata": {"name": name}}
    role = {**head, "kind": "ClusterRole", "rules": listed}
    subjects = [{"apiGroup": group, "kind": "User", "name": name}]
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    return role, {**head, "kind": "ClusterRoleBinding", "subjects": subjects, "roleRef": reference}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
