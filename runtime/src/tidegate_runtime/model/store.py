"""Where models come from: one file, or a repository of many. Read anew whenever something is to be loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.model.files import find_model
from tidegate_runtime.model.repository import Ignored, Repository, read_repository, read_stored_model
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.naming import FETCHED_FILE, Reason


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


class Store(Protocol):
    """What there is to be served."""

    def all(self) -> list[Placed]:
        """Everything. Raises `StartupFailure` for whatever can't be served, naming it."""

    def find(self, name: str) -> list[Placed]:
        """The versions of one model that are to be served, at least one. Raises `StartupFailure`."""

    def names(self) -> list[str]:
        """Of all models that are there. Raises `StartupFailure`."""


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

    def names(self) -> list[str]:
        """Its name."""
        return [self.name]


@dataclass(frozen=True, slots=True)
class StoredModels:
    """A model repository."""

    root: Path

    def all(self) -> list[Placed]:
        """All models, with those of their versions that their policies choose."""
        repository = self._read()
        if repository.ignored:
            odd = "; ".join(_shown(entry) for entry in repository.ignored[:5])
            raise StartupFailure(Reason.MODEL_INVALID, f"the model repository: {odd}")
        if not repository.models:
            raise StartupFailure(Reason.MODEL_NOT_FOUND, "the model repository holds no model")
        return [placed for model in repository.models for placed in self.find(model.name)]

    def find(self, name: str) -> list[Placed]:
        """The versions of one model that its policy chooses."""
        stored = read_stored_model(self.root, name)
        return [
            Placed(name, str(version.number), version.directory / FETCHED_FILE, stored.config)
            for version in stored.wanted
        ]

    def names(self) -> list[str]:
        """Of all models that can be read."""
        return [model.name for model in self._read().models]

    def _read(self) -> Repository:
        return read_repository(self.root)


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


def _shown(entry: Ignored) -> str:
    return f'"{printable(entry.name, 128)}": {entry.why}'


def file_bytes(placed: Placed) -> int:
    """Of the model's file and of what lies beside it, where its external data are; other models don't count."""
    file = find_model(placed.path)
    beside = (other for other in file.parent.rglob("*") if other.is_file() and other.suffix != ".onnx")
    return file.stat().st_size + sum(other.stat().st_size for other in beside)
