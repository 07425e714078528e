"""Long-running processes: each in a session of its own, with a file for its id and one for what it says."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.waiting import wait_for

# The shell writes the id before it becomes the program, so no process is ever without its record, however its
# parent dies.
_RECORDED = 'cd /; echo $$ >"$0"; exec "$@"'

BECOMING_SECONDS = 1.0


def start(argv: Sequence[str | Path], *, pid_file: Path, log: Path, env: Mapping[str, str]) -> None:
    """Start the program in a new session; what it says is appended to the log. Nobody waits for its end."""
    for path in (pid_file, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), appended, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    words = ["/bin/sh", "-c", _RECORDED, str(pid_file), *map(str, argv)]
    pid = os.posix_spawn(words[0], words, env, file_actions=files, setsid=True)
    wait_for(
        f"the start of {argv[0]}",
        lambda: None if _recorded(pid_file) == pid else f"no id in {pid_file}",
        seconds=10,
    )


def running(pid_file: Path, marks: Sequence[str]) -> int | None:
    """The recorded process's id if it runs and its command line holds every mark (ids are reused), else None."""
    if (pid := _recorded(pid_file)) is None:
        return None
    try:
        words = _command_line(pid).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if all(mark in words for mark in marks) else None


def _command_line(pid: int) -> str:
    """Empty for a zombie, which so counts as ended. Raises `FileNotFoundError` or `ProcessLookupError` without one."""
    # It is empty, too, for the moment in which a process becomes another program; of few it stays so.
    late_at = time.monotonic() + BECOMING_SECONDS
    while not (line := Path(f"/proc/{pid}/cmdline").read_text()) and _has_program(pid) and time.monotonic() < late_at:
        pass
    return line


def _has_program(pid: int) -> bool:
    """Whether the process runs a file: not a zombie, and no thread of the kernel."""
    try:
        return bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:  # It has none, or it is somebody else's.
        return False


def _recorded(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def children(pid: int) -> list[int]:
    """Ids of the process's children."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill(pid: int) -> None:
    """End the process at once; none is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def resume(pid: int) -> None:
    """Let the process go on if it was stopped; none is no error."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def tail(log: Path, lines: int = 15) -> str:
    """The log's last lines, indented."""
    try:
        with log.open("rb") as said:
            said.seek(max(0, log.stat().st_size - 300 * lines))
            text = said.read().decode(errors="replace")
    except FileNotFoundError:
        return "  (it said nothing)"
    return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])
