"""Shared memory with several front ends: what is registered at any of their ports holds for all of them."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton_grpc

from tidegate_runtime.shared_memory.regions import Region, Regions
from tidegate_runtime.workers.link import Link
from tidegate_runtime.workers.mirror import Mirror
from tidegate_runtime.workers.snapshot import Snapshot, encode
from tidegate_runtime.workers.uplink import Uplink

from .conftest import Process, wait_until_ready
from .hub_ends import LIMITS, ends
from .test_front_ends import front_ends_of, metric, until

SHM = Path("/dev/shm")
SIZE = 256
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
REGION, BYTES, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
BODY = {
    "inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {REGION: "r", BYTES: 32}}],
    "outputs": [{"name": "y", "parameters": {REGION: "r", BYTES: 32, OFFSET: 128}}],
}


@pytest.fixture
def key() -> Iterator[str]:
    """Of an object of 256 bytes that begins with `ROWS`."""
    name = f"tidegate-test-{uuid.uuid4().hex}"
    (SHM / name).write_bytes(ROWS.tobytes() + bytes(SIZE - ROWS.nbytes))
    yield f"/{name}"
    (SHM / name).unlink()


def output(key: str) -> Any:
    return np.frombuffer((SHM / key[1:]).read_bytes()[128:160], np.float32).reshape(2, 4)


def administer(url: Callable[[str], str], path: str, **body: Any) -> int:
    return httpx2.post(url(f"/v2/systemsharedmemory/{path}"), json=body, timeout=30).status_code


def codes(process: Process, connections: int = 12) -> set[int]:
    """What that many clients are answered, who are spread over the front ends."""
    clients = [httpx2.Client(timeout=30) for _ in range(connections)]
    try:
        return {client.post(process.url("/v2/models/m/infer"), json=BODY).status_code for client in clients}
    finally:
        for client in clients:
            client.close()


@pytest.mark.integration
@pytest.mark.asyncio
@pytest.mark.parametrize("on_data_port", [False, True], ids=["administration port", "data port"])
async def test_regions_hold_for_every_front_end_and_for_those_that_come_after(
    serve: Callable[..., Any], double: onnx.ModelProto, key: str, on_data_port: bool
) -> None:
    opened = ("--admin-on-data-port",) if on_data_port else ()
    with serve(double, "--workers", "2", "--shared-memory-bytes", "4096", *opened) as process:
        url = process.url if on_data_port else process.admin_url
        assert codes(process) == {400}, "nothing is registered"
        assert administer(url, "region/r/register", key=key, byte_size=SIZE) == 200
        assert codes(process) == {200}
        assert np.array_equal(output(key), 2 * ROWS)
        assert administer(url, "region/r/register", key=key, byte_size=SIZE) == 400
        extensions = httpx2.get(process.url("/v2")).json()["extensions"]
        assert "system_shared_memory" in extensions
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client:
            given = triton_grpc.InferInput("x", [2, 4], "FP32")
            given.set_shared_memory("r", 32)
            got = client.infer("m", [given]).as_numpy("y")
            assert np.array_equal(got, 2 * ROWS)

        for pid in front_ends_of(process):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(front_ends_of(process)) == 2)
        while await metric(process, "tidegate_front_ends") != 2:
            pass
        wait_until_ready(process)
        assert codes(process) == {200}, "those that were started again know it, too"

        assert administer(url, "unregister") == 200
        assert codes(process) == {400}
        (SHM / key[1:]).unlink()
        (SHM / key[1:]).write_bytes((3 * ROWS).tobytes() + bytes(SIZE - ROWS.nbytes))
        assert administer(url, "region/r/register", key=key, byte_size=SIZE) == 200
        assert codes(process) == {200}
        assert np.array_equal(output(key), 6 * ROWS), "the object that there is now, of the same name and key"


class Sharing(Mirror):
    """A front end's service that shares memory."""

    def __init__(self, uplink: Uplink) -> None:
        super().__init__(LIMITS, uplink, uplink.let_go)
        self.regions = Regions(4096)


async def told(link: Link, regions: Regions, numbers: dict[str, int], turn: int) -> None:
    """Has the front end know these, and returns once it does."""
    known = regions.known()
    handed = {numbers[name]: segment.descriptor for name, (_, segment) in known.items()}
    listed = tuple((numbers[name], region) for name, (region, _) in known.items())
    link.tell(turn, {}, encode(Snapshot((), started=True, draining=False, regions=listed)), handed)
    await link.shows(turn)


@pytest.mark.asyncio
async def test_a_front_end_has_the_hubs_regions_and_no_object_of_others_stays_open(key: str) -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        service = Sharing(uplink)
        uplink.on_models = lambda snapshot: service.show(snapshot, uplink.handed)
        regions = Regions(4096)
        opened = len(os.listdir("/proc/self/fd"))
        regions.register(Region("a", key, 0, 16))
        regions.register(Region("b", key, 16, 16))
        await told(made.link, regions, {"a": 1, "b": 2}, 2)
        assert service.regions is not None
        assert service.regions.status() == regions.status()
        assert len(os.listdir("/proc/self/fd")) == opened + 4
        regions.unregister("a")
        regions.register(Region("a", key, 32, 16))
        await told(made.link, regions, {"a": 3, "b": 2}, 3)
        assert service.regions.status("a") == [Region("a", key, 32, 16)]
        assert len(os.listdir("/proc/self/fd")) == opened + 4
        regions.unregister_all()
        await told(made.link, regions, {}, 4)
        assert service.regions.status() == []
        assert len(os.listdir("/proc/self/fd")) == opened
        uplink.end()
