"""How much memory this process may still take, which in a container is less than the machine has."""

from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")
_STATUS: Final = Path("/proc/self/status")

THREAD_BYTES: Final = 8 << 20
"""Addresses that a thread takes beyond what it uses: its stack."""
ARENA_BYTES: Final = 2 * 64 << 20
"""Addresses that glibc's malloc reserves for two arenas."""


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """What the cgroup's limit (version 2) leaves beside memory that can't be reclaimed, else what the machine has free.

    None where neither can be read.
    """
    free = _field(meminfo, "MemAvailable:", 1024)
    try:
        limit = int((cgroup / "memory.max").read_text())
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return free
    held = sum(_field(cgroup / "memory.stat", kind, 1) or 0 for kind in ("anon", "shmem"))
    left = max(0, limit - held)
    return left if free is None else min(left, free)


def mapped_bytes(status: Path = _STATUS) -> int:
    """The addresses that this process has mapped; 0 where it can't be read."""
    return _field(status, "VmSize:", 1024) or 0


def address_space(mapped: int, available: int, mapped_files: int, threads: int) -> int:
    """The limit on addresses, in bytes, under which a process that has `mapped` can fill `available` bytes of memory.

    Files that are mapped take addresses, but no memory that couldn't be reclaimed.
    """
    return mapped + available + mapped_files + threads * THREAD_BYTES + ARENA_BYTES


def _field(file: Path, name: str, unit: int) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * unit for line in lines if line.split()[:1] == [name]), None)
