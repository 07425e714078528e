"""What people are told of a model's CUDA graphs: metadata and metric."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tidegate_runtime import naming
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.describing import configuration
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.graph_policy import NO_GRAPHS, Graphs
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec
from tidegate_runtime.web.exposition import ModelCollector

SPECS = (TensorSpec("x", Datatype.FP32, ("N", 2)),)


class Idle:
    """An engine that is never asked."""

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    def interrupt(self) -> None: ...


@pytest.mark.parametrize(
    ("device", "graphs", "told", "sample"),
    [
        ("cuda", Graphs((1, 2, 4)), "batches of 1, 2, 4", 'reason="",version="1"} 3.0'),
        (
            "cuda",
            Graphs((1,), "memory ended the ladder below 2 rows"),
            "batches of 1: memory ended the ladder below 2 rows",
            'reason="memory ended the ladder below 2 rows",version="1"} 1.0',
        ),
        ("tensorrt", Graphs((), "TensorRT has its own"), "none: TensorRT has its own", 'version="1"} 0.0'),
        ("cpu", NO_GRAPHS, None, None),
    ],
)
async def test_graphs_and_their_obstacles_are_named(
    device: str, graphs: Graphs, told: str | None, sample: str | None
) -> None:
    service = Service(Limits(8, 0.0, 64, 65536, 30.0), asyncio.get_running_loop().time)
    service.expect("m", "1", device)
    service.open("m", "1", Loaded(Signature(SPECS, SPECS), Verdict(True, "proved"), Idle(), graphs=graphs))
    parameters: dict[str, Any] = configuration(service.model("m", None))["parameters"]
    assert parameters.get("graphs", {}).get("string_value") == told
    registry = CollectorRegistry()
    registry.register(ModelCollector(lambda: [known.metrics for known in service.index()]))
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.startswith(naming.CUDA_GRAPHS)]
    assert sample is None or lines[0].endswith(sample)
    assert len(lines) == (sample is not None)
    await service.close()
