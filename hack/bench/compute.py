"""ONNX Runtime in a loop on the server's core: the limit that the model sets, at several batch sizes."""

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.environments import Unavailable, python_of
from bench.models import MODELS
from bench.paths import PEERS, cache
from bench.process import SERVER_CPU

SIZES = (1, 2, 4, 8, 16, 32)
SECONDS = 1.0


def measured(name: str, sizes: Sequence[int] = SIZES, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Per batch size, in `seconds` each: `batch`, `rows`, `seconds`, `cpu_us` a row, `rss_mib` of the process.

    Raises:
        Unavailable: the model can't be had, or the loop failed.
    """
    model = MODELS[name]
    rows = cache() / "rows" / f"{name}.npz"
    rows.parent.mkdir(parents=True, exist_ok=True)
    np.savez(rows, allow_pickle=False, **model.rows(np.random.default_rng(7), 128))
    words = ["taskset", "-c", str(SERVER_CPU), str(python_of("")), str(PEERS / "limits" / "compute.py"), str(rows)]
    words += [str(seconds), *map(str, sizes)]
    environment = {**os.environ, "BENCH_MODEL": str(model.path())}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"ONNX Runtime's loop: {done.stderr.strip()[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]
