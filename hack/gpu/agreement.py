"""Whether the device computes what the CPU does: every known model, and the benchmark's, at several sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu.finding import Finding
from gpu.subjects import benched, known
from tidegate_runtime.errors import RuntimeFault, StartupFailure
from tidegate_runtime.model.batchability import differing_output
from tidegate_runtime.model.session import OnnxSession, RunOptions

SEEDS = range(1, 7)


def check(device: str, folder: Path, tokens: int) -> list[Finding]:
    """A finding for each model."""
    found = [_compared(device, name, path, feeds) for name, path, feeds in known(folder)]
    for name in ("tabular", "minilm"):
        path, rows_of = benched(name, folder, tokens)
        found.append(_compared(device, name, path, rows_of))
    return found


def _compared(device: str, name: str, path: Path, feeds_of: Callable[[int], Any]) -> Finding:
    title = f"agreement: {name}"
    try:
        there, here = OnnxSession(path, device, 0), OnnxSession(path, "cpu", 0)
    except StartupFailure as failure:
        return Finding(title, False, failure.message)
    for seed in (*SEEDS, *SEEDS):  # each shape twice: the second time on buffers that are there
        feeds = feeds_of(seed)
        try:
            got, wanted = there.run(feeds, RunOptions()), here.run(feeds, RunOptions())
        except RuntimeFault as fault:
            return Finding(title, False, f"inputs {seed}: {fault}")
        differs = differing_output(got, wanted, there.signature)
        if differs is not None:
            return Finding(title, False, f'inputs {seed}: output "{differs}" differs from the CPU\'s')
    return Finding(title, True)
