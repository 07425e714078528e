"""Where things are kept: sources in the checkout, what is made from them in the user's cache, results in artifacts."""

import os
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = HERE / "peers"
LOAD = HERE / "load"
RESULTS = ROOT / "artifacts" / "bench"
DOCUMENTS = ROOT / "docs" / "benchmarks"
UV = ROOT / "hack" / "uv"


def cache() -> Path:
    """The folder of models, workloads, environments and the load generator, each named by its content."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tidegate" / "bench"


def digest(*parts: bytes | str) -> str:
    """Sixteen hex digits that follow every part."""
    total = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()[:16]
