"""How long failed answers took, by code, whichever way their requests came."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx2
import onnx
import pytest
from uvicorn.server import ServerState

from tidegate_runtime import naming
from tidegate_runtime.errors import Overloaded
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.web.turn import HttpTurn
from tidegate_runtime.workers import tally

from .conftest import Process, serving
from .told_share import SECONDS, infer_grpc, message, sampled

LONG = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


async def test_each_of_those_that_are_refused_together_has_its_own_time() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    calls: Any = [
        SimpleNamespace(
            keep_alive=True,
            received=received,
            server_state=ServerState(),
            transport=SimpleNamespace(write=lambda _: None),
            written=lambda _: None,
        )
        for received in (1.0, 1.5, 2.0)
    ]
    model: Any = SimpleNamespace(metrics=metrics)
    HttpTurn(lambda: 3.0)._refuse_all(model, calls, Overloaded("9 requests are waiting", "QueueFull"))
    (told,) = metrics.failed_duration.values()
    assert metrics.codes == {429: 3}
    # 1, 1.5 and 2 seconds, by bounds of 0.0001 · 1.25^k: 0.94 < 1 ≤ 1.18, 1.47 < 1.5 ≤ 1.84, 1.84 < 2 ≤ 2.30.
    assert {index for index, count in enumerate(told.counts) if count} == {42, 44, 45}
    assert (sum(told.counts), told.total) == (3, 4.5)


def test_the_times_of_refusals_are_summed_over_front_ends_by_their_codes() -> None:
    def counted(**seconds: float) -> tally.Counts:
        metrics = ModelMetrics("m", "1", "cpu")
        for code, each in seconds.items():
            metrics.answered(int(code[1:]), each)
        return tally.decode(tally.encode([metrics]))[0]

    hub = ModelMetrics("m", "1", "cpu")
    hub.answered(503, 8.0)
    past = tally.merged(tally.merged({}, counted(_429=0.25)), counted(_429=0.5, _504=4.0))
    for _ in range(2):
        total = tally.total(hub, [past, counted(_429=1.0, _503=2.0), {}])
        told = {code: (sum(one.counts), one.total) for code, one in total.failed_duration.items()}
        assert told == {429: (3, 1.75), 503: (2, 10.0), 504: (1, 4.0)}
        (again,) = tally.decode_totals(tally.encode_totals([total]))
        assert again.failed_seconds == 15.75
    assert {code: one.total for code, one in hub.failed_duration.items()} == {503: 8.0}, "the hub's own don't change"


def refused(process: Process) -> None:
    """One request each by the hot way, by FastAPI, by V1 and by gRPC."""
    with httpx2.Client() as client:
        for path, body, headers in (
            ("/v2/models/m/infer", LONG, {}),
            ("/v2/models/m/infer", LONG, {"te": "trailers"}),
            ("/v1/models/m:predict", {"instances": [[1, 2, 3]]}, {}),
        ):
            assert client.post(process.url(path), json=body, headers=headers).status_code == 400
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        infer: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        asked = message()
        asked.inputs[0].shape[1] = 3
        with pytest.raises(grpc.RpcError):
            infer(asked.SerializeToString(), timeout=SECONDS)


@pytest.mark.integration
@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--grpc-transport", "grpcio"]])
def test_a_refusals_time_is_told_on_every_way(tmp_path: Path, double: onnx.ModelProto, options: list[str]) -> None:
    with serving(tmp_path, double, "--no-vetting", *options) as process:
        infer_grpc(process, {})
        for _ in range(3):  # Several front ends have some of them.
            refused(process)
        counts = sampled(process, f"{naming.FAILED_DURATION}_count", "model", "version", "code")
        assert counts == {("m", "1", "400"): 12}
        assert 0 < sampled(process, f"{naming.FAILED_DURATION}_sum", "code")["400",] < SECONDS
        assert sampled(process, f"{naming.REQUEST_DURATION}_count", "model") == {("m",): 1}
