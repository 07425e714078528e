"""A model from a path: of this machine, or of a claim that is mounted, and from nowhere else."""

import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch.incoming import Incoming
from tidegate_runtime.fetch.uri import FileSource, PvcSource, forbidden
from tidegate_runtime.naming import Reason

CHUNK_BYTES: Final = 1 << 20


def copy_file(source: FileSource, incoming: Incoming) -> None:
    """Copies the file, or the one .onnx file of the directory. Raises `StartupFailure` with `ModelNotFound`."""
    _copy(Path("/"), source.path.relative_to("/"), incoming)


def copy_from_claim(source: PvcSource, root: Path, incoming: Incoming) -> None:
    """Copies from below `root`, where the claim is mounted.

    Links within the claim are followed. Raises `StartupFailure`: `ModelURIForbidden` if one leads out of it,
    `ModelNotFound` if there is nothing.
    """
    if not root.is_dir():
        raise _not_found(source.path, f"the claim {source.claim} is not mounted")
    _copy(root, source.path, incoming)


def _copy(root: Path, path: PurePosixPath, incoming: Incoming) -> None:
    real_root = root.resolve()
    descriptor = _open_below(real_root, _resolved(real_root, path), path)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_found(path, "not a regular file")
        incoming.restart(status.st_size)
        while chunk := _read(file, path):
            incoming.write(chunk)


def _read(file: BinaryIO, shown: PurePosixPath) -> bytes:
    try:
        return file.read(CHUNK_BYTES)
    except OSError as error:
        raise StartupFailure(Reason.MODEL_UNREACHABLE, f"{shown} can't be read: {error.strerror}") from None


def _resolved(root: Path, path: PurePosixPath) -> Path:
    """The file meant, links resolved, as a path below `root`."""
    found = (root / path).resolve()
    if found.is_relative_to(root) and found.is_dir():
        models = sorted(found.glob("*.onnx"))
        if len(models) != 1:
            names = ", ".join(model.name for model in models[:5]) or "none"
            raise _not_found(path, f"a directory must hold one .onnx file; found {names}")
        found = models[0].resolve()
    if not found.is_relative_to(root):
        raise forbidden(f"{path} leads out of the volume through a link")
    return found.relative_to(root)


def _open_below(root: Path, relative: Path, shown: PurePosixPath) -> int:
    """A descriptor of the file, opened step by step without following links: a link put there meanwhile is refused."""
    steps = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for part in relative.parts[:-1]:
            steps.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=steps[-1]))
        return os.open(relative.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=steps[-1])
    except OSError as error:
        raise _not_found(shown, error.strerror or "it can't be opened") from None
    finally:
        for step in steps:
            os.close(step)


def _not_found(path: PurePosixPath, why: str) -> StartupFailure:
    return StartupFailure(Reason.MODEL_NOT_FOUND, f"{path}: {why}")
