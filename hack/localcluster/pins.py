"""Which upstream releases the cluster runs. `binaries/go.mod` is the one place that pins them."""

import platform
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from localcluster.errors import ClusterError

MODULES = Path(__file__).parent / "binaries"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LINE = re.compile(r"^(?:require )?\s*(?P<module>\S+) (?P<version>v[0-9]\S*)", re.MULTILINE)
_GO = re.compile(r"^go (?P<version>[0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Pins:
    """Releases, each as its project tags it (`v1.37.2`); `go` is the oldest Go that builds them (`1.26.0`)."""

    kubernetes: str
    etcd: str
    coredns: str
    helm: str
    go: str


def parse(go_mod: str) -> Pins:
    """The pins in the text of a go.mod.

    Raises:
        ClusterError: names what is missing.
    """
    versions = {found["module"]: found["version"] for found in _LINE.finditer(go_mod)}
    go = _GO.search(go_mod)
    try:
        return Pins(
            kubernetes=versions["k8s.io/kubernetes"],
            etcd=versions["go.etcd.io/etcd/server/v3"],
            coredns=versions["github.com/coredns/coredns"],
            helm=versions["helm.sh/helm/v4"],
            go=go["version"] if go else versions["go"],
        )
    except KeyError as missing:
        raise ClusterError(f"go.mod doesn't require {missing}") from None


def read() -> Pins:
    """The pins of this checkout."""
    return parse((MODULES / "go.mod").read_text())


def architecture() -> str:
    """The machine's name among Go's architectures.

    Raises:
        ClusterError: upstream releases no binaries for it.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ClusterError(f"{machine}: upstream releases are for {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[machine]


def digest(*flags: str) -> str:
    """Sixteen hex digits over all that decides the binaries' bytes: module files, our sources, flags.

    Go's own version isn't in it: go.mod names the oldest that will do, and official releases involve none.
    """
    sources = [MODULES / "go.mod", MODULES / "go.sum", *sorted(MODULES.rglob("*.go"))]
    total = sha256("\0".join(flags).encode())
    for source in sources:
        total.update(f"\0{source.relative_to(MODULES)}\0".encode() + source.read_bytes())
    return total.hexdigest()[:16]
