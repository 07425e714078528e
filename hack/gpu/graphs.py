"""Whether batches run as CUDA graphs answer what ordinary runs do, for each number of rows, and what they save."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gpu.finding import Finding
from gpu.subjects import benched
from tidegate_runtime.model.batchability import differing_output
from tidegate_runtime.model.device import DeviceOptions
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.session import OnnxSession, RunOptions

MAX_ROWS = 32
RUNS = 30


def check(device: str, folder: Path, tokens: int) -> list[Finding]:
    """Findings for a model of many small operators, and for one that is mostly launches."""
    return [found for name in ("tabular", "minilm") for found in _model(device, name, folder, tokens)]


def _model(device: str, name: str, folder: Path, tokens: int) -> list[Finding]:
    title = f"graphs: {name}"
    path, rows_of = benched(name, folder, tokens)
    loaded = load_model(path, device, 0, MAX_ROWS, measure_seconds=0)
    plain = OnnxSession(path, device, 0, options=DeviceOptions(graph_bytes=0 if device == "cuda" else None))
    for rows in range(1, MAX_ROWS + 1):
        feeds = rows_of(rows)
        differs = differing_output(_run(loaded.session, feeds), _run(plain, feeds), loaded.signature)
        if differs is not None:
            return [Finding(title, False, f'{rows} rows: output "{differs}" differs from an ordinary run\'s')]
    if not loaded.graphs.rows:
        wanted = device == "cuda"
        return [Finding(title, False if wanted else None, loaded.graphs.reason or f"{device} has none")]
    figures = {f"saved at {rows} rows": _saved(loaded.session, plain, rows_of(rows)) for rows in loaded.graphs.rows}
    return [Finding(title, True, f"batches of {loaded.graphs.rows}", figures)]


def _saved(with_graphs: OnnxSession, plain: OnnxSession, feeds: Any) -> float:
    """The share of an ordinary run's time that a graph saves; the two take turns."""
    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(RUNS):
        for index, session in enumerate((plain, with_graphs)):
            before = time.perf_counter()
            _run(session, feeds)
            taken[index].append(time.perf_counter() - before)
    return 1 - median(taken[1]) / median(taken[0])


def _run(session: OnnxSession, feeds: Any) -> Sequence[Any]:
    return session.run(feeds, RunOptions())
