"""The file on its way in: bounded, hashed, and under its final name only when it is whole and right."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch.progress import Progress
from tidegate_runtime.naming import FETCHED_FILE, Reason

_PARTIAL: Final = ".model.onnx.partial"


class Incoming:
    """Writes to a name of its own in `directory`. Leaving the context without `commit` leaves nothing behind."""

    def __init__(self, directory: Path, max_bytes: int, progress: Progress) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._progress = progress
        self._partial = directory / _PARTIAL

    def __enter__(self) -> "Incoming":
        self._directory.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self._partial.unlink()  # of a fetch that was killed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        # Unbuffered: what a volume has no room for is then told by the write, and none is left for closing to do.
        self._file = os.fdopen(os.open(self._partial, flags, 0o644), "wb", buffering=0)
        self.restart(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a remote volume; what was to be kept has been synced
            self._file.close()
        with suppress(FileNotFoundError):
            self._partial.unlink()

    def restart(self, total: int | None) -> None:
        """Forgets what came so far; `total` bytes are announced, if it is known how many.

        Raises `StartupFailure` with `ModelTooLarge` if that is over the limit, or more than the volume has left.
        """
        if total is not None and total > self._max_bytes:
            raise self._too_large(f"{total} bytes")
        self._file.seek(0)
        self._file.truncate()
        room = _room(self._directory)
        if total is not None and room is not None and total > room:
            raise StartupFailure(
                Reason.MODEL_TOO_LARGE, f"the model has {total} bytes, its volume {room} left; give it a larger one"
            )
        self._digest = hashlib.sha256()
        self.received = 0
        self._progress.restart(total)

    def write(self, chunk: bytes) -> None:
        """Appends. Raises `StartupFailure` with `ModelTooLarge` over the limit or when the volume is full."""
        self.received += len(chunk)
        if self.received > self._max_bytes:
            raise self._too_large("more")
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _unwritable(error) from None
        self._digest.update(chunk)
        self._progress.advance(self.received)

    def commit(self, expected_sha256: str) -> str:
        """Gives the file its final name and returns its SHA-256.

        Raises `StartupFailure`: `DigestMismatch`, naming both, unless it is the expected one or none was,
        `ModelTooLarge` if the volume turns out to be full.
        """
        actual = self._digest.hexdigest()
        if expected_sha256 and actual != expected_sha256:
            raise StartupFailure(
                Reason.DIGEST_MISMATCH,
                f"sha256 expected {expected_sha256}, got {actual} of {self.received} bytes; "
                "the file was changed, or the digest belongs to another one",
            )
        try:
            os.fsync(self._file.fileno())
            self._partial.replace(self._directory / FETCHED_FILE)
        except OSError as error:
            raise _unwritable(error) from None
        return actual

    def _too_large(self, got: str) -> StartupFailure:
        return StartupFailure(Reason.MODEL_TOO_LARGE, f"the limit is {self._max_bytes} bytes, the model has {got}")


def _room(directory: Path) -> int | None:
    """The bytes that the volume has left for this user; None where it doesn't tell."""
    volume = os.statvfs(directory)
    return volume.f_bavail * volume.f_frsize if volume.f_blocks else None


def _unwritable(error: OSError) -> StartupFailure:
    return StartupFailure(Reason.MODEL_TOO_LARGE, f"the model can't be written: {error.strerror}")
