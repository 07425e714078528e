"""Where the cases' models are served: by one server that loads them while it runs, or a process for each.

Either has one model at a time, and can be paused: what is sent meanwhile, the server finds all at once when it goes on.
"""

import re
import shutil
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import onnx

from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.rest.client import RestClient
from tidegate_conformance.serving import Command, Ports, Server
from tidegate_conformance.target import Endpoint

LOAD_SECONDS: Final = 120.0
_LOG_SHOWN: Final = 300
_FIRST: Final = "rows"
"""The known model that a server has to begin with, since some don't start on nothing."""


class Host(ABC):
    """A target that starts its server itself."""

    def __init__(self, command: Command, folder: Path, ports: Ports | None = None) -> None:
        self.paths: dict[str, tuple[Path, ...]] = {}
        """Each model's files, of which the first that the server takes will do. More may be added."""
        self._command = command
        self._folder = folder
        self._log = folder / "server.log"
        self._ports = ports
        self._running: Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def endpoint(self, model: str) -> Endpoint:
        """The server that has the model. Raises `Skip` if it doesn't take it, `Mismatch` if it doesn't survive it."""
        refused = Skip("it has no file")
        for path in self.paths[model]:
            try:
                return self._served(model, path)
            except Skip as skip:
                refused = skip
        raise refused

    @abstractmethod
    def _served(self, model: str, path: Path) -> Endpoint:
        """The server that has the model from this file. Raises as `endpoint` does."""

    def paused(self) -> AbstractContextManager[None]:
        """Keeps the server from running."""
        assert self._running is not None
        return self._running.paused()

    def _start(self, places: dict[str, str]) -> Endpoint:
        self._running = Server(self._command, places, self._log, self._ports)
        try:
            return self._running.wait()
        except Skip:
            self._end()
            raise

    def _end(self) -> None:
        if self._running is not None:
            self._running.__exit__()
            self._running = None


class ProcessPerModel(Host):
    """Starts the server of the model that is asked for, and ends that of the one before."""

    def _served(self, model: str, path: Path) -> Endpoint:
        self._end()
        return self._start({"path": str(path), "name": model, "version": "1"})


class LoadingServer(Host):
    """One server with a repository, into which the model that is asked for is put, loaded, and taken out of again."""

    def __init__(self, command: Command, folder: Path, ports: Ports | None = None) -> None:
        super().__init__(command, folder, ports)
        self._repository = folder / "repository"
        self._loaded = ""
        path = self._repository / _FIRST / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(KNOWN[_FIRST].graphs["1"](), path)

    def _served(self, model: str, path: Path) -> Endpoint:
        if self._running is None:
            self._start({"repository": str(self._repository)})
        assert self._running is not None
        endpoint = self._running.endpoint
        if not endpoint.admin:
            raise Skip("nothing is known that loads models: the command has no {admin_port}")
        loaded, self._loaded = self._loaded, ""
        if loaded:
            shutil.rmtree(self._repository / loaded)
            self._ask(endpoint, loaded, "unload")
        place = self._repository / model
        (place / "1").mkdir(parents=True)
        shutil.copyfile(path, place / "1" / "model.onnx")
        try:
            self._ask(endpoint, model, "load")
        except (Mismatch, Skip):
            shutil.rmtree(place)
            raise
        self._loaded = model
        return endpoint

    def _ask(self, endpoint: Endpoint, model: str, what: str) -> None:
        client = RestClient(endpoint.admin)
        try:
            with client.connect(LOAD_SECONDS) as connection:
                path = f"/v2/repository/models/{quote(model, safe='')}/{what}"
                answer = client.request("POST", path, b"{}", connection=connection)
        except (Mismatch, OSError) as error:
            self._end()
            log = self._log.read_text(errors="replace").strip()[-_LOG_SHOWN:]
            raise Mismatch(f"the server ended when it was to {what} the model ({error}): …{log}") from None
        if answer.status != 200:
            raise Skip(f"it isn't loaded: {in_common(answer.refusal())}")


def host_of(command: Command, folder: Path, ports: Ports | None = None) -> Host:
    """The kind of host that the command is for; what it needs lies in `folder`."""
    return LoadingServer(command, folder, ports) if command.serves_all else ProcessPerModel(command, folder, ports)


def in_common(reason: str) -> str:
    """A reason without what is one model's alone, so that like ones can be counted: names, where they are, shapes."""
    reason = re.sub(r'^.*?"[^"]*": ', "", reason)
    return re.sub(r'"[^"]*"', '"…"', re.sub(r"\[[-0-9, ]*\]", "[…]", reason))
