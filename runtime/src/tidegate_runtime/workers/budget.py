"""How many more requests several processes may record between them: a semaphore of the kernel's that all of them have.

What each counted by itself would be as many times too much, or end for one while others had some left. Source:
eventfd(2), `EFD_SEMAPHORE`.
"""

import os
from pathlib import Path
from typing import Final, Self


class Budget:
    """One descriptor for each process. Nothing is taken twice, also by a process that ends."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Final = descriptor
        """Its own, to be passed on to another process."""

    @classmethod
    def of(cls, count: int) -> Self:
        """For `count` from 1 to 2^31 - 1. Raises `OSError` if no descriptor can be had."""
        return cls(os.eventfd(count, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC))

    def take(self) -> bool:
        """Whether one more may be recorded, which is counted."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return False
        return True

    def left(self) -> int:
        """How many there are left."""
        told = Path(f"/proc/self/fdinfo/{self.descriptor}").read_text()
        count = next(line for line in told.splitlines() if line.startswith("eventfd-count:"))
        return int(count.partition(":")[2], 16)

    def close(self) -> None:
        """Once; nothing is taken after it."""
        os.close(self.descriptor)
