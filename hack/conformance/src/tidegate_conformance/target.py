"""Where the models are: one server, or a process per model, behind one interface."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate_conformance.expect import Skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's addresses: URLs for `rest` and `admin`, host:port for `grpc`; "" where it has none."""

    rest: str
    grpc: str = ""
    admin: str = ""


class Target(Protocol):
    """What is checked."""

    def endpoint(self, model: str) -> Endpoint:
        """Where `model` is to be asked for. Raises `Skip` where it is known not to be served."""
        ...


@dataclass(frozen=True, slots=True)
class OneServer:
    """A server for all models."""

    addresses: Endpoint

    def endpoint(self, model: str) -> Endpoint:
        """The server, whatever the model."""
        del model
        return self.addresses


@dataclass(frozen=True, slots=True)
class ServerPerModel:
    """A server for each model, by its name."""

    addresses: Mapping[str, Endpoint]

    def endpoint(self, model: str) -> Endpoint:
        """The model's server. Raises `Skip` if there is none in the map."""
        if model not in self.addresses:
            raise Skip(f'no server is given for "{model}"')
        return self.addresses[model]


def read_endpoints(path: Path) -> ServerPerModel:
    """The map in a JSON file: `{"rows": {"rest": "http://…", "grpc": "host:port", "admin": "http://…"}, …}`."""
    return ServerPerModel({name: Endpoint(**entry) for name, entry in json.loads(path.read_text()).items()})
