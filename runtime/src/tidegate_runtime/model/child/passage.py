"""Tensors on their way through a slab: written at one end, read at the other.

What is found out about one combination of types and shapes, where its tensors lie and how that is written down, is
kept: a run of a known shape costs a copy and a look-up at either end.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tidegate_runtime.model.child.layout import Place, arrange, decode_strings, encode_strings, end_of, numeric_size
from tidegate_runtime.model.child.layout import pack as packed
from tidegate_runtime.model.child.layout import unpack as unpacked
from tidegate_runtime.model.child.slab import Slab, attach, create
from tidegate_runtime.tensors import Array

KEPT_SHAPES: Final = 256
"""Combinations of shapes remembered; when they are more, all are forgotten."""

Announce = Callable[[int], None]
"""Sends the descriptor of a new slab to the peer, ahead of what is described in it."""

Kinds = tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]
"""Types and shapes of some tensors."""


class Spot(NamedTuple):
    """Where tensors of certain kinds are written, and what the peer is told. A tuple: it is unpacked on every run."""

    views: tuple[Array, ...]
    description: bytes


class Outgoing:
    """The writing end; its slab is replaced by one of at least twice the size when tensors don't fit."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._slab: Slab | None = None
        self._spots: dict[Kinds, Spot] = {}

    def write(self, arrays: Sequence[Array]) -> bytes:
        """What to tell the peer about `arrays`, which lie in the slab then. Raises `OSError` if memory can't be had."""
        spot = self._spot(tuple([(array.dtype, array.shape) for array in arrays]))
        if spot is None:
            return self._write_strings(arrays)
        for view, array in zip(spot.views, arrays, strict=True):
            view[...] = array
        return spot.description

    def write_joined(self, columns: Sequence[Sequence[Array]]) -> bytes:
        """As `write` of one array for each of the columns, its arrays' rows below each other."""
        kinds = [(arrays[0].dtype, (sum(map(len, arrays)), *arrays[0].shape[1:])) for arrays in columns]
        spot = self._spot(tuple(kinds))
        if spot is None:
            return self._write_strings([np.concatenate(arrays) for arrays in columns])
        for view, arrays in zip(spot.views, columns, strict=True):
            np.concatenate(arrays, out=view)
        return spot.description

    def _spot(self, kinds: Kinds) -> Spot | None:
        """Where to write tensors of these kinds; None if there are strings among them."""
        spot = self._spots.get(kinds)
        if spot is None:
            if any(dtype.hasobject for dtype, _ in kinds):
                return None
            spot = self._placed(arrange([(dtype, shape, numeric_size(dtype, shape)) for dtype, shape in kinds]))
            if len(self._spots) >= KEPT_SHAPES:
                self._spots.clear()
            self._spots[kinds] = spot
        return spot

    def _write_strings(self, arrays: Sequence[Array]) -> bytes:
        blobs = [_blob(array) if array.dtype.hasobject else array for array in arrays]
        sizes = zip(arrays, blobs, strict=True)
        spot = self._placed(arrange([(array.dtype, array.shape, blob.nbytes) for array, blob in sizes]))
        for view, blob in zip(spot.views, blobs, strict=True):
            view[...] = blob
        return spot.description

    def _placed(self, places: tuple[Place, ...]) -> Spot:
        slab = self._slab
        if slab is None or slab.size < end_of(places):
            slab = self._grow(end_of(places))
        return Spot(tuple([slab.array(place) for place in places]), packed(places))

    def _grow(self, least_bytes: int) -> Slab:
        slab, descriptor = create(least_bytes)
        try:
            self._announce(descriptor)
        finally:
            os.close(descriptor)
        self._spots.clear()
        self._slab = slab
        return slab


class Incoming:
    """The reading end."""

    def __init__(self) -> None:
        self._slab: Slab | None = None
        self._views: dict[bytes, list[Array]] = {}

    def replace(self, descriptor: int) -> None:
        """What is described from now on lies in this slab. Raises `ValueError` or `OSError` if it can't be used."""
        self._views.clear()
        self._slab = attach(descriptor)

    @property
    def lent(self) -> bool:
        """Whether arrays that `lend` gave out are still in use, or parts of them."""
        return self._slab is not None and self._slab.lent

    def view(self, description: bytes) -> Sequence[Array]:
        """The tensors, valid until the peer writes the next ones; strings are copied.

        Raises `ValueError`, `TypeError`, `IndexError` or `struct.error` for a description of what isn't there.
        """
        views = self._views.get(description)
        if views is None:
            places = unpacked(description)
            views = self._read(places)
            if not any(place.dtype.hasobject for place in places):
                if len(self._views) >= KEPT_SHAPES:
                    self._views.clear()
                self._views[description] = views
        return views

    def lend(self, description: bytes) -> Sequence[Array]:
        """The tensors, valid for good if the peer is kept from writing while they are `lent`. Raises as `view` does."""
        return self._read(unpacked(description))

    def _read(self, places: Sequence[Place]) -> list[Array]:
        slab = self._slab
        if slab is None:
            raise ValueError("tensors are described, but there is no slab yet")
        arrays = [slab.array(place) for place in places]
        return [
            decode_strings(array.tobytes(), place.shape) if place.dtype.hasobject else array
            for place, array in zip(places, arrays, strict=True)
        ]


def _blob(strings: Array) -> Array:
    return np.frombuffer(encode_strings(strings), np.uint8)
