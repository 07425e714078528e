"""A virtual environment per peer, from its pinned requirements; made once for each content of that file."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.paths import PEERS, UV, cache, digest


class Unavailable(Exception):
    """Something that a measurement needs can't be had here; the message says why."""


def python_of(peer: str, interpreter: str = "3.11") -> Path:
    """The Python of a peer's environment, which is made if it isn't there.

    Args:
        peer: a folder of `hack/bench/peers`.
        interpreter: what `uv venv --python` is told.

    Raises:
        Unavailable: uv said no; carries its last words.
    """
    requirements = PEERS / peer / "requirements.txt"
    folder = cache() / "environments" / f"{peer}-{digest(requirements.read_bytes(), interpreter)}"
    if not (folder / "complete").exists():
        print(f"environment of {peer}: installing", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", interpreter, str(folder))
        # uv's pip has no need of pip in the environment, but PyTriton's own Python backend looks for setuptools' parts.
        _uv("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(requirements))
        (folder / "complete").touch()
    return folder / "bin" / "python"


def _uv(*arguments: str) -> None:
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"uv {' '.join(arguments[:2])}: {done.stderr.strip()[-600:]}")
