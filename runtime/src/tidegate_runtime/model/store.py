"""Where models come from: one file, or a repository of many. Read anew whenever something is to be loaded."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.files import find_model
from tidegate_runtime.model.repository import Ignored, read_repository, read_stored_model
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.naming import FETCHED_FILE, Reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """A version of a model, where it lies, and its model's configuration."""

    name: str
    version: str
    path: Path
    config: ModelConfig | None = None

    def config_text(self) -> str | None:
        """The configuration as it is written; None without one."""
        return (self.path.parent.parent / "config.pbtxt").read_text() if self.config is not None else None


@dataclass(frozen=True, slots=True)
class Stored:
    """A model that is there, or, with a version, one that can't be served; `why` it isn't, unless it is."""

    name: str
    version: str | None = None
    why: str = "not loaded"


class Store(Protocol):
    """What there is to be served."""

    def all(self) -> list[Placed]:
        """Everything. Raises `StartupFailure` for whatever can't be served, naming it."""

    def find(self, name: str) -> list[Placed]:
        """The versions of one model that are to be served, at least one. Raises `StartupFailure`."""

    def contents(self) -> list[Stored]:
        """Every model, and what looks like a model or a version and can't be served. Raises `StartupFailure`."""


@dataclass(frozen=True, slots=True)
class SingleModel:
    """One file, or a directory with one, under a name and a version of its own."""

    path: Path
    name: str
    version: str

    def all(self) -> list[Placed]:
        """The one."""
        return [Placed(self.name, self.version, self.path)]

    def find(self, name: str) -> list[Placed]:
        """The one. Raises `StartupFailure` with `ModelNotFound` for any other name."""
        if name != self.name:
            raise StartupFailure(Reason.MODEL_NOT_FOUND, f'this server has one model alone, "{self.name}"')
        return self.all()

    def contents(self) -> list[Stored]:
        """The one."""
        return [Stored(self.name)]


@dataclass(frozen=True, slots=True)
class StoredModels:
    """A model repository."""

    root: Path

    def all(self) -> list[Placed]:
        """All models, with those of their versions that their policies choose; what is left out is logged.

        Raises `ModelInvalid` for a directory that is meant to be a model.
        """
        repository = read_repository(self.root)
        meant = [entry for entry in repository.ignored if entry.meant]
        if meant:
            raise StartupFailure(Reason.MODEL_INVALID, f"the model repository: {_shown(meant)}")
        if not repository.models:
            odd = _shown(repository.ignored)
            raise StartupFailure(
                Reason.MODEL_NOT_FOUND, f"the model repository holds no model{': ' if odd else ''}{odd}"
            )
        for entry in repository.ignored:
            logger.info("no model", extra={"entry": entry.name, "reason": entry.why})
        return [placed for model in repository.models for placed in self.find(model.name)]

    def find(self, name: str) -> list[Placed]:
        """The versions of one model that its policy chooses; what else lies beside them is logged."""
        stored = read_stored_model(self.root, name)
        for entry in stored.ignored:
            level = logging.WARNING if entry.meant else logging.INFO
            logger.log(level, "no version", extra={"model": name, "entry": entry.name, "reason": entry.why})
        return [
            Placed(name, str(version.number), version.directory / FETCHED_FILE, stored.config)
            for version in stored.wanted
        ]

    def contents(self) -> list[Stored]:
        """Every model, and what looks like a model or a version and can't be served."""
        repository = read_repository(self.root)
        return [
            *(Stored(model.name) for model in repository.models),
            *(Stored(each.name, odd.name, odd.why) for each in repository.models for odd in each.ignored if odd.meant),
            *(Stored(odd.name, why=odd.why) for odd in repository.ignored if odd.meant),
        ]


def open_store(path: Path, name: str, version: str) -> Store:
    """A repository if `path` is a directory of directories without an .onnx file of its own, else the one model.

    `name` and `version` are a single model's; a name of "" is the file's stem. Raises `StartupFailure` if there is
    neither.
    """
    if path.is_dir() and not any(path.glob("*.onnx")) and any(entry.is_dir() for entry in path.iterdir()):
        if name:
            why = "--name is for a single model; in a model repository the directories name them, so leave it out"
            raise StartupFailure(Reason.MODEL_INVALID, why)
        return StoredModels(path)
    return SingleModel(path, name or find_model(path).stem, version)


def _shown(entries: Sequence[Ignored]) -> str:
    return "; ".join(f'"{entry.name}": {entry.why}' for entry in entries[:5])


def file_bytes(placed: Placed) -> int:
    """Of the model's file and of what lies beside it, where its external data are; other models don't count."""
    file = find_model(placed.path)
    beside = (other for other in file.parent.rglob("*") if other.is_file() and other.suffix != ".onnx")
    return file.stat().st_size + sum(other.stat().st_size for other in beside)
