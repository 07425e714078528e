"""What a process of this machine has used, as the kernel tells it."""

import os
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """CPU seconds, user's and system's, since the process began, and the memory that it has now."""

    cpu_seconds: float
    resident_bytes: int


def usage_of(pid: int) -> Usage | None:
    """The process' usage; None if there is none of that number, or no `/proc`.

    One that has ended is told of until its parent has waited for it; it has no memory. Source: proc_pid_stat(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field, a name in parentheses, may hold whatever it likes; utime is the 14th, stime the 15th, rss the
    # 24th.
    fields = stat.rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
