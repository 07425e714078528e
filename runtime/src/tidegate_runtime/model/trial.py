"""The child process that tries a model file out: `python -m tidegate_runtime.model.trial TASK`, TASK as JSON.

It limits itself, loads the model, and reports by lines of JSON on its standard output: the stages it goes through, and
last what it found or why the model can't be served.
"""

import ctypes
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tidegate_runtime import logs
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.device import DeviceOptions
from tidegate_runtime.model.loading import examine, open_model
from tidegate_runtime.model.memory import address_space, available_bytes, mapped_bytes
from tidegate_runtime.model.triton_config import read_config
from tidegate_runtime.model.vetting import OPENING, RUNNING, Task, reported
from tidegate_runtime.naming import Reason

_OPEN_FILES: Final = 256
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Does the task of the command line. Ends with code 0 if it could report, whatever the finding."""
    task = Task(**json.loads(sys.argv[1]))
    report = _reporter()
    logs.set_up()
    logging.getLogger("tidegate_runtime").setLevel(logging.WARNING)  # the parent says what went well
    _die_with_parent()
    try:
        _limit(task)
        report({"stage": OPENING})
        config = None if task.config is None else read_config(task.config)
        options = DeviceOptions(**task.options)
        opened, verdict = open_model(
            Path(task.path), task.device, task.threads, task.max_rows, task.rules, config, options
        )
        report({"stage": RUNNING})
        report(reported(examine(opened, verdict, task.max_rows, task.rules, task.run_seconds)))
    except StartupFailure as failure:
        report({"reason": failure.reason, "message": failure.message})
    except MemoryError:
        message = f"{Path(task.path).name}: memory can't be had; raise the memory limit"
        report({"reason": Reason.MODEL_TOO_LARGE, "message": message})
    os._exit(0)  # what a bad file has left behind in native code can't be cleaned up


def _reporter() -> Callable[[Mapping[str, Any]], None]:
    """Writes to what was standard output; native code that prints there writes to standard error from here on."""
    pipe = os.dup(1)
    os.dup2(2, 1)

    def report(line: Mapping[str, Any]) -> None:
        os.write(pipe, json.dumps(line).encode() + b"\n")

    return report


def _die_with_parent() -> None:
    """A server that is told to stop while it loads leaves at once, without a word to this process."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _limit(task: Task) -> None:
    """No core file, bounded CPU time and, without a GPU, whose driver maps far more than it uses, files and memory."""
    threads = task.threads or usable_cpus()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu_seconds = int(task.seconds * (threads + 1)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # equal ones would end it by SIGKILL
    if task.device != "cpu":
        return
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    available = task.available_bytes if task.available_bytes is not None else available_bytes()
    if available is not None:
        _lower(resource.RLIMIT_AS, address_space(mapped_bytes(), available, _bytes_in(task.path), threads))


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _bytes_in(path: str) -> int:
    """Of the files beside the model and in folders there: ONNX Runtime maps external data."""
    place = Path(path)
    directory = place if place.is_dir() else place.parent
    files = (file for pattern in ("*", "*/*") for file in directory.glob(pattern) if file.is_file())
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    main()
