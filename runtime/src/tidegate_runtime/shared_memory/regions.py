"""The regions of shared memory that clients have registered, and the tensors in them.

All is done at once, on the event loop: an input is copied out before its request is admitted, an output in when it is
there. So a region may be unregistered at any time, and nothing that runs ever looks at memory that its client changes.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate_runtime.errors import (
    AlreadyExists,
    BodyTooLarge,
    InvalidRequest,
    InvalidTensor,
    NotFound,
    NotServed,
)
from tidegate_runtime.protocol.binary_tensors import array_of, blob_of
from tidegate_runtime.protocol.parameters import MAX_REGION_NAME
from tidegate_runtime.protocol.shared_tensors import MAX_SIZE
from tidegate_runtime.shared_memory.segment import DIRECTORY, CutShort, Segment, open_segment
from tidegate_runtime.tensors import Array, Feeds, RequestedOutput, SharedSlice, SharedTensor, Tensor

logger = logging.getLogger(__name__)

OFF: Final = "shared memory is not served: start the server with --shared-memory-bytes, or send tensors in the request"
CUDA: Final = "CUDA shared memory is not served; use system shared memory, or send tensors in the request"

MAX_REGIONS: Final = 1024
"""Each is an open file of this process."""


@dataclass(frozen=True, slots=True)
class Region:
    """What was registered: `size` bytes from `offset` on of the object with that key."""

    name: str
    key: str
    offset: int
    size: int


class Regions:
    """Regions by name, of at most `max_bytes` together. All is called from the event loop."""

    def __init__(self, max_bytes: int, max_regions: int = MAX_REGIONS, directory: str = DIRECTORY) -> None:
        self._max_bytes = max_bytes
        self._max_regions = max_regions
        self._directory = directory
        self._known: dict[str, tuple[Region, Segment]] = {}

    def register(self, region: Region) -> None:
        """Opens the region's object. Raises `InvalidRequest`, `AlreadyExists`."""
        _check(region)
        known = self._known
        if region.name in known:
            raise AlreadyExists(f'region "{region.name}" is registered already; unregister it first')
        if len(known) >= self._max_regions:
            raise InvalidRequest(f"{len(known)} regions are registered, which is the limit; unregister some")
        left = self._max_bytes - sum(each.size for each, _ in known.values())
        if region.size > left:
            raise InvalidRequest(
                f'"byte_size" is {region.size}, but of the {self._max_bytes} bytes that --shared-memory-bytes allows '
                f"all regions together {left} are left"
            )
        segment = open_segment(region.key, self._directory)
        size = segment.size
        if region.offset + region.size > size:
            segment.close()
            raise InvalidRequest(
                f'"offset" {region.offset} and "byte_size" {region.size} reach beyond the {size} bytes that "key" has'
            )
        known[region.name] = (region, segment)
        logger.info("shared memory registered", extra={"region": region.name, "bytes": region.size})

    def unregister(self, name: str) -> None:
        """Forgets that region; none of that name is as good."""
        known = self._known.pop(name, None)
        if known is not None:
            known[1].close()
            logger.info("shared memory unregistered", extra={"region": name})

    def unregister_all(self) -> None:
        """Forgets all of them."""
        for name in [*self._known]:
            self.unregister(name)

    def status(self, name: str = "") -> list[Region]:
        """That region, or without a name all of them, in the order of registration. Raises `NotFound`."""
        if not name:
            return [region for region, _ in self._known.values()]
        if name not in self._known:
            raise NotFound(f'no region "{name}" is registered')
        return [self._known[name][0]]

    def known(self) -> Mapping[str, tuple[Region, Segment]]:
        """All of them with their objects, by name."""
        return self._known

    def show(self, known: Mapping[str, tuple[Region, Segment]]) -> None:
        """Takes over all that another process of this server has registered; what isn't among it is closed."""
        for name, (_, segment) in self._known.items():
            if name not in known or known[name][1] is not segment:
                segment.close()
        self._known = dict(known)

    def check_outputs(self, wanted: Iterable[RequestedOutput] | None) -> None:
        """Raises `InvalidRequest` for an output whose place isn't within a region."""
        for output in wanted or ():
            if output.place is not None:
                self._find(output.place, f'output "{output.name}"')

    def read(self, inputs: Iterable[Tensor], feeds: Feeds, max_bytes: int) -> Feeds:
        """`feeds` with the elements of the inputs that are in shared memory, copied.

        Raises `InvalidRequest` for what isn't within a region, isn't there any more, or isn't the input's datatype;
        `BodyTooLarge` for more than `max_bytes`, which are all copied before a single request is admitted.
        """
        shared = [tensor for tensor in inputs if isinstance(tensor, SharedTensor)]
        size = sum(tensor.place.size for tensor in shared)
        if size > max_bytes:
            raise BodyTooLarge(
                f"the inputs in shared memory have {size} bytes; the limit is {max_bytes}, so send fewer rows at once"
            )
        return {**feeds, **{tensor.name: self._read(tensor) for tensor in shared}}

    def write(self, tensors: Sequence[Tensor], wanted: Sequence[RequestedOutput]) -> tuple[Tensor, ...]:
        """`tensors`, which are `wanted` in that order; each is written to its place, if it has one.

        Raises `InvalidRequest` for one that its place doesn't hold; then none is written, unless a region is cut short
        meanwhile.
        """
        self.check_outputs(wanted)  # What was registered when the request came may not be any more.
        blobs = [
            None if output.place is None else _fitting(tensor, output.place)
            for tensor, output in zip(tensors, wanted, strict=True)
        ]
        return tuple(
            [
                tensor if blob is None or output.place is None else self._write(tensor, blob, output.place)
                for tensor, blob, output in zip(tensors, blobs, wanted, strict=True)
            ]
        )

    def _read(self, tensor: SharedTensor) -> Array:
        where = f'input "{tensor.name}"'
        place = tensor.place
        region, segment = self._find(place, where)
        data = np.empty(place.size, np.uint8).data
        try:
            segment.read(region.offset + place.offset, data)
        except (CutShort, OSError) as error:
            raise _lost(where, place, error) from None
        return array_of(data, tensor.array.shape, tensor.datatype, where)

    def _write(self, tensor: Tensor, blob: bytes | memoryview, place: SharedSlice) -> SharedTensor:
        where = f'output "{tensor.name}"'
        region, segment = self._find(place, where)
        try:
            segment.write(region.offset + place.offset, blob)
        except (CutShort, OSError) as error:
            raise _lost(where, place, error) from None
        written = SharedSlice(place.region, place.offset, len(blob))
        return SharedTensor(tensor.name, tensor.datatype, tensor.array, written)

    def _find(self, place: SharedSlice, where: str) -> tuple[Region, Segment]:
        known = self._known.get(place.region)
        if known is None:
            raise InvalidRequest(f'{where}: no region "{place.region}" is registered; register it first')
        size = known[0].size
        if place.offset + place.size > size:
            raise InvalidRequest(
                f'{where}: "shared_memory_offset" {place.offset} and "shared_memory_byte_size" {place.size} reach '
                f'beyond the {size} bytes of region "{place.region}"'
            )
        return known


def served(regions: Regions | None) -> Regions:
    """The regions, where they are served. Raises `NotServed`."""
    if regions is None:
        raise NotServed(OFF)
    return regions


def _check(region: Region) -> None:
    if not 1 <= len(region.name) <= MAX_REGION_NAME:
        raise InvalidRequest(f"a region's name must have 1 to {MAX_REGION_NAME} characters")
    for field, value, least in (("offset", region.offset, 0), ("byte_size", region.size, 1)):
        if not least <= value <= MAX_SIZE:
            raise InvalidRequest(f'"{field}" must be an integer from {least} to 2^48')


def _fitting(tensor: Tensor, place: SharedSlice) -> bytes | memoryview:
    blob = blob_of(tensor.array, tensor.datatype)
    if len(blob) > place.size:
        raise InvalidTensor(
            f'output "{tensor.name}" of shape {list(tensor.array.shape)} takes {len(blob)} bytes, '
            f'"shared_memory_byte_size" is {place.size}'
        )
    return blob


def _lost(where: str, place: SharedSlice, error: CutShort | OSError) -> InvalidTensor:
    if isinstance(error, OSError):
        return InvalidTensor(f'{where}: region "{place.region}" can\'t be used: {error.strerror}')
    return InvalidTensor(
        f'{where}: the shared memory of region "{place.region}" was cut short after it was registered; '
        "unregister it, and register one of the right size"
    )
