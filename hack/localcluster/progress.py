"""Progress for the person at the terminal, on stderr: stdout is for what a script reads."""

import sys
import time


class Progress:
    """Lines with the seconds since the start in front; long steps say that they are alive every few seconds."""

    def __init__(self, every_seconds: float = 10) -> None:
        self._start = self._last = time.monotonic()
        self._every_seconds = every_seconds

    def say(self, line: str) -> None:
        """Print a line."""
        self._last = time.monotonic()
        print(f"[{self._last - self._start:5.1f} s] {line}", file=sys.stderr, flush=True)

    def beat(self, line: str) -> None:
        """Print a line if nothing has been printed for a while."""
        if time.monotonic() - self._last >= self._every_seconds:
            self.say(line)
