"""The Envoy Gateway program, and an image of it."""

from pathlib import Path

from localcluster import images, pins
from localcluster.goprogram import GoProgram
from localcluster.progress import Progress

MODULE = "github.com/envoyproxy/gateway"
PROGRAM = GoProgram("envoy-gateway", Path(__file__).parent, f"{MODULE}/cmd/envoy-gateway", "1.26.7")

_PLACE = "usr/local/bin/envoy-gateway"
# Its chart, and the pods that it makes, call it by its name alone.
_RUN = {"Env": ["PATH=/usr/local/bin"], "Entrypoint": [f"/{_PLACE}"], "User": "65532:65532"}


def archive(progress: Progress) -> tuple[str, Path]:
    """The image's name and its OCI archive, both made if they aren't there.

    Raises:
        ClusterError: the program can't be built.
    """
    program = PROGRAM.ensure(progress)
    name = f"tidegate.dev/envoy-gateway:{program.parent.name}"
    path = program.with_name("image.tar")
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.write_bytes(images.program_archive(program, _PLACE, name, pins.architecture(), _RUN))
        draft.replace(path)
    return name, path
