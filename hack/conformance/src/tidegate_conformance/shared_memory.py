"""System shared memory of this host: objects that checks make, and regions of them that the server is told of."""

import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Final
from urllib.parse import urlsplit

from tidegate_conformance.expect import Skip
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rpc.messages import message
from tidegate_conformance.subject import Subject

EXTENSION: Final = "system_shared_memory"
PATH: Final = "/v2/systemsharedmemory"
REGION: Final = "shared_memory_region"
BYTES: Final = "shared_memory_byte_size"
OFFSET: Final = "shared_memory_offset"
OTHER_HOST: Final = "shared memory needs the server on this host"

Place = Mapping[str, str | int]
"""The parameters of a tensor that say where it is."""


@dataclass(frozen=True, slots=True)
class Region:
    """`size` bytes of an object in shared memory, from its byte `offset` on, and the name that a server knows them by.

    The object is filled with ones, so that zeros that a server writes are seen.
    """

    name: str
    key: str
    offset: int
    size: int
    _object: memoryview

    def put(self, data: bytes, at: int = 0) -> None:
        """Writes `data`, `at` bytes into the region."""
        self._object[self.offset + at : self.offset + at + len(data)] = data

    def get(self, size: int, at: int = 0) -> bytes:
        """What is there, `at` bytes into the region."""
        return bytes(self._object[self.offset + at : self.offset + at + size])

    def whole(self) -> bytes:
        """What the object holds, in the region and outside."""
        return bytes(self._object)

    def place(self, size: int, at: int = 0) -> dict[str, str | int]:
        """The parameters of a tensor of `size` bytes, `at` bytes into the region."""
        place: dict[str, str | int] = {REGION: self.name, BYTES: size}
        return place | {OFFSET: at} if at else place


def on_this_host(url: str) -> bool:
    """Whether `url` leads to an address of this machine, which is one that a socket can be bound to."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_bind(family, address) for family, _, _, _, address in found)


def _can_bind(family: int, address: tuple[str | int | bytes, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


@contextmanager
def unregistered(subject: Subject, size: int, *, offset: int = 0, beyond: int = 0) -> Iterator[Region]:
    """A region that the server isn't told of, and behind it `beyond` further bytes of its object.

    Raises `Skip` where the server can't see it, since it is on another host.
    """
    if not on_this_host(subject.endpoint.rest):
        raise Skip(OTHER_HOST)
    memory = SharedMemory(create=True, size=offset + size + beyond)
    try:
        assert memory.buf is not None
        with memory.buf[:] as view:
            view[:] = b"\xff" * len(view)
            yield Region(f"conformance-{uuid.uuid4().hex[:12]}", f"/{memory.name.lstrip('/')}", offset, size, view)
    finally:
        memory.close()
        memory.unlink()


@contextmanager
def registered(subject: Subject, size: int, *, offset: int = 0, beyond: int = 0) -> Iterator[Region]:
    """A region that the server knows while this lasts.

    It is told over REST or, where nothing administers by that, over gRPC. Raises as `unregistered`, and `Skip` where
    it can't be told.
    """
    with unregistered(subject, size, offset=offset, beyond=beyond) as region:
        if subject.endpoint.admin:
            register(subject, region).opened()
        else:
            request = message("inference.SystemSharedMemoryRegisterRequest", **fields(region))
            subject.rpc.offered("SystemSharedMemoryRegister", request)
        try:
            yield region
        finally:
            forget(subject, region)


def register(subject: Subject, region: Region, **changes: object) -> Answer:
    """What the server answers on REST when it is told of the region, with `changes` to what is said of it."""
    told = {"key": region.key, "offset": region.offset, "byte_size": region.size} | changes
    return subject.admin.post(f"{PATH}/region/{region.name}/register", told)


def forget(subject: Subject, region: Region) -> None:
    """Has the server forget the region, whether it knows it or not."""
    if subject.endpoint.admin:
        subject.admin.post(f"{PATH}/region/{region.name}/unregister", b"")
    else:
        request = message("inference.SystemSharedMemoryUnregisterRequest", name=region.name)
        subject.rpc.offered("SystemSharedMemoryUnregister", request)


def fields(region: Region) -> dict[str, str | int]:
    """The region as both its registration over gRPC and its status have it."""
    return {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.size}
