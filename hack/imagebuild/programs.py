"""The programs that a build needs, installed where that is possible."""

import os
import shutil
from pathlib import Path

from imagebuild.errors import BuildError
from imagebuild.steps import run_step
from localcluster.progress import Progress

_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def find(program: str) -> str | None:
    """The program's path; also where only root's search path leads."""
    return shutil.which(program, path=_SEARCH_PATH)


def require(program: str, progress: Progress, logs: Path, *, otherwise: str) -> str:
    """The program's path, installed from the Debian package of the same name if it is missing.

    Raises:
        BuildError: it is missing and can't be installed; `otherwise` is the next step to tell.
    """
    if path := find(program):
        return path
    apt = find("apt-get")
    if apt is None or os.geteuid() != 0:
        raise BuildError(f"{program} is missing, and only root on a Debian machine can install it: {otherwise}")
    progress.say(f"installing {program}")
    log = logs / f"apt-{program}.log"
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run_step([*environment, apt, "update"], progress, log)
    run_step([*environment, apt, "install", "--yes", "--no-install-recommends", program], progress, log)
    if path := find(program):
        return path
    raise BuildError(f"{program} is still missing after `apt-get install {program}`: {otherwise}")
