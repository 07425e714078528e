"""`hack/cluster`: a local cluster for the demo, the tests and the inner loop."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from ipaddress import IPv4Network
from pathlib import Path

from localcluster import binaries, hostnetwork, record
from localcluster.current import CurrentCluster
from localcluster.errors import ClusterError
from localcluster.files import cache_home, locked
from localcluster.kind import KindCluster, docker_answers
from localcluster.local import LocalCluster
from localcluster.progress import Progress
from localcluster.provider import ClusterProvider
from localcluster.settings import check_folder, check_name

_NOT_UP = 3
_WAYS = ("auto", "local", "kind", "current")
_COMMANDS = {
    "up": "make the cluster, or start what is missing of it; returns once pods can run",
    "down": "remove it and all it changed on this machine",
    "status": "health of every component; ends with 0 if all are well, 1 if not, 3 if there is no cluster",
    "kubeconfig": "print the path of its kubeconfig",
    "kubectl": "run kubectl on it: `hack/cluster kubectl -- get pods`",
    "bin": "print a folder with kubectl and helm",
    "load": "import images from OCI archives",
    "binaries": "only download or build the upstream binaries",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    split = words.index("--") if "--" in words else len(words)
    options, after = _parser().parse_args(words[:split]), words[split + 1 :]
    progress = Progress()
    try:
        return _run(options, after, progress)
    except ClusterError as wrong:
        print(f"hack/cluster {options.command}: {wrong}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, after: list[str], progress: Progress) -> int:
    if options.command == "binaries":
        print(binaries.ensure(progress))
        return 0
    check_name(options.name)
    folder = (options.folder or cache_home() / "clusters" / options.name).absolute()
    changes = options.command in ("up", "down")
    waiting = f"another hack/cluster works below {folder.parent}: wait for it"
    with locked(folder.parent, lambda: progress.say(waiting)) if changes else nullcontext():
        cluster = _choose(options, folder, progress)
        return _act(options, after, cluster) if cluster else _absent(options, progress)


def _choose(options: argparse.Namespace, folder: Path, progress: Progress) -> ClusterProvider | None:
    """The way to the cluster; None where nothing is, and nothing is to be made."""
    way = options.cluster
    if way not in _WAYS:
        raise ClusterError(f"CLUSTER={way}: one of {', '.join(_WAYS)}")
    if way == "auto":
        made_here = record.read(folder) is not None
        way = "kind" if not made_here and shutil.which("kind") and docker_answers() else "local"
    if way == "current":
        return CurrentCluster(progress)
    wishes = record.Wishes(
        options.pod_cidr, options.service_cidr, options.link_cidr, options.gpus, options.hpa_sync_seconds
    )
    if way == "kind":
        return KindCluster(options.name, folder, wishes, progress)
    if options.command == "up":
        check_folder(folder)
        return LocalCluster(record.settle(folder, options.name, wishes, hostnetwork.routed), folder, progress)
    recorded = record.read(folder)
    return LocalCluster(recorded, folder, progress) if recorded else None


def _absent(options: argparse.Namespace, progress: Progress) -> int:
    progress.say(f"there is no cluster {options.name}; `hack/cluster up --name {options.name}` makes it")
    return 0 if options.command == "down" else _NOT_UP


def _act(options: argparse.Namespace, after: list[str], cluster: ClusterProvider) -> int:
    match options.command:
        case "up":
            cluster.up()
        case "down":
            cluster.down()
        case "status":
            return _status(cluster)
        case "kubeconfig":
            return _kubeconfig(cluster)
        case "bin":
            print(cluster.bin())
        case "load":
            cluster.load(options.archives)
        case "kubectl":
            kubectl = str(cluster.bin() / "kubectl")
            os.execve(kubectl, [kubectl, *after], {**os.environ, "KUBECONFIG": str(cluster.kubeconfig())})
    return 0


def _kubeconfig(cluster: ClusterProvider) -> int:
    path = cluster.kubeconfig()
    if not path.is_file():
        raise ClusterError(f"there is no {path} yet: run `hack/cluster up` first")
    print(path)
    return 0


def _status(cluster: ClusterProvider) -> int:
    rows = cluster.status()
    for row in rows:
        print(f"{row.part:<24} {row.runs:<20} {row.wrong or 'well'}")
    if not rows:
        print("not up")
        return _NOT_UP
    return 1 if any(row.wrong for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", default="tidegate", help="the cluster's name and its node's (default: tidegate)")
    way = os.environ.get("CLUSTER") or "auto"
    told = "also by the environment: CLUSTER; auto is kind where it and a Docker engine are there, else local"
    shared.add_argument("--cluster", choices=_WAYS, default=way, help=told)
    shared.add_argument("--folder", type=Path, help="its state (default: $XDG_CACHE_HOME/tidegate/clusters/NAME)")
    for option in ("--pod-cidr", "--service-cidr", "--link-cidr"):
        shared.add_argument(option, type=IPv4Network, help="default: from the first free /16 of 10.64.0.0/12")
    shared.add_argument("--gpus", type=int, help="nvidia.com/gpu that the node pretends to have (default: 2)")
    shared.add_argument("--hpa-sync-seconds", type=int, help="how often HPAs are evaluated (default: 5)")
    parser = argparse.ArgumentParser(prog="hack/cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, description in _COMMANDS.items():
        command = commands.add_parser(name, help=description, description=description, parents=[shared])
        if name == "load":
            command.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    return parser
