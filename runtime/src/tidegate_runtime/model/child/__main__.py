"""The child process: `python -m tidegate_runtime.model.child LINE SECOND_LINE TASK`, two descriptors and JSON."""

import socket
import sys
from pathlib import Path

from tidegate_runtime import logs
from tidegate_runtime.giving_way import give_way
from tidegate_runtime.model.child.report import LoadReport, LoadTask, decode_task
from tidegate_runtime.model.child.spawned import detach_from_terminal
from tidegate_runtime.model.child.worker import Session, attend
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.device import within_limit
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.memory import bound_data, limit_leaves
from tidegate_runtime.model.session import RunOptions
from tidegate_runtime.model.triton_config import read_config
from tidegate_runtime.model.vetting import load_vetted


def main() -> None:
    """Serves the parent that started this process."""
    detach_from_terminal()
    logs.set_up()
    line, second_line, task = (
        socket.socket(fileno=int(sys.argv[1])),
        socket.socket(fileno=int(sys.argv[2])),
        sys.argv[3],
    )
    attend(line, second_line, lambda: load(decode_task(task)), RunOptions)


def load(task: LoadTask) -> tuple[Session, LoadReport]:
    """The model, and what is to be said of it. Raises `StartupFailure`."""
    options = task.options
    if task.device == "cpu":
        give_way()
        options = within_limit(options, limit_leaves())
        bound_data(task.threads or usable_cpus())
    loaded = (load_vetted if task.vetting else load_model)(
        Path(task.path),
        task.device,
        task.threads,
        task.max_rows,
        rules=task.rules,
        config=None if task.config is None else read_config(task.config),
        measure_seconds=task.measure_seconds,
        options=options,
        run_seconds=task.run_seconds,
    )
    return loaded.session, LoadReport(loaded.signature, loaded.verdict, loaded.labels, loaded.costs, loaded.graphs)


if __name__ == "__main__":
    main()
