"""The CRDs of routes as the Gateway API releases them: files of its Go module, held against digests."""

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path

from localcluster import command, gobuild
from localcluster.errors import ClusterError
from localcluster.progress import Progress

MODULE = "sigs.k8s.io/gateway-api@v1.6.3"
OLDEST_GO = "1.26.0"
DIGESTS = {
    "httproutes": "a89d17ff5ed060fa0eac015524f9252bb291f616412c13ac8cb952ed9c25c5ad",
    "grpcroutes": "a96b307008290c194ad346f9bb9346dd560c12e4d4e7dfbdbe7d2fb5e812d62e",
}
"""Of the standard channel, by the kinds' plurals."""


def files(progress: Progress) -> list[Path]:
    """The CRDs' files, in Go's cache of modules.

    Raises:
        ClusterError: the module can't be had, or isn't the one that is meant.
    """
    with gobuild.toolchain(OLDEST_GO, progress) as go, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
        told = command.output([go, "mod", "download", "-json", MODULE], cwd=Path(folder), env=environment)
    standard = Path(json.loads(told)["Dir"]) / "config/crd/standard"
    found = {plural: standard / f"gateway.networking.k8s.io_{plural}.yaml" for plural in DIGESTS}
    for plural, file in found.items():
        if sha256(file.read_bytes()).hexdigest() != DIGESTS[plural]:
            raise ClusterError(f"{file} is not that of {MODULE} which is pinned")
    return list(found.values())
