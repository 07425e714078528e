"""What the processes of one server use, and what the host took away, from /proc and a control group."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TICKS = os.sysconf("SC_CLK_TCK")
MARK = "TIDEGATE_BENCH_SERVER"


class Account(Protocol):
    """Everything that a server's command has started, however it was started."""

    how: str

    def wrap(self, command: Sequence[str]) -> list[str]:
        """The command, run inside."""

    def processes(self) -> list[int]:
        """Their ids."""

    def cpu_seconds(self) -> float:
        """User and system time so far."""

    def close(self) -> None:
        """Forget it; all processes have ended."""


class ControlGroup:
    """By a cgroup (version 2) of its own: exact, and it counts processes that have ended."""

    how = "cgroup"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def made(cls, name: str) -> "ControlGroup | None":
        """A new group, or None where groups can't be made."""
        for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
            folder = root / f"tidegate-bench-{name}"
            try:
                folder.mkdir(exist_ok=True)
                if "usage_usec" in (folder / "cpu.stat").read_text():
                    return cls(folder)
                folder.rmdir()
            except OSError:
                continue
        return None

    def wrap(self, command: Sequence[str]) -> list[str]:
        return ["sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh", *command]

    def processes(self) -> list[int]:
        return [int(line) for line in (self._folder / "cgroup.procs").read_text().split()]

    def cpu_seconds(self) -> float:
        figures = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        return int(figures["usage_usec"]) / 1e6

    def close(self) -> None:
        for _ in range(100):
            try:
                self._folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)  # its last process is still being taken apart


class Marked:
    """By a variable in the environment that all of them inherit: for users who may not make control groups."""

    how = "/proc"

    def __init__(self, name: str) -> None:
        self._entry = f"{MARK}={name}".encode()

    def wrap(self, command: Sequence[str]) -> list[str]:
        return ["env", self._entry.decode(), *command]

    def processes(self) -> list[int]:
        return [int(folder.name) for folder in _processes() if self._entry in _read(folder / "environ").split(b"\0")]

    def cpu_seconds(self) -> float:
        """Children that ended and were waited for count through their parents."""
        return sum(cpu_seconds_in(_read(Path(f"/proc/{pid}/stat")).decode()) for pid in self.processes())

    def close(self) -> None:
        pass


def _processes() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # ended meanwhile, or another user's


def cpu_seconds_in(stat: str) -> float:
    """utime, stime, cutime and cstime of a /proc/PID/stat; a process's name may hold spaces and parentheses."""
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def account(name: str) -> Account:
    """The best way there is on this machine."""
    return ControlGroup.made(name) or Marked(name)


@dataclass(frozen=True)
class Memory:
    """Of all processes together, in MiB; `pss` shares a page among those that have it."""

    rss: float
    pss: float
    processes: int


def memory(pids: Sequence[int]) -> Memory:
    """What the processes hold."""
    kinds = {"Rss": 0, "Pss": 0}
    for pid in pids:
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).decode().splitlines():
            kind, _, rest = line.partition(":")
            if kind in kinds:
                kinds[kind] += int(rest.split()[0])
    return Memory(kinds["Rss"] / 1024, kinds["Pss"] / 1024, len(pids))


def stolen(stat: str, cpus: Sequence[int]) -> list[tuple[int, int]]:
    """Per processor, ticks stolen by the host and ticks in all, from the text of /proc/stat."""
    figures = {line.split()[0]: line.split()[1:9] for line in stat.splitlines() if line.startswith("cpu")}
    return [(int(figures[f"cpu{cpu}"][7]), sum(map(int, figures[f"cpu{cpu}"]))) for cpu in cpus]


def stolen_share(before: Sequence[tuple[int, int]], after: Sequence[tuple[int, int]]) -> float:
    """The largest share of a processor's time between two readings that was stolen, 0 to 1."""
    shares = [
        (taken - taken_before) / max(1, total - total_before)
        for (taken_before, total_before), (taken, total) in zip(before, after, strict=True)
    ]
    return max(shares)
