"""The h2spec program, cached outside the checkout under a digest of what it is made from."""

import os
from hashlib import sha256
from pathlib import Path

from localcluster import binaries, command, gobuild
from localcluster.files import cache_home
from localcluster.progress import Progress

MODULE = Path(__file__).parent
PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec"
FLAGS = ("-trimpath", "-ldflags", "-s -w")
OLDEST_GO = "1.24.0"


def ensure(progress: Progress) -> Path:
    """The program, built if it isn't there.

    Raises:
        ClusterError: it can't be built.
    """
    digest = sha256("\0".join((PACKAGE, *FLAGS)).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    folder = cache_home() / "h2spec" / digest.hexdigest()[:16]
    return binaries.cached(folder, progress, _build) / "h2spec"


def _build(draft: Path, progress: Progress) -> None:
    progress.say("build h2spec from its Go module, once")
    with gobuild.toolchain(OLDEST_GO, progress) as go:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        command.output([go, "build", *FLAGS, "-o", draft / "h2spec", PACKAGE], cwd=MODULE, env=environment)
