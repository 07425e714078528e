"""Finding the model's file, and telling at a glance when it is something else."""

from pathlib import Path
from typing import Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import Reason

_KNOWN: Final = (
    (b"\x89HDF\r\n", "an HDF5 file (Keras)"),
    (b"PK\x03\x04", "a zip archive (PyTorch's .pt, Keras' .keras and numpy's .npz are such)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80", "a Python pickle"),
    (b"<", "HTML or XML, perhaps an error page or a login page of the server it came from"),
    (b"{", "JSON, perhaps an error answer of the server it came from"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
)
_TAR_MAGIC: Final = slice(257, 262)
"""Where POSIX' ustar format and GNU's have theirs, in the header of the first member."""
_NEXT_STEP: Final = "the model's URI must lead to an .onnx file; check what it serves, or export the model to ONNX"


def find_model(path: Path) -> Path:
    """The .onnx file that `path` is or, alone, contains. Raises `StartupFailure` for none and for several."""
    if not path.exists():
        raise StartupFailure(Reason.MODEL_NOT_FOUND, f"{path} does not exist")
    if path.is_file():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:5]) or "none"
        raise StartupFailure(Reason.MODEL_NOT_FOUND, f"{path} must contain one .onnx file; found {names}")
    return found[0]


def refuse_other_formats(path: Path) -> None:
    """Raises `StartupFailure` if the file's first bytes belong to another format; nothing else is read."""
    try:
        with path.open("rb") as file:
            start = file.read(_TAR_MAGIC.stop)
    except OSError as error:
        raise StartupFailure(Reason.MODEL_NOT_FOUND, f"{path} can't be read: {error.strerror}") from None
    if start[_TAR_MAGIC] == b"ustar":
        raise StartupFailure(Reason.MODEL_INVALID, f"{path.name} is a tar archive; {_NEXT_STEP}")
    head = start[:32].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise StartupFailure(Reason.MODEL_INVALID, f"{path.name} is empty; {_NEXT_STEP}")
    for magic, meaning in _KNOWN:
        if head.startswith(magic):
            raise StartupFailure(Reason.MODEL_INVALID, f"{path.name} is {meaning}; {_NEXT_STEP}")


def not_onnx(path: Path, why: str) -> StartupFailure:
    """The failure for a file that ONNX Runtime refuses, with its explanation."""
    return StartupFailure(Reason.MODEL_INVALID, f"{path.name} is not a valid ONNX model: {why}; {_NEXT_STEP}")
