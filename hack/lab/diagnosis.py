"""What a cluster looked like when something failed, kept as files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.kubectl import Failed, Kubectl


def keep(kubectl: Kubectl, namespaces: Iterable[str], folder: Path) -> None:
    """Write objects, events, descriptions and logs of namespaces into `folder`, and print which containers ended."""
    folder.mkdir(parents=True, exist_ok=True)
    for namespace in namespaces:
        # Where nothing is kept but what is printed, this tells a fault of ours from one of the machine.
        print("\n".join(_ended(kubectl, namespace)))
        of = ("-n", namespace)
        _write(kubectl, folder / f"{namespace}-services.yaml", "get", *of, "isv", "-o", "yaml")
        _write(kubectl, folder / f"{namespace}-objects.txt", "get", *of, "all,pdb,endpointslices", "-o", "wide")
        _write(kubectl, folder / f"{namespace}-events.txt", "get", *of, "events", "--sort-by=.lastTimestamp")
        _write(kubectl, folder / f"{namespace}-hpas.txt", "describe", *of, "hpa")
        for pod in kubectl.names(*of, "pods"):
            name = pod.removeprefix("pod/")
            _write(kubectl, folder / f"{namespace}-{name}.log", "logs", *of, name, "--all-containers", "--prefix")
            if name.startswith("tidegate-router"):
                seen = f"/api/v1/namespaces/{namespace}/pods/{name}:8082/proxy/clusters"
                _write(kubectl, folder / f"{namespace}-{name}-clusters.txt", "get", "--raw", seen)


def _ended(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """A line for each container that had to be started again, with how it ended last."""
    for pod in kubectl.get("-n", namespace, "pods")["items"]:
        for container in pod.get("status", {}).get("containerStatuses", []):
            if last := container.get("lastState", {}).get("terminated"):
                of = f"{namespace}/{pod['metadata']['name']} {container['name']}"
                how = f"{last.get('reason')} ({last.get('exitCode')}) at {last.get('finishedAt')}"
                yield f"{of}: ready {container['ready']}, {container['restartCount']} restarts, {how}"


def _write(kubectl: Kubectl, path: Path, *arguments: str) -> None:
    try:
        path.write_text(kubectl.run(*arguments))
    except Failed as failure:
        path.write_text(f"{failure}\n")
