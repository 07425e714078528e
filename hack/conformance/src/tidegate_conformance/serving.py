"""Starting the servers to be checked: one for the whole repository, or one for each model where it can't have more."""

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tidegate_conformance.expect import Skip
from tidegate_conformance.target import Endpoint

READY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05
_LOG_SHOWN: Final = 300

Ports = Callable[[int], list[int]]
"""So many that are free."""


@dataclass(frozen=True, slots=True)
class Command:
    """A server's command line with places to fill.

    They are {repository}, or {path}, {name} and {version}; and {port}, {grpc_port}, {admin_port}. With {repository},
    one process serves all models.
    """

    template: str
    administers_data_port: bool = False
    """Whether its data ports administer it, too, so that an {admin_port} isn't asked."""

    @property
    def serves_all(self) -> bool:
        """Whether one process has all models."""
        return "{repository}" in self.template

    def words(self, places: dict[str, str]) -> list[str]:
        """The command with its places filled."""
        return [word.format(**places) for word in shlex.split(self.template)]


class Server:
    """One process. It may still be starting: `wait` says when it is ready."""

    def __init__(self, command: Command, places: dict[str, str], log: Path, ports: Ports | None = None) -> None:
        rest, grpc, admin = (ports or _free_ports)(3)
        named = {"port": str(rest), "grpc_port": str(grpc), "admin_port": str(admin)}
        self._log = log
        administered = rest if command.administers_data_port else admin if "{admin_port}" in command.template else 0
        self.endpoint = Endpoint(
            f"http://127.0.0.1:{rest}",
            f"127.0.0.1:{grpc}" if "{grpc_port}" in command.template else "",
            f"http://127.0.0.1:{administered}" if administered else "",
        )
        with log.open("wb") as output:
            self._process = subprocess.Popen(command.words(places | named), stdout=output, stderr=output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> Endpoint:
        """Its addresses once it is ready. Raises `Skip` if it ends before, or isn't within two minutes."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if _is_ready(self.endpoint.rest):
                return self.endpoint
            try:
                self._process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        log = self._log.read_text(errors="replace").strip()
        raise Skip(f"the server doesn't start on this model: …{log[-_LOG_SHOWN:]}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps the process from running; the system takes what is sent to it meanwhile, and keeps it."""
        process = self._process.pid
        os.kill(process, signal.SIGSTOP)
        # It may go on for a moment. Nor would it ever stop if it had ended.
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)


class LocalServers:
    """A target that starts its servers itself, each when one of its models is first asked for."""

    def __init__(self, command: Command, repository: Path, logs: Path, ports: Ports | None = None) -> None:
        """`ports` chooses those of a server; any that are free if it is left out."""
        self._command = command
        self._ports = ports
        self._repository = repository
        self._logs = logs
        self._servers: dict[str, Server] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def endpoint(self, model: str) -> Endpoint:
        """The model's server, once it is ready. Raises `Skip` if it doesn't start."""
        name = "all" if self._command.serves_all else model
        if name not in self._servers:
            server = Server(self._command, self._places(model), self._logs / f"{name}.log", self._ports)
            self._servers[name] = self._running.enter_context(server)
        return self._servers[name].wait()

    def _places(self, model: str) -> dict[str, str]:
        if self._command.serves_all:
            return {"repository": str(self._repository)}
        latest = max((self._repository / model).iterdir(), key=lambda folder: int(folder.name))
        return {"path": str(latest / "model.onnx"), "name": model, "version": latest.name}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def _is_ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
