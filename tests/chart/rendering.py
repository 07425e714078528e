"""The chart as helm renders it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.kubectl import ROOT

CHART = ROOT / "charts/tidegate"
NAMESPACE = "tidegate-system"
Object = dict[str, Any]


def template(helm: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(helm), "template", "tidegate", str(CHART), "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(helm: Path, *arguments: str) -> list[Object]:
    done = template(helm, *arguments)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(objects: list[Object], kind: str) -> Iterator[Object]:
    return (found for found in objects if found["kind"] == kind)


def named(objects: list[Object], kind: str, name: str) -> Object:
    return next(found for found in of_kind(objects, kind) if found["metadata"]["name"] == name)


def pod(objects: list[Object], process: str) -> Object:
    """The pod of one of Tidegate's processes."""
    found: Object = named(objects, "Deployment", f"tidegate-{process}")["spec"]["template"]["spec"]
    return found


PROCESSES = ("controller", "metrics-adapter", "router", "xds")
