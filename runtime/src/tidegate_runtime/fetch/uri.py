"""What a model's URI means. Pure."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import Reason

MAX_LENGTH: Final = 2048


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A GET, over TLS or not."""

    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """A path on this machine."""

    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class PvcSource:
    """A path in a PersistentVolumeClaim, relative to where the claim is mounted."""

    claim: str
    path: PurePosixPath


Source = HttpSource | FileSource | PvcSource


def parse(uri: str) -> Source:
    """The source that `uri` names. Raises `StartupFailure` with `ModelURIForbidden`, saying what isn't allowed."""
    parts = _split(uri)
    path = PurePosixPath(unquote(parts.path))
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise forbidden("the host is missing")
        return HttpSource(uri)
    if parts.query or parts.fragment:
        raise forbidden(f"{parts.scheme}: URIs have no query and no fragment; encode ? and # in names")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not path.is_absolute():
            raise forbidden("file: URIs are file:///absolute/path")
        return FileSource(path)
    if parts.scheme == "pvc":
        relative = PurePosixPath(*path.parts[1:])
        if not parts.netloc or not relative.parts or ".." in relative.parts:
            raise forbidden('pvc: URIs are pvc://claim/path, without ".."')
        return PvcSource(parts.netloc, relative)
    raise forbidden(f"scheme {parts.scheme[:16]!r} is none of http, https, file, pvc")


def _split(uri: str) -> SplitResult:
    if len(uri) > MAX_LENGTH or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        raise forbidden(f"a URI is at most {MAX_LENGTH} printable ASCII characters without spaces and backslashes")
    try:
        parts = urlsplit(uri)
        _ = parts.port  # parsed on access
    except ValueError as error:
        raise forbidden(f"not a URI: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise forbidden("credentials don't belong in a URI")
    return parts


def forbidden(message: str) -> StartupFailure:
    """The failure for a URI that isn't allowed."""
    return StartupFailure(Reason.MODEL_URI_FORBIDDEN, message)
