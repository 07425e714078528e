"""Where in its slabs a process puts what another one reads, until that one has released it. Pure.

A slab is cut into slots of one size, a power of two. A slot that is released is the next to be taken, so that the same
few pages are written again and again.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

MIN_SLOT_BYTES: Final = 8 * 1024
SLAB_BYTES: Final = 1024 * 1024
"""A slab of smaller slots; of larger ones each has a slab to itself. Pages that are never written take no memory."""

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Slabs in which nothing lies are given back while there are more bytes than this in all."""


class Region(NamedTuple):
    """A slot: its slab's number, and the bytes before it."""

    slab: int
    offset: int


@dataclass(slots=True)
class _Slots:
    size: int
    count: int
    taken: int = 0


class Arena:
    """Slabs by number, from 1 on; no number is used twice."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of all slabs."""
        self.taken = 0
        """Slots in use."""
        self._slabs: dict[int, _Slots] = {}
        self._free: dict[int, list[Region]] = {}
        self._newest = 0

    def take(self, size: int) -> Region | None:
        """A slot for `size` ≥ 1 bytes; None if there is none, and a slab comes first: `next_slab`, then `add`."""
        free = self._free.get(slot_size(size))
        if not free:
            return None
        region = free.pop()
        self._slabs[region.slab].taken += 1
        self.taken += 1
        return region

    def next_slab(self, size: int) -> tuple[int, int]:
        """The number and the bytes of the slab that `add` would count in; nothing changes."""
        slot = slot_size(size)
        return self._newest + 1, slot * slots_of(slot)

    def add(self, size: int) -> None:
        """Counts in a new slab with room for `size` bytes, which is there, and known to the other process."""
        slot = slot_size(size)
        count = slots_of(slot)
        self._newest = number = self._newest + 1
        self._slabs[number] = _Slots(slot, count)
        self._free.setdefault(slot, []).extend(Region(number, slot * index) for index in reversed(range(count)))
        self.bytes += slot * count

    def give(self, region: Region) -> bool:
        """Takes back a slot. Whether its slab is to be given back, which isn't known any more then.

        Raises `KeyError` for a slab that there isn't.
        """
        slots = self._slabs[region.slab]
        slots.taken -= 1
        self.taken -= 1
        free = self._free[slots.size]
        free.append(region)
        if slots.taken or self.bytes <= KEPT_BYTES:
            return False
        self._free[slots.size] = [kept for kept in free if kept.slab != region.slab]
        del self._slabs[region.slab]
        self.bytes -= slots.size * slots.count
        return True


def slot_size(size: int) -> int:
    """The bytes of the slot that so many lie in."""
    return max(MIN_SLOT_BYTES, 1 << (size - 1).bit_length())


def slots_of(slot: int) -> int:
    """How many slots of that size a slab has."""
    return max(1, SLAB_BYTES // slot)
