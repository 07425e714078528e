"""What a check is given: a known model on a server, and clients for that server."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_conformance.check import Check, Wire
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.client import Exchange, RestClient, model_path
from tidegate_conformance.rest.infer import Inferred, check_answer, decode, document
from tidegate_conformance.rpc.client import RpcClient
from tidegate_conformance.target import Endpoint, Target


@dataclass(slots=True)
class Subject:
    """A known model, its server's clients, and what the server says of itself."""

    model: KnownModel
    endpoint: Endpoint
    rest: RestClient
    versions: tuple[str, ...]
    extensions: frozenset[str]
    clients_python: str
    """The interpreter whose environment has the real clients."""
    _rpc: RpcClient | None = None
    _admin: RestClient | None = None

    @property
    def rpc(self) -> RpcClient:
        """The gRPC client. Raises `Skip` if no address was given."""
        if self._rpc is None:
            raise Skip("no gRPC address was given")
        return self._rpc

    @property
    def admin(self) -> RestClient:
        """The client of the administration port, which may be the data port. Raises `Skip` if none was given."""
        if self._admin is None:
            raise Skip("no administration URL was given")
        return self._admin

    @property
    def infer_path(self) -> str:
        """The URL of the model's inference."""
        return model_path(self.model.name, verb="infer")

    @property
    def latest(self) -> str:
        """The version that answers by default, of those that the server has."""
        return max((version for version in self.versions if version in self.model.answers), key=int, default="")

    def expected(self, feeds: Feeds) -> Feeds:
        """What the model makes of `feeds`, in the version that answers by default."""
        return self.model.answer(feeds, self.latest)

    def post(self, request: Any, headers: dict[str, str] | None = None) -> Answer:
        """The answer to an infer request in JSON."""
        return self.rest.post(self.infer_path, request, headers)

    def check_infer(self, feeds: Feeds, *, nested: bool = False, **members: Any) -> Inferred:
        """Infers with `feeds` as JSON and holds the answer against numpy's. Returns it."""
        inferred = decode(self.post(document(self.model, feeds, nested=nested, **members)))
        check_answer(self.model, inferred, self.expected(feeds), members.get("id"))
        return inferred

    def forget(self) -> None:
        """Forgets what went over the wire, so that a failure doesn't show what was sent for another check."""
        for client in (self.rest, self._admin):
            if client is not None:
                client.last = Exchange()
        if self._rpc is not None:
            self._rpc.forget()

    def close(self) -> None:
        """Ends the connections."""
        if self._rpc is not None:
            self._rpc.close()


class Subjects:
    """The subjects of a run: what the server has is asked once a model and kept."""

    def __init__(
        self,
        target: Target,
        clients_python: str = sys.executable,
        models: Mapping[str, KnownModel] = KNOWN,
    ) -> None:
        self._target = target
        self._models = models
        self._clients_python = clients_python
        self._found: dict[str, Subject | str] = {}
        self._lost: dict[Endpoint, str] = {}

    def of(self, check: Check) -> Subject:
        """The subject for `check`. Raises `Skip` with the reason if there is none."""
        if check.model not in self._found:
            self._found[check.model] = self._discover(check.model)
        found = self._found[check.model]
        if isinstance(found, str):
            raise Skip(found)
        if found.endpoint in self._lost:
            raise Skip(self._lost[found.endpoint])
        if check.extension and check.extension not in found.extensions:
            raise Skip(f'the server doesn\'t name the extension "{check.extension}"')
        if check.wire is Wire.GRPC:
            _ = found.rpc
        if check.wire is Wire.ADMIN:
            _ = found.admin
        return found

    def lose(self, endpoint: Endpoint, reason: str) -> None:
        """Skips what is still to be asked of a server that has ended."""
        self._lost[endpoint] = reason

    def close(self) -> None:
        """Ends all connections."""
        for found in self._found.values():
            if isinstance(found, Subject):
                found.close()

    def _discover(self, name: str) -> Subject | str:
        try:
            endpoint = self._target.endpoint(name)
        except Skip as skip:
            return str(skip)
        rest = RestClient(endpoint.rest)
        try:
            metadata = rest.get(model_path(name))
            server = rest.get("/v2")
        except (Mismatch, OSError) as error:
            return f"no answer from {endpoint.rest}: {error}"
        if metadata.status != 200:
            return f'the server has no model "{name}"'
        rpc = RpcClient(endpoint.grpc) if endpoint.grpc else None
        versions = tuple(map(str, _list(metadata, "versions")))
        extensions = frozenset(map(str, _list(server, "extensions")))
        admin = RestClient(endpoint.admin) if endpoint.admin else None
        return Subject(self._models[name], endpoint, rest, versions, extensions, self._clients_python, rpc, admin)


def _list(answer: Answer, name: str) -> list[Any]:
    """A list of the answer's body, which checks of their own hold against the specification."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return []
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, list) else []
