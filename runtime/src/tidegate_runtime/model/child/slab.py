"""Memory that one process writes and another reads: a memfd, mapped by both.

The one that writes makes it and sends its descriptor. Sealed, it can't be cut short, so that no access to it faults,
whatever becomes of the peer; each side's mapping lives as long as an array that lies in it, also beyond the peer's end.
"""

import fcntl
import mmap
import os
import sys
from typing import Any, Final

import numpy as np

from tidegate_runtime.model.child.layout import Place
from tidegate_runtime.tensors import Array

MIN_BYTES: Final = 64 * 1024

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Slab:
    """A mapping of the memory. The descriptor isn't needed any more once both sides have it mapped.

    Before Python 3.13 the mapping keeps a duplicate of it open as long as it lives, so that each slab takes one of the
    files that a process may have open.
    """

    __slots__ = ("_idle", "_memory", "root", "size")

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self.size = len(memory)
        self.root: Array = np.frombuffer(memory, np.uint8)
        self._idle = sys.getrefcount(self.root)

    @property
    def lent(self) -> bool:
        """Whether there is an array that lies here, or a view of one: each keeps a reference to the root, its base."""
        return sys.getrefcount(self.root) > self._idle

    def array(self, place: Place) -> Array:
        """The tensor at `place`, not copied; of strings, the bytes. Raises `ValueError` or `TypeError` beyond it."""
        if place.dtype.hasobject:
            return np.ndarray((place.size,), np.uint8, self.root, place.offset)
        dtype: np.dtype[Any] = place.dtype
        return np.ndarray(place.shape, dtype, self.root, place.offset)

    def part(self, offset: int, size: int) -> Array:
        """Some of its bytes, apart from the root: what lies there keeps them, and not what else is lent.

        Raises `ValueError` beyond its end.
        """
        return np.frombuffer(self._memory, np.uint8, size, offset)


def create(least_bytes: int) -> tuple[Slab, int]:
    """A new slab to write to, and its descriptor, the caller's to close: the next power of two, 64 KiB at the least.

    Raises `OSError` if the memory can't be had.
    """
    size = max(MIN_BYTES, 1 << (least_bytes - 1).bit_length())
    descriptor = sealed("tidegate-tensors", size)
    try:
        return Slab(mmap.mmap(descriptor, size)), descriptor
    except BaseException:
        os.close(descriptor)
        raise


def sealed(name: str, size: int) -> int:
    """The descriptor of new memory that stays as large as it is, whoever has it; the caller's to close.

    Raises `OSError` if it can't be had.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def attach(descriptor: int) -> Slab:
    """The peer's slab, to read from; closes `descriptor`. Raises `ValueError` if the peer could still cut it short."""
    try:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK == 0:
            raise ValueError("a slab must be sealed against shrinking")
        return Slab(mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ))
    finally:
        os.close(descriptor)
