"""Calls of a real gRPC server: answers, and the bad-input table, one test per row."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from grpc import Compression, StatusCode, aio

from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.methods import BothStream, ServerStream, methods
from tidegate_runtime.rpc.protos import health_pb2, reflection_pb2
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.servicer import Servicer

from .rpc_client import TRANSPORTS, WAIT_SECONDS, Peer, firsts, peer, rows, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@pytest.fixture(autouse=True, params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "transport", request.param)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Peer]:
    async with peer() as made:
        yield made


async def failure(call: Any) -> aio.AioRpcError:
    """How the call failed, with a message that says nothing of this machine."""
    with pytest.raises(aio.AioRpcError) as error:
        await call
    details = error.value.details() or ""
    assert not any(leak in details for leak in ("Traceback", ".py", "/work", "/home", "/tmp", "0x"))
    return error.value


async def test_a_raw_request_is_answered_raw(served: Peer) -> None:
    answer = await served.infer(rows(1.5, -3.0, id="a"))
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "7", "a")
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [("y", "FP32", [2, 4])]
    assert firsts(answer) == [3.0, -6.0]
    assert not answer.outputs[0].HasField("contents")


async def test_a_typed_request_is_answered_typed(served: Peer) -> None:
    message = rows(1.0)
    message.ClearField("raw_input_contents")
    message.inputs[0].contents.fp32_contents.extend([1, 2, 3, 4])
    answer = await served.infer(message)
    assert list(answer.outputs[0].contents.fp32_contents) == [2, 4, 6, 8]
    assert not answer.raw_output_contents


async def test_a_request_without_its_message_is_refused(served: Peer) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    async with aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call: Any = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        error = await failure(call(nothing()))
    assert (error.code(), error.details()) == (
        StatusCode.UNIMPLEMENTED,
        "the method takes one message; the request has none",
    )


async def test_row_5_values_that_are_not_finite_are_exact(served: Peer) -> None:
    answer = await served.infer(rows(float("inf"), float("-inf"), float("nan")))
    np.testing.assert_array_equal(firsts(answer), [np.inf, -np.inf, np.nan])


async def test_server_and_model_describe_themselves(served: Peer) -> None:
    assert (await served.call("ServerLive", pb.ServerLiveRequest())).live
    assert (await served.call("ServerReady", pb.ServerReadyRequest())).ready
    assert (await served.call("ModelReady", pb.ModelReadyRequest(name="m", version="7"))).ready
    server = await served.call("ServerMetadata", pb.ServerMetadataRequest())
    assert server.name == "tidegate"
    model = await served.call("ModelMetadata", pb.ModelMetadataRequest(name="m"))
    tensor = pb.ModelMetadataResponse.TensorMetadata
    assert model == pb.ModelMetadataResponse(
        name="m",
        versions=["7"],
        platform="onnx_onnxv1",
        inputs=[tensor(name="x", datatype="FP32", shape=[-1, 4])],
        outputs=[tensor(name="y", datatype="FP32", shape=[-1, 4])],
    )


def with_input(**members: Any) -> pb.ModelInferRequest:
    message = rows(1.0)
    tensor = pb.ModelInferRequest.InferInputTensor(**members)
    if members.get("shape"):
        message.inputs[0].ClearField("shape")
    message.inputs[0].MergeFrom(tensor)
    return message


def changed(**members: Any) -> pb.ModelInferRequest:
    message = rows(1.0)
    message.MergeFrom(pb.ModelInferRequest(**members))
    return message


TWICE = rows(1.0)
TWICE.inputs.append(TWICE.inputs[0])
TWICE.raw_input_contents.append(TWICE.raw_input_contents[0])
WIDE = rows(1.0)
WIDE.inputs[0].datatype = "FP64"
WIDE.raw_input_contents[0] = bytes(32)
MANY = rows(1.0)
for number in range(20):
    MANY.inputs.add(name="\N{SNOWMAN}" * 800 + str(number), datatype="FP32", shape=[1, 4])
    MANY.raw_input_contents.append(bytes(16))
Output = pb.ModelInferRequest.InferRequestedOutputTensor

TABLE = [
    pytest.param(changed(model_name="other"), "NOT_FOUND", 'this server has "m"', id="row 8: an unknown model"),
    pytest.param(changed(model_version="8"), "NOT_FOUND", 'this server has "7"', id="row 8: an unknown version"),
    pytest.param(changed(model_name="../../x"), "NOT_FOUND", "no model", id="row 9: a path"),
    pytest.param(changed(model_name="m" * 4096), "NOT_FOUND", "no model", id="row 9: 4 kB"),
    pytest.param(changed(model_name="m\0"), "NOT_FOUND", "no model", id="row 9: NUL"),
    pytest.param(changed(model_name="м"), "NOT_FOUND", "no model", id="row 9: a look-alike"),
    pytest.param(pb.ModelInferRequest(model_name="m"), "INVALID_ARGUMENT", "is empty", id="row 11: missing"),
    pytest.param(with_input(name="z"), "INVALID_ARGUMENT", 'unknown "z", missing "x"', id="row 11: misnamed"),
    pytest.param(TWICE, "INVALID_ARGUMENT", "more than once", id="row 11: twice"),
    pytest.param(MANY, "INVALID_ARGUMENT", "inputs: unknown", id="row 11: many long unknown names"),
    pytest.param(WIDE, "INVALID_ARGUMENT", "expected FP32, got FP64", id="row 12: wrong datatype"),
    pytest.param(with_input(shape=[4]), "INVALID_ARGUMENT", "expected shape [-1, 4], got [4]", id="row 13: rank"),
    pytest.param(with_input(shape=[2, 2]), "INVALID_ARGUMENT", "expected shape [-1, 4], got [2, 2]", id="row 13"),
    pytest.param(with_input(shape=[2**32, 2**32]), "INVALID_ARGUMENT", "bytes", id="row 14: overflow"),
    pytest.param(with_input(shape=[2, 4]), "INVALID_ARGUMENT", "needs 32 bytes", id="row 15: too little data"),
    pytest.param(with_input(shape=[0, 4]), "INVALID_ARGUMENT", "not 0", id="row 16: no rows"),
    pytest.param(rows(*range(9)), "INVALID_ARGUMENT", "9 rows in one request; the limit is 8", id="row 17: rows"),
    pytest.param(changed(raw_input_contents=[b""]), "INVALID_ARGUMENT", "has 2 parts for 1", id="row 26: parts"),
    pytest.param(b"\xff\xff", "INVALID_ARGUMENT", "not a inference.ModelInferRequest", id="row 27: garbage"),
    pytest.param(changed(outputs=[Output(name="q")]), "INVALID_ARGUMENT", 'the model has "y"', id="row 29: unknown"),
    pytest.param(changed(outputs=[Output(name="y")] * 2), "INVALID_ARGUMENT", "more than once", id="row 29: twice"),
    pytest.param(changed(id="i" * 1_000), "INVALID_ARGUMENT", "256 bytes", id="row 30: a long id"),
    pytest.param(changed(raw_input_contents=[bytes(70_000)]), "RESOURCE_EXHAUSTED", "65536", id="row 25: too large"),
]


@pytest.mark.parametrize(("message", "code", "expected"), TABLE)
async def test_refused_is(served: Peer, message: Any, code: str, expected: str) -> None:
    error = await failure(served.infer(message))
    assert error.code() is StatusCode[code]
    assert expected in str(error.details())
    assert firsts(await served.infer(rows(1.0))) == [2.0]


async def test_row_30_an_id_is_echoed_exactly(served: Peer) -> None:
    odd = '\x07\r\nSet-Cookie: a=b\u202e\\"é'
    assert (await served.infer(rows(1.0, id=odd))).id == odd


async def test_row_25_an_answer_over_the_limit_is_refused() -> None:
    # The answer has a model version, the request hasn't.
    request = rows(*range(8))
    async with peer(max_body_bytes=request.ByteSize()) as served:
        for _ in range(3):  # The third time it is known by its bytes, where it may be.
            error = await failure(served.infer(request))
            assert error.code() is StatusCode.RESOURCE_EXHAUSTED
        assert firsts(await served.infer(rows(1.0))) == [2.0]
        assert served.metrics.codes == {413: 3, 200: 1}


async def test_row_10_a_model_that_failed_is_not_waited_for() -> None:
    async with peer(loaded=False) as served:
        error = await failure(served.infer(rows(1.0)))
        assert error.code() is StatusCode.UNAVAILABLE
        served.service.fail("m", "7", "its file is broken")
        error = await failure(served.infer(rows(1.0)))
        assert error.code() is StatusCode.FAILED_PRECONDITION
        assert "its file is broken" in str(error.details())


async def test_row_21_metadata_over_the_limit_are_refused(served: Peer) -> None:
    await failure(served.infer(rows(1.0), metadata=[("a", "a" * 100_000)]))
    assert firsts(await served.infer(rows(1.0))) == [2.0]


async def test_row_27_a_method_that_there_is_not_is_unimplemented(served: Peer) -> None:
    for service, method in (("inference.GRPCInferenceService", "Nothing"), ("x.Y", "ModelInfer")):
        error = await failure(served.call(method, b"", service=service))
        assert error.code() is StatusCode.UNIMPLEMENTED


ADMINISTRATIVE = [
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
]


@pytest.mark.parametrize("method", ADMINISTRATIVE)
async def test_row_36_not_on_the_data_port_is(served: Peer, method: str) -> None:
    error = await failure(served.call(method, b""))
    assert error.code() is StatusCode.UNIMPLEMENTED
    assert "administration port, 8082" in str(error.details())


@pytest.mark.parametrize("algorithm", [Compression.Gzip, Compression.Deflate], ids=["gzip", "deflate"])
async def test_compressed_messages_are_read(served: Peer, algorithm: Compression) -> None:
    assert firsts(await served.infer(rows(1.0, id=" " * 200), compression=algorithm)) == [2.0]


async def test_row_19_a_message_that_unpacks_over_the_limit_is_refused(served: Peer) -> None:
    bomb = changed(raw_input_contents=[bytes(50_000_000)])
    error = await failure(served.infer(bomb, compression=Compression.Gzip))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED


async def test_row_25_a_request_without_tensors_is_small() -> None:
    async with peer(max_body_bytes=1 << 20) as served:
        large = health_pb2.HealthCheckRequest(service="s" * 66_000)
        for packing in (Compression.NoCompression, Compression.Gzip):
            call = served.call("Check", large, service="grpc.health.v1.Health", compression=packing)
            error = await failure(call)
            assert error.code() is StatusCode.RESOURCE_EXHAUSTED
            assert "65536" in str(error.details())
        assert firsts(await served.infer(rows(1.0, id=" " * 256))) == [2.0]


async def test_row_10_a_model_that_is_loading_is_unavailable() -> None:
    async with peer(loaded=False) as served:
        error = await failure(served.infer(rows(1.0)))
        assert error.code() is StatusCode.UNAVAILABLE
        assert dict(error.trailing_metadata() or ())["retry-after"] == "1"
        assert not (await served.call("ServerReady", pb.ServerReadyRequest())).ready
        assert not (await served.call("ModelReady", pb.ModelReadyRequest(name="m"))).ready
        assert (await served.call("ServerLive", pb.ServerLiveRequest())).live


async def test_row_33_a_full_queue_is_told_with_a_reason() -> None:
    async with peer(queue_size=1, max_batch_size=1) as served:
        served.engine.gate.clear()
        running = served.infer(rows(1.0))
        await until(lambda: served.engine.rows == [1])
        waiting = served.infer(rows(2.0))
        await until(lambda: served.metrics.queue_depth == 1)
        error = await failure(served.infer(rows(3.0)))
        assert error.code() is StatusCode.RESOURCE_EXHAUSTED
        trailers = dict(error.trailing_metadata() or ())
        assert (trailers["retry-after"], trailers["tidegate-refused"]) == ("1", "QueueFull")
        served.engine.gate.set()
        assert [firsts(await call) for call in (running, waiting)] == [[2.0], [4.0]]
    assert served.metrics.codes == {200: 2, 429: 1}


async def test_row_32_a_cancelled_call_leaves_queue_and_engine() -> None:
    async with peer(max_batch_size=1) as served:
        served.engine.gate.clear()
        running = served.infer(rows(1.0))
        await until(lambda: served.engine.rows == [1])
        waiting = served.infer(rows(2.0))
        await until(lambda: served.metrics.queue_depth == 1)
        waiting.cancel()
        await until(lambda: served.metrics.queue_depth == 0)
        assert not served.engine.interrupted.is_set()
        running.cancel()
        await until(served.engine.interrupted.is_set)
        await until(lambda: served.metrics.inflight == 0)
    assert served.engine.rows == [1]
    assert served.metrics.codes == {499: 2}


async def test_row_32_a_call_past_its_deadline_leaves_the_engine() -> None:
    async with peer() as served:
        served.engine.gate.clear()
        error = await failure(served.infer(rows(1.0), timeout=0.2))
        assert error.code() is StatusCode.DEADLINE_EXCEEDED
        await until(served.engine.interrupted.is_set)
        await until(lambda: served.metrics.inflight == 0)
    assert served.metrics.codes == {504: 1}


async def test_row_32_the_service_s_own_time_is_over_first() -> None:
    async with peer(timeout_seconds=0.1) as served:
        served.engine.gate.clear()
        error = await failure(served.infer(rows(1.0), timeout=WAIT_SECONDS))
        assert error.code() is StatusCode.DEADLINE_EXCEEDED
        assert "no answer within" in str(error.details())
    assert served.metrics.codes == {504: 1}


async def test_row_32_the_time_that_the_request_gives_itself_is_over_first(served: Peer) -> None:
    served.engine.gate.clear()
    message = rows(1.0)
    message.parameters["timeout"].int64_param = 100_000
    error = await failure(served.infer(message, timeout=WAIT_SECONDS))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    await until(served.engine.interrupted.is_set)


async def test_an_engine_that_fails_tells_no_detail(served: Peer) -> None:
    async def run(feeds: Any) -> Any:
        raise ValueError("/srv/secret")

    served.engine.run = run  # type: ignore[method-assign]
    error = await failure(served.infer(rows(1.0)))
    assert error.code() is StatusCode.INTERNAL


async def test_parallel_calls_get_their_own_answers(served: Peer) -> None:
    await served.infer(rows(0.0))  # The client knows from here on how many streams it may open at a time.
    served.engine.gate.clear()
    calls = [served.infer(rows(float(index), id=str(index))) for index in range(300)]
    await until(lambda: served.metrics.queue_depth >= 8)
    served.engine.gate.set()
    for index, call in enumerate(calls):
        answer = await call
        assert (answer.id, firsts(answer)) == (str(index), [2.0 * index])
    assert max(served.engine.rows) == 8
    assert served.metrics.codes == {200: 301}
    assert (sum(served.metrics.request_duration.counts), served.metrics.inflight) == (301, 0)


async def test_calls_are_answered_while_the_server_drains_and_until_it_stops(served: Peer) -> None:
    served.drain()
    assert firsts(await served.infer(rows(1.0))) == [2.0]
    served.engine.gate.clear()
    call = served.infer(rows(2.0))
    await until(lambda: len(served.engine.rows) == 2)
    served.engine.gate.set()
    await served.server.stop(WAIT_SECONDS)
    assert firsts(await call) == [4.0]
    assert (await failure(served.infer(rows(3.0)))).code() is StatusCode.UNAVAILABLE


async def test_a_port_that_is_taken_is_an_error(served: Peer) -> None:
    other = Peer()
    with pytest.raises(OSError, match=f"port {served.port} for gRPC"):
        await other.server.start("127.0.0.1", served.port)


async def test_the_table_has_every_method_of_every_service(served: Peer) -> None:
    table = methods(Servicer(served.service), Health(served.service), Administrator(None))
    actual = {
        method.path: (
            method.request.DESCRIPTOR,
            method.response.DESCRIPTOR,
            isinstance(method, BothStream),
            isinstance(method, BothStream | ServerStream),
        )
        for method in table
        if "v1alpha" not in method.path
    }
    declared = {
        f"/{service.full_name}/{method.name}": (
            method.input_type,
            method.output_type,
            method.client_streaming,
            method.server_streaming,
        )
        for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert actual == declared


async def test_the_scheduler_is_told_which_connection_a_request_came_by(served: Peer) -> None:
    served.engine.gate.clear()
    scheduler = served.service.model("m")._scheduler
    assert isinstance(scheduler, Scheduler)
    backlog = scheduler._backlog
    calls = [asyncio.ensure_future(served.infer(rows(1.0))) for _ in range(2)]
    await until(lambda: backlog.running is not None and backlog.depth + len(backlog.running.tickets) == 2)
    assert backlog.running is not None
    tickets = [*backlog.running.tickets, *(ticket for queue in backlog.active for ticket in queue)]
    clients = {ticket.client for ticket in tickets}
    assert len(clients) == 1
    assert "127.0.0.1" in str(clients)
    served.engine.gate.set()
    await asyncio.gather(*calls)
