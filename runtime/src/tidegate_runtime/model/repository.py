"""A model repository: `<root>/<name>/<version>/model.onnx`, and beside the versions perhaps a config.pbtxt.

What is there is read into values; nothing is loaded. One model that can't be served doesn't keep the others from it.
"""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.model.triton_config import CONFIG_FILE, ModelConfig, read_config
from tidegate_runtime.naming import FETCHED_FILE, Reason

MAX_CONFIG_BYTES: Final = 1 << 20

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Ignored:
    """An entry of a directory that is not served, and why.

    `meant` says that it looks like what is: a directory by a model's name with a version or a configuration in it, or
    an entry by a version's number.
    """

    name: str
    why: str
    meant: bool


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version, and its directory, which holds its model.onnx and what that refers to."""

    number: int
    directory: Path


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of the repository: `versions` are all there are, `wanted` those that its policy chooses, ascending."""

    name: str
    config: ModelConfig | None
    versions: tuple[StoredVersion, ...]
    wanted: tuple[StoredVersion, ...]
    ignored: tuple[Ignored, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """Models by name, ascending, and the entries that are none."""

    models: tuple[StoredModel, ...]
    ignored: tuple[Ignored, ...]


def read_repository(root: Path) -> Repository:
    """All models below `root`. Raises `StartupFailure` with `ModelNotFound` if `root` isn't a directory."""
    models: list[StoredModel] = []
    ignored: list[Ignored] = []
    for entry in _entries(root):
        try:
            models.append(read_stored_model(root, entry.name))
        except StartupFailure as failure:
            ignored.append(Ignored(printable(entry.name, 128), failure.message, _meant_as_model(root, entry)))
    return Repository(tuple(models), tuple(ignored))


def read_stored_model(root: Path, name: str) -> StoredModel:
    """The model of that name, its directory read afresh.

    Raises `StartupFailure`: `ModelNotFound` for a name that may not be one or isn't there, for no version and for one
    that the policy names and isn't there, `ModelInvalid` for its configuration.
    """
    directory = _inside(root, root / checked_name(name))
    if directory is None or not directory.is_dir():
        raise _missing(f'"{name}" is no directory of the repository')
    entries = _entries(directory)
    config = _config(root, directory, name) if any(entry.name == CONFIG_FILE for entry in entries) else None
    versions, ignored = _versions(root, entries)
    policy = (config or ModelConfig()).versions
    absent = sorted(set(policy.specific) - {version.number for version in versions})
    if absent:
        raise _missing(f'"{name}" has no version {", ".join(map(str, absent))}, which its version_policy names')
    numbers = policy.choice(tuple(version.number for version in versions))
    if not numbers:
        odd = "".join(f"; {entry.name}: {entry.why}" for entry in ignored[:5])
        raise _missing(f'"{name}" has no version{odd}')
    return StoredModel(name, config, versions, tuple(v for v in versions if v.number in numbers), ignored)


def checked_name(name: str) -> str:
    """`name`, if it may be a model's: 1 to 128 letters, digits and `_.+-`, none of `.+-` first.

    Raises `StartupFailure` with `ModelNotFound` for any other.
    """
    if not _NAME.fullmatch(name):
        shown = printable(name, 128)
        raise _missing(f'"{shown}" is no model\'s name: 1 to 128 of A-Z, a-z, 0-9, _, ., + and -, none of .+- first')
    return name


def version_number(name: str) -> int | None:
    """The version that a directory's name stands for: a positive integer of at most 18 digits; None if none."""
    return int(name) if _VERSION.fullmatch(name) else None


def _meant_as_model(root: Path, entry: Path) -> bool:
    directory = _inside(root, entry)
    if directory is None or not _NAME.fullmatch(entry.name):
        return False
    try:
        names = os.listdir(directory)
    except OSError:  # a file, or a volume's lost+found
        return False
    return any(name == CONFIG_FILE or version_number(name) is not None for name in names)


def _versions(root: Path, entries: Iterable[Path]) -> tuple[tuple[StoredVersion, ...], tuple[Ignored, ...]]:
    versions: list[StoredVersion] = []
    ignored: list[Ignored] = []
    for entry in entries:
        why = _unfit(root, entry)
        if why is None:
            versions.append(StoredVersion(int(entry.name), entry))
        elif entry.name != CONFIG_FILE:
            ignored.append(Ignored(printable(entry.name, 128), why, version_number(entry.name) is not None))
    return tuple(sorted(versions, key=lambda version: version.number)), tuple(ignored)


def _unfit(root: Path, entry: Path) -> str | None:
    """Why the entry of a model's directory is no version; None if it is one."""
    if version_number(entry.name) is None:
        return "a version's name is a positive integer without leading zeros"
    directory = _inside(root, entry)
    if directory is None:
        return "leads out of the repository, or nowhere"
    if not directory.is_dir():
        return "is no directory"
    file = _inside(root, entry / FETCHED_FILE)
    if file is None or not file.is_file():
        return f"has no {FETCHED_FILE} inside the repository"
    return None


def _config(root: Path, directory: Path, name: str) -> ModelConfig:
    file = _inside(root, directory / CONFIG_FILE)
    try:
        if file is None or not stat.S_ISREG(file.stat().st_mode) or file.stat().st_size > MAX_CONFIG_BYTES:
            raise _invalid(f"must be a file inside the repository of at most {MAX_CONFIG_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise _invalid(f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _invalid("is not UTF-8") from None
    config = read_config(text)
    if config.name not in {"", name}:
        raise _invalid(f'name is "{printable(config.name, 128)}", its directory\'s is "{name}"; they must be the same')
    return config


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise _missing(f"{directory.name} can't be listed: {error.strerror}") from None


def _inside(root: Path, path: Path) -> Path | None:
    """What `path` leads to, links followed, if that is there and below `root`."""
    try:
        found = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself is a RuntimeError
        return None
    return found if found.is_relative_to(root.resolve()) else None


def _missing(what: str) -> StartupFailure:
    return StartupFailure(Reason.MODEL_NOT_FOUND, what)


def _invalid(what: str) -> StartupFailure:
    return StartupFailure(Reason.MODEL_INVALID, f"{CONFIG_FILE} {what}")
