"""Which device each of several models is put on, and in which process."""

import asyncio
from pathlib import Path

import onnxruntime as ort
import pytest

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.hosting import Host
from tidegate_runtime.model.device import DeviceOptions
from tidegate_runtime.model.store import StoredModels
from tidegate_runtime.placing import Placement
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service

from .stored_models import Repository, times

LIMITS = Limits(32, 0.005, 64, 65536, 30.0)
without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="what a build without CUDA refuses"
)
pytestmark = [pytest.mark.integration, without_cuda]


def config(kind: str) -> str:
    return f"instance_group [ {{ count: 1 kind: {kind} }} ]" if kind else "max_batch_size: 4"


@pytest.mark.parametrize(
    ("server", "kind", "device"),
    [
        ("cpu", "KIND_GPU", "cuda"),
        ("cuda", "KIND_GPU", "cuda"),
        ("tensorrt", "KIND_GPU", "tensorrt"),
        ("tensorrt", "", "tensorrt"),
        ("cuda", "", "cuda"),
    ],
)
async def test_a_gpu_is_refused_by_the_process_that_was_to_own_it(
    server: str, kind: str, device: str, tmp_path: Path
) -> None:
    Repository(tmp_path).put("double", 1, times(2), config(kind))
    service = Service(LIMITS, asyncio.get_running_loop().time)
    host = Host(service, StoredModels(tmp_path), Placement(server, 1, False), lambda: None)
    pids = []
    host.changed = lambda: pids.append(host.engine_pid)
    with pytest.raises(StartupFailure, match=f"use the image variant for {device}") as failure:
        await host.start()
    assert failure.value.reason == "DeviceUnavailable"
    assert [known.metrics.device for known in service.index()] == [device]
    assert any(pids), "it was tried in a process of its own, though the server isn't told to isolate"
    await host.close()


async def test_options_of_the_server_s_gpu_are_not_held_against_a_model_on_the_cpu(tmp_path: Path) -> None:
    Repository(tmp_path).put("double", 1, times(2), config("KIND_CPU"))
    service = Service(LIMITS, asyncio.get_running_loop().time)
    placement = Placement("cuda", 1, False, options=DeviceOptions(graph_bytes=1 << 20))
    host = Host(service, StoredModels(tmp_path), placement, lambda: None)
    await host.start()
    assert [known.metrics.device for known in service.index()] == ["cpu"]
    await service.close()
    await host.close()
