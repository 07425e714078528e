"""Programs built from a Go module of ours, each cached outside the checkout under a digest of what it is made from."""

import os
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from localcluster import binaries, command, gobuild
from localcluster.files import cache_home
from localcluster.progress import Progress


@dataclass(frozen=True)
class GoProgram:
    """One `go build`: of `package`, by the versions that the module in `module` names."""

    name: str
    module: Path
    package: str
    oldest_go: str
    flags: tuple[str, ...] = ("-trimpath", "-ldflags", "-s -w")

    def ensure(self, progress: Progress) -> Path:
        """The program, built if it isn't there.

        Raises:
            ClusterError: it can't be built.
        """
        digest = sha256("\0".join((self.package, *self.flags)).encode())
        for path in (self.module / "go.mod", self.module / "go.sum", *sorted(self.module.glob("*.go"))):
            digest.update(path.read_bytes())
        folder = cache_home() / self.name / digest.hexdigest()[:16]
        return binaries.cached(folder, progress, partial(_build, self)) / self.name


def _build(program: GoProgram, draft: Path, progress: Progress) -> None:
    progress.say(f"build {program.name} from its Go module, once")
    with gobuild.toolchain(program.oldest_go, progress) as go:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        words: list[str | Path] = [go, "build", *program.flags, "-o", draft / program.name, program.package]
        command.output(words, cwd=program.module, env=environment)
