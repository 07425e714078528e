"""The load generator: built from Go once for each content of its sources, and run for one job at a time."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.environments import Unavailable
from bench.paths import LOAD, cache, digest
from localcluster import gobuild, pins
from localcluster.errors import ClusterError
from localcluster.progress import Progress

Result = dict[str, Any]


def built() -> Path:
    """The program, built if it isn't there.

    Raises:
        Unavailable: Go can't be had, or the build failed.
    """
    sources = sorted([*LOAD.glob("*.go"), LOAD / "go.mod", LOAD / "go.sum"])
    program = cache() / "load" / digest(*(path.read_bytes() for path in sources)) / "load"
    if program.exists():
        return program
    progress = Progress()
    try:
        with gobuild.toolchain(pins.read().go, progress) as go:
            progress.say("build the load generator")
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
            words = [str(go), "build", "-trimpath", "-o", str(program), "."]
            done = subprocess.run(words, cwd=LOAD, env=environment, capture_output=True, text=True, check=False)
    except (ClusterError, OSError) as error:
        raise Unavailable(f"the load generator needs Go: {error}") from error
    if done.returncode:
        raise Unavailable(f"the load generator can't be built: {done.stderr.strip()[-600:]}")
    return program


def send(program: Path, job: Mapping[str, Any], cpu: int | None = None) -> Result:
    """What a job brought; `load/main.go` says what is in one, `load/figures.go` what comes back.

    Raises:
        Unavailable: the program refused the job or died.
    """
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    words = [*pinned, str(program)]
    done = subprocess.run(words, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the load generator: {done.stderr.strip()[-600:]}")
    result: Result = json.loads(done.stdout)
    return result
