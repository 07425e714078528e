"""kstatus and Flux's health check expressions, as a Go program: built once for each content of its sources."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from localcluster import binaries, command, gobuild
from localcluster.files import cache_home
from localcluster.progress import Progress

MODULE = Path(__file__).parent
OLDEST_GO = "1.26.0"


@dataclass(frozen=True)
class Verdict:
    """What is made of one object, in the words of kstatus; `flux` by the expressions."""

    kstatus: str
    flux: str
    error: str = ""
    """Why the expressions could not be evaluated."""


def program(progress: Progress) -> Path:
    """The program, built if it isn't there.

    Raises:
        ClusterError: it can't be built.
    """
    digest = sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((MODULE / name).read_bytes())
    folder = cache_home() / "verdicts" / digest.hexdigest()[:16]
    return binaries.cached(folder, progress, _build) / "verdicts"


def ask(program: Path, expressions: Mapping[str, str], objects: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """What is made of each object, in their order.

    Raises:
        ClusterError: an expression can't be parsed, or kstatus can't read an object.
    """
    question = json.dumps({"expressions": dict(expressions), "objects": list(objects)})
    return [Verdict(**told) for told in json.loads(command.output([program], stdin=question))]


def _build(draft: Path, progress: Progress) -> None:
    progress.say("build the judge of statuses from its Go modules, once")
    with gobuild.toolchain(OLDEST_GO, progress) as go:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        flags = ("-trimpath", "-ldflags", "-s -w")
        command.output([go, "build", *flags, "-o", draft / "verdicts", "."], cwd=MODULE, env=environment)
