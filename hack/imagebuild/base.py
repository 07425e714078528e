"""The image that the Dockerfiles start from: the official Python, or Debian's where no registry answers."""

import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import astuple, dataclass
from pathlib import Path

from imagebuild import programs
from imagebuild.catalog import REGISTRY
from imagebuild.content import digest_of
from imagebuild.engine import Engine, has_image
from imagebuild.errors import BuildError
from imagebuild.steps import run_step
from localcluster.progress import Progress

OFFICIAL = "docker.io/library/python:3.12-slim"
_REGISTRY_PROBE = "https://registry-1.docker.io/v2/"
_PROBE_SECONDS = 2


@dataclass(frozen=True)
class Debian:
    """A root file system of Debian packages, without `removed`: what only people read or apt can fetch again."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ("ca-certificates", "python3", "python3-venv")
    removed: tuple[str, ...] = (
        "./dev/*",
        "./usr/share/doc/*/changelog*",
        "./usr/share/locale/*",
        "./usr/share/man/*",
        "./var/cache/apt/*",
        "./var/lib/apt/lists/*",
        "./var/log/*",
    )

    @property
    def tag(self) -> str:
        """Stands for this recipe on this kind of processor."""
        return digest_of({"recipe": repr(astuple(self)).encode(), "machine": os.uname().machine.encode()})

    @property
    def reference(self) -> str:
        """The base image's name."""
        return f"{REGISTRY}/base:{self.tag}"


DEBIAN = Debian()


def choose_base(requested: str | None) -> str:
    """The requested base, else the official Python if the registry answers now, else our own."""
    if requested:
        return requested
    return OFFICIAL if _registry_answers() else DEBIAN.reference


def ensure_base(base: str, engine: Engine, cache: Path, progress: Progress) -> None:
    """Return once the engine has `base` or can pull it. Our own is made if need be, its tar once per machine.

    Raises:
        BuildError: our own base is needed and can't be made here.
    """
    if base != DEBIAN.reference or has_image(engine, base):
        return
    folder = cache / "base"
    folder.mkdir(parents=True, exist_ok=True)
    # A folder of its own: it is the build context, and what else lies in a context is read as well.
    root = folder / DEBIAN.tag / "root.tar"
    if not root.exists():
        _debootstrap(DEBIAN, root, progress)
    progress.say(f"base: unpacking {root}")
    run_step(engine.import_root(root, base), progress, folder / "import.log")


def _debootstrap(debian: Debian, root: Path, progress: Progress) -> None:
    folder = root.parent.parent
    otherwise = "run as root on Debian, or name a base image that can be had with --base"
    program = programs.require("debootstrap", progress, folder, otherwise=otherwise)
    if os.geteuid() != 0:
        raise BuildError(f"no registry answers, and only root can make a base image with debootstrap: {otherwise}")
    progress.say(
        f"base: no registry answers; debootstrap of {debian.suite} with {', '.join(debian.packages)}, about a minute"
    )
    root.parent.mkdir(exist_ok=True)
    draft = root.with_suffix(".draft")
    with tempfile.TemporaryDirectory(dir=folder, prefix="debootstrap-") as tree:
        # A mount namespace of its own: whatever debootstrap mounts in the tree is gone with it, however it ends.
        options = ["--variant=minbase", f"--include={','.join(debian.packages)}", debian.suite, tree]
        run_step(["unshare", "--mount", program, *options], progress, folder / "debootstrap.log")
        excludes = [f"--exclude={pattern}" for pattern in debian.removed]
        tar = [
            "tar",
            "--directory",
            tree,
            "--numeric-owner",
            "--sort=name",
            *excludes,
            "--create",
            "--file",
            str(draft),
            ".",
        ]
        run_step(tar, progress, folder / "tar.log")
    draft.replace(root)


def _registry_answers() -> bool:
    try:
        with urllib.request.urlopen(_REGISTRY_PROBE, timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError as answer:
        return answer.code == 401  # it asks who we are: a registry. A proxy that refuses says something else.
    except OSError:
        return False
