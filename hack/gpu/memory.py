"""Whether a batch that the device's memory doesn't do for fails alone, and the server goes on in the same process."""

from pathlib import Path
from typing import Any

import numpy as np

from gpu.finding import Finding
from gpu.serving import post, running
from gpu.subjects import greedy

ARENA_BYTES = 256 << 20


def check(device: str, folder: Path) -> list[Finding]:
    """Grows one request until memory ends, and asks small ones before and after."""
    title = "memory: a batch beyond the arena"
    if device == "tensorrt":
        return [Finding(title, None, "TensorRT's memory isn't ONNX Runtime's to bound")]
    path = greedy(folder)
    with running(path, device, "--arena-bytes", str(ARENA_BYTES), "--max-body-bytes", str(64 << 20)) as (port, _):
        codes = {size: post(port, path.stem, _floats(size)) for size in (100, 1000, 6000, 9000, 1000, 3000)}
        log = path.with_suffix(".log").read_text()
    restarts = log.count('"message": "engine ready"') - 1
    passed = codes == {100: 200, 1000: 200, 6000: 503, 9000: 503, 3000: 200} and restarts == 0
    said = ", ".join(f"{size}²: {code}" for size, code in codes.items())
    return [Finding(title, passed, f"{said}; {restarts} restarts")]


def _floats(size: int) -> dict[str, Any]:
    return {"x": np.ones((1, size, 1), np.float32)}
