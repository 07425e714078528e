"""Tensors on their way between a front end and the hub: laid down by one, read in place by the other, then released.

Many requests are on their way at a time, so each has a place of its own. It is released when the last array that lies
in it is gone, wherever that happens; small tensors travel in the packet, where nothing has to be released.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from weakref import ref

import numpy as np

from tidegate_runtime.errors import ExecutionFailed, Overloaded
from tidegate_runtime.model.child.layout import (
    Place,
    arrange,
    decode_strings,
    encode_strings,
    end_of,
    numeric_size,
    pack,
    unpack,
)
from tidegate_runtime.model.child.slab import Slab, attach, create
from tidegate_runtime.tensors import Array
from tidegate_runtime.workers.arena import Arena, Region
from tidegate_runtime.workers.records import MAX_TEXT_BYTES, Cargo

PACKET_TENSOR_BYTES: Final = 4096
"""Tensors of at most so many bytes in all travel in the packet, which is quicker than to keep account of them."""

MAX_SLAB_BYTES: Final = 1024 * 1024 * 1024
"""What the slabs of one end may have in all: twice the bytes that may wait in a queue."""

PACKET_STACK_BYTES: Final = 16 * 1024
"""The same for tensors of several requests, of which each has at most `PACKET_TENSOR_BYTES`."""

KEPT_SHAPES: Final = 1024
"""Combinations of shapes remembered; when they are more, all are forgotten."""

_Kinds = tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]


class _Layout(NamedTuple):
    places: tuple[Place, ...]
    size: int
    description: bytes


class Outgoing:
    """The writing end."""

    def __init__(self, announce: Callable[[int, int], None], dropped: Callable[[int], None]) -> None:
        """`announce` tells the peer of a new slab by its number and its descriptor, `dropped` of one that has gone."""
        self._announce = announce
        self._dropped = dropped
        self._arena = Arena()
        self._slabs: dict[int, Slab] = {}
        self._layouts: dict[_Kinds, _Layout] = {}

    @property
    def lent(self) -> int:
        """How many places the peer has not released."""
        return self._arena.taken

    @property
    def held_bytes(self) -> int:
        """Of all slabs there are, whatever lies in them."""
        return self._arena.bytes

    def write(self, arrays: Sequence[Array], most: int = PACKET_TENSOR_BYTES) -> Cargo:
        """What to tell the peer about `arrays`, which are copied; up to `most` bytes of them travel in the packet.

        Raises `Overloaded` if what the peer still reads leaves no room for them, `OSError` if memory can't be had.
        """
        kinds = tuple([(array.dtype, array.shape) for array in arrays])
        layout = self._layouts.get(kinds)
        if layout is None:
            layout, arrays = self._arranged(kinds, arrays)
        if layout.size <= most:
            return Cargo(layout.description, 0, 0, layout.size, _joined(layout, arrays))
        region = self._arena.take(layout.size) or self._grown(layout.size)
        cargo = Cargo(layout.description, region.slab, region.offset, layout.size)
        try:
            slab = self._slabs[region.slab]
            for place, array in zip(layout.places, arrays, strict=True):
                slab.array(place._replace(offset=region.offset + place.offset))[...] = array
        except BaseException:
            self.take_back(cargo)
            raise
        return cargo

    def take_back(self, cargo: Cargo) -> None:
        """What was written, and the peer hasn't been told of, isn't sent: its place is free again."""
        if cargo.slab:
            self.released(cargo.slab, cargo.offset)

    def released(self, slab: int, offset: int) -> None:
        """The peer doesn't read there any more. Raises `KeyError` for a slab that there isn't."""
        if self._arena.give(Region(slab, offset)):
            del self._slabs[slab]
            self._dropped(slab)

    def _arranged(self, kinds: _Kinds, arrays: Sequence[Array]) -> tuple[_Layout, Sequence[Array]]:
        if any(dtype.hasobject for dtype, _ in kinds):
            blobs = [_blob(array) if array.dtype.hasobject else array for array in arrays]
            places = arrange([(*kind, blob.nbytes) for kind, blob in zip(kinds, blobs, strict=True)])
            return _layout(places), blobs
        layout = _layout(arrange([(dtype, shape, numeric_size(dtype, shape)) for dtype, shape in kinds]))
        if len(self._layouts) >= KEPT_SHAPES:
            self._layouts.clear()
        self._layouts[kinds] = layout
        return layout, arrays

    def _grown(self, size: int) -> Region:
        if self._arena.bytes + size > MAX_SLAB_BYTES and self._arena.taken:
            raise Overloaded(f"the requests that wait hold {self._arena.bytes} bytes; try again later", "QueueBytes")
        number, slab_bytes = self._arena.next_slab(size)
        slab, descriptor = create(slab_bytes)
        try:
            self._announce(number, descriptor)
        finally:
            os.close(descriptor)
        # Not before: places in what can't be had, or the peer doesn't know, would be given to whoever comes next.
        self._slabs[number] = slab
        self._arena.add(size)
        region = self._arena.take(size)
        assert region is not None
        return region


class Incoming:
    """The reading end. `released` is called with a place once nothing is read there any more, from any thread."""

    def __init__(self, released: Callable[[int, int], None]) -> None:
        self._released = released
        self._slabs: dict[int, Slab] = {}
        self._read: dict[tuple[int, int], ref[Array]] = {}
        self._places: dict[bytes, tuple[Place, ...]] = {}

    def attach(self, number: int, descriptor: int) -> None:
        """What lies in slab `number` lies there. Raises `ValueError` or `OSError` if it can't be used."""
        self._slabs[number] = attach(descriptor)

    def drop(self, number: int) -> None:
        """Nothing lies in that slab any more. Raises `KeyError` for one that there isn't."""
        del self._slabs[number]

    def close(self) -> None:
        """The peer is gone: nothing is released any more. What is still read stays valid."""
        self._read.clear()
        self._slabs.clear()

    def arrays(self, packet: bytes, cargo: Cargo) -> list[Array]:
        """The tensors, not copied, but for strings.

        Raises `KeyError`, `ValueError`, `TypeError`, `IndexError` or `struct.error` for a description of what isn't
        there.
        """
        places = self._places.get(cargo.description)
        if places is None:
            places = self._unpacked(cargo.description)
        if not cargo.slab:
            return [_array(place, packet, cargo.offset) for place in places]
        # Of its own for each request: what lies there refers to it as its base, a part of it, too, and so keeps it.
        root = self._slabs[cargo.slab].part(cargo.offset, cargo.size)
        key = cargo.slab, cargo.offset
        self._read[key] = ref(root, lambda _: self._gone(key))
        return [_array(place, root, 0) for place in places]

    def _gone(self, key: tuple[int, int]) -> None:
        if self._read.pop(key, None) is not None:
            self._released(*key)

    def _unpacked(self, description: bytes) -> tuple[Place, ...]:
        places = unpack(description)
        if not any(place.dtype.hasobject for place in places):
            if len(self._places) >= KEPT_SHAPES:
                self._places.clear()
            self._places[description] = places
        return places


def _layout(places: tuple[Place, ...]) -> _Layout:
    description = pack(places)
    if len(description) > MAX_TEXT_BYTES:
        raise ExecutionFailed(f"{len(places)} tensors are too many for several front ends; give --workers 1")
    return _Layout(places, end_of(places), description)


def _joined(layout: _Layout, arrays: Sequence[Array]) -> bytes:
    if len(arrays) == 1:
        return arrays[0].tobytes()
    parts, end = [], 0
    for place, array in zip(layout.places, arrays, strict=True):
        parts.append(bytes(place.offset - end))
        parts.append(array.tobytes())
        end = place.offset + place.size
    return b"".join(parts)


def _array(place: Place, memory: bytes | Array, base: int) -> Array:
    if place.dtype.hasobject:
        raw = np.ndarray((place.size,), np.uint8, memory, base + place.offset)
        return decode_strings(raw.tobytes(), place.shape)
    return np.ndarray(place.shape, place.dtype, memory, base + place.offset)


def _blob(strings: Array) -> Array:
    return np.frombuffer(encode_strings(strings), np.uint8)
