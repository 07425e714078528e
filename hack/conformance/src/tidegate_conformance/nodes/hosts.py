"""Where the cases' models are served: a process for each, one at a time.

The seam is `Target`: "give me an address for this model". A server that loads models while it runs needs no process a
case; its target would write the file into the server's repository, ask it to load it, and give the same address.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tidegate_conformance.expect import Skip
from tidegate_conformance.serving import Command, Server
from tidegate_conformance.target import Endpoint


class ProcessPerCase:
    """Starts the server of the model that is asked for, and ends that of the one before."""

    def __init__(self, command: Command, paths: Mapping[str, Path], logs: Path) -> None:
        self._command = command
        self._paths = paths
        self._logs = logs
        self._running: Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def endpoint(self, model: str) -> Endpoint:
        """The model's server. Raises `Skip` if it doesn't start on it."""
        self._end()
        places = {"path": str(self._paths[model]), "name": model, "version": "1"}
        self._running = Server(self._command, places, self._logs / "case.log")
        try:
            return self._running.wait()
        except Skip as skip:
            self._end()
            raise skip from None

    def _end(self) -> None:
        if self._running is not None:
            self._running.__exit__()
            self._running = None
