"""One POSIX shared memory object, opened by its key, read and written by copies.

It is never mapped: its owner may cut it short at any time, and to touch a mapped page that is gone is SIGBUS, which
ends the process. `pread` comes back short instead, which is one request's failure (docs/adr/0015).
"""

import os
import stat
from typing import Final

from tidegate_runtime.errors import InvalidRequest

DIRECTORY: Final = "/dev/shm"
MAX_KEY_BYTES: Final = 255
"""`NAME_MAX`."""

_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Neither a link to elsewhere is followed, nor a pipe waited for."""


class CutShort(Exception):
    """The object ends before what was to be read or written."""


class Segment:
    """An open object. `close` lets go of it, and with it, if nobody else has it, of the memory."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Final = descriptor
        """Its own, to be passed on to another process of this server while it is open."""

    @property
    def size(self) -> int:
        """At this moment, in bytes."""
        return os.fstat(self.descriptor).st_size

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fills the buffer from `offset` on. Raises `CutShort`, `OSError`."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.descriptor, [buffer[done:]], offset + done)
            if count == 0:
                raise CutShort
            done += count

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Writes all of it from `offset` on. Raises `CutShort` rather than let the object grow, `OSError`."""
        if offset + len(data) > self.size:
            raise CutShort
        view, done = memoryview(data), 0
        while done < len(view):
            done += os.pwrite(self.descriptor, view[done:], offset + done)

    def close(self) -> None:
        """Once; nothing is read or written after it."""
        os.close(self.descriptor)


def open_segment(key: str, directory: str = DIRECTORY) -> Segment:
    """The object of that key, which is one name with or without a slash before it, as the C library takes it.

    Raises `InvalidRequest` for any other key, and for what isn't there, may not be read and written, or isn't a plain
    file.
    """
    name = _name(key)
    try:
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = os.open(name, _FLAGS, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise InvalidRequest(f'"key" can\'t be opened to be read and written: {error.strerror}') from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidRequest('"key" names no shared memory object, but something else of that name')
    return Segment(descriptor)


def _name(key: str) -> str:
    name = key.removeprefix("/")
    if "/" in name or "\0" in name or name in {"", ".", ".."}:
        raise InvalidRequest(
            '"key" must be the name of a POSIX shared memory object: a slash and one name, such as "/input"'
        )
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidRequest('"key" is not UTF-8') from None
    if length > MAX_KEY_BYTES:
        raise InvalidRequest(f'"key" has {length} bytes; the limit is {MAX_KEY_BYTES}')
    return name
