"""How much memory this process may still take, which in a container is less than the machine has."""

import resource
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")
_STATUS: Final = Path("/proc/self/status")
_NO_LIMIT: Final = 1 << 62
"""From here on a limit of version 1 says that there is none: the largest that its counter holds."""

THREAD_BYTES: Final = 8 << 20
"""Addresses that a thread takes beyond what it uses: its stack."""
ARENA_BYTES: Final = 2 * 64 << 20
"""Addresses that glibc's malloc reserves for two arenas."""


def limit_leaves(cgroup: Path = _CGROUP) -> int | None:
    """What the cgroup's limit, of version 2 or 1, leaves beside memory that can't be reclaimed; None without one."""
    for place, name, kinds in (
        (cgroup, "memory.max", ("anon", "shmem")),
        (cgroup / "memory", "memory.limit_in_bytes", ("total_rss", "total_shmem")),
    ):
        try:
            limit = int((place / name).read_text())
        except (OSError, ValueError):  # not this version, or "max": no limit
            continue
        if limit < _NO_LIMIT:
            return max(0, limit - sum(_field(place / "memory.stat", kind, 1) or 0 for kind in kinds))
    return None


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """What the cgroup's limit leaves, but no more than the machine has free; None where neither can be read."""
    told = [left for left in (limit_leaves(cgroup), _field(meminfo, "MemAvailable:", 1024)) if left is not None]
    return min(told, default=None)


def bound_data(threads: int, cgroup: Path = _CGROUP) -> None:
    """Has what would take this process beyond its cgroup's limit fail, from here on, instead of its being killed.

    Without such a limit nothing is bounded. `threads` are those that will be started. Not for a process that reads or
    writes JSON: orjson reserves twelve times a text's length, which it hardly uses, to read it, and ends the process
    where there is none to write.
    """
    left = limit_leaves(cgroup)
    if left is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = data_limit(_field(_STATUS, "VmData:", 1024) or 0, left, threads)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def data_limit(data: int, left: int, threads: int) -> int:
    """The limit on data, in bytes, under which a process that has `data` takes hardly more than `left` bytes of memory.

    Stacks count as data, and are hardly used.
    """
    return data + left + threads * THREAD_BYTES


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
