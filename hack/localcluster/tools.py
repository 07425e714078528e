"""kubectl and helm for clusters that aren't made here."""

import shutil
from pathlib import Path

from localcluster import binaries
from localcluster.files import cache_home
from localcluster.progress import Progress

_TOOLS = ("kubectl", "helm")


def folder(progress: Progress) -> Path:
    """A folder with both: links to the machine's own if it has both, else our binaries."""
    found = {tool: shutil.which(tool) for tool in _TOOLS}
    if not all(found.values()):
        return binaries.ensure(progress)
    links = cache_home() / "tools"
    links.mkdir(parents=True, exist_ok=True)
    for tool, path in found.items():
        link = links / tool
        link.unlink(missing_ok=True)
        link.symlink_to(str(path))
    return links
