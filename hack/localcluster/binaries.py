"""The upstream binaries, cached outside the checkout under a digest of what they are made from."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from localcluster import gobuild, pins, release
from localcluster.files import cache_home, locked
from localcluster.progress import Progress


def folder() -> Path:
    """Where this checkout's binaries are or will be."""
    targets = gobuild.targets(pins.read())
    return cache_home() / "binaries" / pins.digest(pins.architecture(), *(repr(target) for target in targets))


def ensure(progress: Progress) -> Path:
    """The folder with every binary: the official releases if their hosts answer at once, else built here.

    Two processes may ask at once: the second waits for the first. A killed one leaves nothing that counts.

    Raises:
        ClusterError: neither way works.
    """
    return cached(folder(), progress, _make)


def cached(final: Path, progress: Progress, make: Callable[[Path, Progress], None]) -> Path:
    """The folder `final`, made by `make` if it isn't there: in a draft beside it, whole or not at all."""
    if final.is_dir():
        return final
    with locked(final.parent, lambda: progress.say("another process makes the binaries: wait for it")):
        if final.is_dir():
            return final
        for leftover in final.parent.glob(".draft-*"):
            shutil.rmtree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=final.parent))
        draft.chmod(0o755)
        make(draft, progress)
        draft.rename(final)
    return final


def _make(draft: Path, progress: Progress) -> None:
    wanted = pins.read()
    try:
        release.download(release.assets(wanted, pins.architecture()), draft, progress)
    except release.ReleaseUnavailable as reason:
        progress.say(f"official releases: {reason}")
        progress.say("build from the Go modules instead (about 8 minutes on 2 cores, once)")
        for half in draft.iterdir():
            half.unlink()
        gobuild.build(wanted, draft, progress)
