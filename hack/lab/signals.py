"""Sends signals from a node: run in a pod that sees the node's processes, told what to do as a line of JSON.

Needs the standard library alone. `{"kill": POD}` kills all processes of a pod's containers. `{"stop": NAME,
"seconds": N}` lets the processes of that name stand still for so long, and ends that by itself: nobody may be able to
tell it. Fails if there is no such process.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def main(told: dict[str, str | float]) -> int:
    """Do what was told; returns to how many processes."""
    if "kill" in told:
        return _send(signal.SIGKILL, _of_pod(str(told["kill"])))
    chosen = _named(str(told["stop"]))
    try:
        _send(signal.SIGSTOP, chosen)
        time.sleep(float(told["seconds"]))
    finally:
        _send(signal.SIGCONT, chosen)
    return len(chosen)


def _named(name: str) -> list[int]:
    return list(_which(lambda process: (process / "comm").read_text().strip() == name))


def _of_pod(name: str) -> list[int]:
    # Kubernetes calls a container's host as its pod, and tells each process of it so.
    mark = f"HOSTNAME={name}".encode()
    return list(_which(lambda process: mark in (process / "environ").read_bytes().split(b"\0")))


def _which(chosen: Callable[[Path], bool]) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if chosen(process):
                yield int(process.name)
        except OSError:
            continue


def _send(number: signal.Signals, processes: list[int]) -> int:
    sent = 0
    for process in processes:
        try:
            os.kill(process, number)
            sent += 1
        except ProcessLookupError:
            continue
    return sent


if __name__ == "__main__":
    if not main(json.loads(sys.stdin.readline())):
        sys.exit("no such process")
