"""The programs that come from Debian rather than from upstream."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from localcluster import command
from localcluster.errors import ClusterError
from localcluster.progress import Progress

CNI_PLUGINS = Path("/usr/lib/cni")
INIT = Path("/usr/bin/catatonit")
_PACKAGE_OF = {
    "containerd": "containerd",
    "runc": "runc",
    str(CNI_PLUGINS / "ptp"): "containernetworking-plugins",
    str(INIT): "catatonit",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
}
# apt's and containerd's programs may lie where an ordinary login doesn't look.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """Debian packages that this machine lacks, sorted."""
    return sorted({package for program, package in _PACKAGE_OF.items() if not shutil.which(program, path=SEARCH_PATH)})


def ensure(progress: Progress) -> None:
    """Install what is missing by apt-get.

    Raises:
        ClusterError: not root, no apt-get, or it failed.
    """
    if os.geteuid() != 0:
        raise ClusterError(
            "the local way makes namespaces, mounts and network links: run it as root, "
            "or use CLUSTER=kind (a Docker engine) or CLUSTER=current (a cluster that you have)"
        )
    lacking = missing()
    if not lacking:
        return
    install(lacking, progress)
    if still := missing():
        raise ClusterError(f"apt-get installed {', '.join(still)}, but the programs aren't on {SEARCH_PATH}")


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install Debian packages.

    Raises:
        ClusterError: there is no apt-get here, or it failed.
    """
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise ClusterError(f"this machine has no apt-get: install what Debian calls {names}, then run again")
    progress.say(f"apt-get install {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command.output(["apt-get", "update", "-qq"], env=environment)
    command.output(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=environment)
