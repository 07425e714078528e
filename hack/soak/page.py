"""What the server says of itself, on its page of metrics."""

import urllib.request
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from tidegate_runtime.naming import ANSWERS_TOGETHER, REQUESTS, REQUESTS_UNQUEUED


def samples(admin_port: int) -> Iterator[tuple[str, float]]:
    """Each sample: its name with its labels, and its value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


class Ways(NamedTuple):
    """How the answers of 200 came about."""

    good: int
    together: int
    """Written with others of the same run, their requests being known by their bytes."""
    unqueued: int
    """Of requests that ran as they came, past the queue."""

    @classmethod
    def of(cls, told: Iterable[tuple[str, float]]) -> Self:
        """What a page says, of all models together."""
        sums = {"good": 0.0, "together": 0.0, "unqueued": 0.0}
        for name, value in told:
            if name.startswith(f"{REQUESTS}{{") and 'code="200"' in name:
                sums["good"] += value
            elif name.startswith(f"{ANSWERS_TOGETHER}{{"):
                sums["together"] += value
            elif name.startswith(f"{REQUESTS_UNQUEUED}{{"):
                sums["unqueued"] += value
        return cls(*map(int, sums.values()))

    @property
    def line(self) -> str:
        """For the report."""
        return (
            f"of {self.good:,} answers of 200 the server wrote {self.together:,} together with others of the same run, "
            f"and ran {self.unqueued:,} requests past its queue"
        )

    def missing(self, options: Iterable[str]) -> list[str]:
        """What should have come about on a server with these options, and hasn't."""
        # Only a server that runs the models on its own event loop can do so as they come.
        elsewhere = any(option.startswith(("--isolate", "--workers", "--device")) for option in options)
        found = [] if self.together else ["no answer was written together with others"]
        return found if self.unqueued or elsewhere else [*found, "no request ran past the queue"]
