"""Which Python servers run on: the fastest build of one version that this machine has.

Builds of the same version differ by up to a half, by whether they were optimized with a profile and how they are
linked, and images that people deploy have optimized ones. Nothing in a build says so for certain, so a loop tells.
"""

import functools
import os
import subprocess
from pathlib import Path

from bench.paths import UV

VERSION = "3.11"
# Attribute and dictionary access, calls, small integers and bytes: what a server's own code does most.
_LOOP = """
import time
class Reader:
    __slots__ = ("count", "seen", "waiting")
    def __init__(self):
        self.count, self.seen, self.waiting = 0, {}, []
    def feed(self, data):
        self.count += 1
        head = data[:4]
        self.seen[head] = self.seen.get(head, 0) + 1
        self.waiting.append((head, len(data)))
        if self.count % 32 == 0:
            self.flush()
    def flush(self):
        total = 0
        for _, length in self.waiting:
            total += length
        self.waiting.clear()
def once():
    reader, begun = Reader(), time.process_time()
    for _ in range(100_000):
        reader.feed(b"POST /v2/models")
    return time.process_time() - begun
print(min(once() for _ in range(15)))
"""


@functools.cache
def fastest(version: str = VERSION) -> Path:
    """The build whose loop took the least CPU; where there is one alone, nothing is run.

    Raises:
        LookupError: there is no Python of that version; what uv says of it.
    """
    builds = _builds(version)
    return builds[0] if len(builds) == 1 else min(builds, key=loop_seconds)


def _builds(version: str) -> list[Path]:
    """On the PATH, without what merely leads to another of them: shims, links, virtual environments."""
    on_path = (Path(folder) / f"python{version}" for folder in os.environ.get("PATH", "").split(os.pathsep))
    found = [_base(path) for path in on_path if os.access(path, os.X_OK)]
    builds = list(dict.fromkeys(build for build in found if build is not None))
    if not builds:
        words = [str(UV), "python", "find", "--no-project", version]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LookupError(f"no Python {version}: {done.stderr.strip()}")
        builds = [Path(done.stdout.strip())]
    return builds


def _base(python: Path) -> Path | None:
    """The installation's own executable, as it tells; None if it can't be run."""
    words = [str(python), "-c", "import os, sys; print(os.path.realpath(sys._base_executable))"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def loop_seconds(python: Path) -> float:
    """The least CPU time of fifteen turns of the loop."""
    return float(subprocess.run([python, "-c", _LOOP], capture_output=True, text=True, check=True).stdout)
