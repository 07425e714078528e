"""A virtual environment per peer, from its pinned requirements, made once for each content; and our own, locked."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import interpreter
from bench.paths import PEERS, ROOT, UV, cache, digest


class Unavailable(Exception):
    """Something that a measurement needs can't be had here; the message says why."""


def python_of(peer: str, build: str = "") -> Path:
    """The Python of a peer's environment, which is made if it isn't there.

    Args:
        peer: a folder of `hack/bench/peers`; empty for this checkout.
        build: the Python that it is made with; empty for the one that servers have in common.

    Raises:
        Unavailable: uv said no; carries its last words.
    """
    build = build or _common_build()
    if not peer:
        return _own(build)
    requirements = PEERS / peer / "requirements.txt"
    folder = cache() / "environments" / f"{peer}-{digest(requirements.read_bytes(), build)}"
    if not (folder / "complete").exists():
        print(f"environment of {peer}: installing", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", build, str(folder))
        # uv's pip has no need of pip in the environment, but PyTriton's own Python backend looks for setuptools' parts.
        _uv("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(requirements))
        (folder / "complete").touch()
    return folder / "bin" / "python"


def _common_build() -> str:
    try:
        return str(interpreter.fastest())
    except LookupError as error:
        raise Unavailable(str(error)) from error


@functools.cache
def _own(build: str) -> Path:
    """Of the checkout as it is: its packages are linked, what they need is locked."""
    folder = cache() / "environments" / f"tidegate-{digest(str(ROOT), build)}"
    synced = ("sync", "--quiet", "--frozen", "--all-packages", "--extra", "cpu", "--python", build)
    _uv(*synced, environment={"UV_PROJECT_ENVIRONMENT": str(folder)})
    return folder / "bin" / "python"


def _uv(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    told = {**os.environ, **(environment or {})}
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=told)
    if done.returncode:
        raise Unavailable(f"uv {' '.join(arguments[:2])}: {done.stderr.strip()[-600:]}")
