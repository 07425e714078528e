"""Streams of a real gRPC server: ModelStreamInfer, health watches and reflection."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode, aio

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.rpc import room
from tidegate_runtime.rpc.protos import health_pb2
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.protos.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from tidegate_runtime.rpc.protos.reflection_pb2 import ExtensionRequest, ServerReflectionRequest
from tidegate_runtime.rpc.reflection import REFLECTION, REFLECTION_V1ALPHA
from tidegate_runtime.rpc.servicer import STREAM_INFLIGHT
from tidegate_runtime.served_model import Loaded
from tidegate_runtime.tensors import Datatype, Feeds, TensorSpec

from .rpc_client import SIGNATURE, TRANSPORTS, WAIT_SECONDS, GatedEngine, Peer, firsts, peer, rows, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

HEALTH = "grpc.health.v1.Health"


@pytest.fixture(autouse=True, params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "transport", request.param)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Peer]:
    async with peer() as made:
        yield made


def stream(served: Peer, requests: Iterable[Any], **options: Any) -> Any:
    """A stream that the client ends after these requests."""
    return served.call("ModelStreamInfer", iter(requests), **options)


async def ended_by(call: Any, message: Any) -> StatusCode:
    """How the stream ends that this message comes on behind a good one.

    Nothing is sent behind it: a write that meets the end of its call is what this client tells, not the end.
    """
    await call.write(rows(1.0))
    await call.write(message)
    assert firsts((await call.read()).infer_response) == [2.0]
    with pytest.raises(aio.AioRpcError) as error:
        await call.read()
    return error.value.code()


async def test_answers_come_in_the_order_of_the_requests(served: Peer) -> None:
    sent = [rows(float(index), id=str(index)) for index in range(200)]
    served.engine.gate.clear()
    call = stream(served, sent)
    await until(lambda: served.metrics.queue_depth >= 8)
    served.engine.gate.set()
    answers = [answer async for answer in call]
    assert [answer.infer_response.id for answer in answers] == [str(index) for index in range(200)]
    assert [firsts(answer.infer_response) for answer in answers] == [[2.0 * index] for index in range(200)]
    assert all(answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers)
    assert max(served.engine.rows) == 8


async def test_an_error_is_an_answer_and_does_not_end_the_stream(served: Peer) -> None:
    bad = rows(2.0, id="b")
    bad.inputs[0].name = "z"
    good, failed, last = [each async for each in stream(served, [rows(1.0, id="a"), bad, rows(3.0, id="c")])]
    assert (firsts(good.infer_response), firsts(last.infer_response)) == ([2.0], [6.0])
    assert 'unknown "z"' in failed.error_message
    assert (failed.infer_response.id, failed.infer_response.model_name) == ("b", "m")
    assert not failed.infer_response.outputs
    assert served.metrics.codes == {200: 2, 400: 1}


async def test_a_failed_answer_does_not_repeat_names_of_any_length(served: Peer) -> None:
    long = rows(2.0, model_version="7" * 9000, id="é" * 9000)
    long.model_name = "m" * 9000
    (failed,) = [each async for each in stream(served, [long])]
    told = failed.infer_response
    assert "no model has a name" in failed.error_message
    assert (told.model_name, told.model_version, told.id) == ("m" * 1024, "7" * 1024, "é" * 256)


async def test_a_client_may_ask_that_an_error_ends_the_stream(served: Peer) -> None:
    call = served.call("ModelStreamInfer", metadata=[("triton_grpc_error", "true")])
    assert await ended_by(call, rows(2.0, id="i" * 1000)) is StatusCode.INVALID_ARGUMENT


async def test_garbage_ends_the_stream_after_the_answers_before_it(served: Peer) -> None:
    assert await ended_by(served.call("ModelStreamInfer"), b"\xff\xff") is StatusCode.INVALID_ARGUMENT


async def test_so_many_requests_of_a_stream_are_worked_on_at_a_time(served: Peer) -> None:
    served.engine.gate.clear()
    call = stream(served, [rows(float(index)) for index in range(2 * STREAM_INFLIGHT)])
    most = 0

    def reached() -> bool:
        nonlocal most
        most = max(most, served.metrics.inflight)
        return most == STREAM_INFLIGHT

    await until(reached)
    served.engine.gate.set()
    count = 0
    async for answer in call:
        assert firsts(answer.infer_response) == [2.0 * count]
        assert served.metrics.inflight <= STREAM_INFLIGHT
        count += 1
    assert count == 2 * STREAM_INFLIGHT


async def test_requests_of_a_stream_are_worked_on_as_far_as_there_is_room_for_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LEAST_BYTES", 0)
    large = rows(*range(1000))
    fit = 2 * 65536 // large.ByteSize()
    async with peer(max_batch_size=1000) as served:
        served.engine.gate.clear()
        call = stream(served, [large] * (3 * fit))
        await until(lambda: served.metrics.inflight == fit)
        served.engine.gate.set()
        count = 0
        async for answer in call:
            assert firsts(answer.infer_response)[:2] == [0.0, 2.0]
            assert served.metrics.inflight <= fit
            count += 1
        assert count == 3 * fit


class WideEngine(GatedEngine):
    """Answers a row of four numbers with one of `WIDE`."""

    async def run(self, feeds: Feeds) -> Ran:
        return [np.zeros((len(feeds["x"]), WIDE), np.float32)], 0.0


WIDE = 225_000
"""Numbers in a row, of 900 kB together."""


async def test_answers_that_a_client_does_not_read_are_not_made_beyond_their_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LEAST_BYTES", 0)
    wide = Signature(SIGNATURE.inputs, (TensorSpec("y", Datatype.FP32, ("N", WIDE)),))
    async with peer(loaded=False, max_body_bytes=1 << 20) as served:
        served.service.open("m", "7", Loaded(wide, Verdict(True, "rows proved independent"), WideEngine()))
        number = 2 * STREAM_INFLIGHT
        call = stream(served, [rows(1.0)] * number)
        for _ in range(number // 2):
            assert await call.read() is not aio.EOF
        made = 0
        while made < (made := served.metrics.codes[200]):  # noqa: ASYNC110 -- until nothing more happens
            await asyncio.sleep(0.3)
        # Two have room, and the client's transport, which has taken as many as it read, holds some more.
        assert made - number // 2 <= STREAM_INFLIGHT // 2
        for _ in range(number // 2):
            assert await call.read() is not aio.EOF
        assert await call.read() is aio.EOF
        assert served.metrics.codes == {200: number}


async def test_a_cancelled_stream_leaves_queue_and_engine(served: Peer) -> None:
    served.engine.gate.clear()
    call = stream(served, [rows(float(index)) for index in range(20)])
    await until(lambda: served.metrics.inflight == 20)
    call.cancel()
    await until(lambda: served.metrics.inflight == 0)
    assert served.engine.interrupted.is_set()
    assert served.metrics.queue_depth == 0
    assert served.metrics.codes == {499: 20}


async def refused(call: Any) -> None:
    """Reads until the stream fails; the service may notice that the time is over, and say so, before the transport."""
    while True:
        assert "no answer within" in (await call.read()).error_message


async def test_a_stream_s_deadline_bounds_its_requests(served: Peer) -> None:
    served.engine.gate.clear()
    call = served.call("ModelStreamInfer", timeout=0.2)
    await call.write(rows(1.0))
    with pytest.raises(aio.AioRpcError) as error:
        await refused(call)
    assert error.value.code() is StatusCode.DEADLINE_EXCEEDED
    await until(lambda: served.metrics.inflight == 0)


async def test_a_stopping_server_answers_what_a_stream_has_sent_and_ends_it(served: Peer) -> None:
    call = served.call("ModelStreamInfer")
    await call.write(rows(1.0))
    assert firsts((await call.read()).infer_response) == [2.0]
    served.engine.gate.clear()
    await call.write(rows(2.0))
    await until(lambda: served.metrics.inflight == 1)
    stopping = asyncio.create_task(served.server.stop(WAIT_SECONDS))
    served.engine.gate.set()
    assert firsts((await call.read()).infer_response) == [4.0]
    with pytest.raises(aio.AioRpcError) as error:
        await call.read()
    assert error.value.code() is StatusCode.UNAVAILABLE
    async with asyncio.timeout(WAIT_SECONDS / 2):
        await stopping


async def test_health_follows_the_service() -> None:
    async with peer(loaded=False) as served:
        watch = served.call("Watch", HealthCheckRequest(service="m"), service=HEALTH)
        unknown = served.call("Watch", HealthCheckRequest(service="other"), service=HEALTH)
        assert (await unknown.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        served.open()
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        for name in ("", "m", "inference.GRPCInferenceService"):
            answer = await served.call("Check", HealthCheckRequest(service=name), service=HEALTH)
            assert answer.status == HealthCheckResponse.SERVING
        listed = await served.call("List", HealthListRequest(), service=HEALTH)
        assert {name: each.status for name, each in listed.statuses.items()} == dict.fromkeys(
            ("", "m", "inference.GRPCInferenceService"), HealthCheckResponse.SERVING
        )
        served.drain()
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        async with asyncio.timeout(WAIT_SECONDS / 2):
            await served.server.stop(WAIT_SECONDS)
        for call in (watch, unknown):
            with pytest.raises(aio.AioRpcError) as error:
                await call.read()
            assert error.value.code() is StatusCode.UNAVAILABLE


async def test_a_check_of_a_service_that_there_is_not_is_not_found(served: Peer) -> None:
    with pytest.raises(aio.AioRpcError) as error:
        await served.call("Check", HealthCheckRequest(service="other"), service=HEALTH)
    assert error.value.code() is StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", [REFLECTION, REFLECTION_V1ALPHA])
async def test_reflection_describes_every_listed_service(served: Peer, service: str) -> None:
    call = served.call("ServerReflectionInfo", service=service)

    async def ask(**request: Any) -> Any:
        await call.write(ServerReflectionRequest(**request))
        return await call.read()

    listed = (await ask(list_services="")).list_services_response.service
    names = [each.name for each in listed]
    assert names == [HEALTH, REFLECTION, "inference.GRPCInferenceService"]
    for name in names:
        pool = DescriptorPool()
        files = (await ask(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto
        for file in reversed(files):
            pool.Add(FileDescriptorProto.FromString(file))
        methods = pool.FindServiceByName(name).methods_by_name
        if name == "inference.GRPCInferenceService":
            assert methods["ModelInfer"].input_type.fields_by_name["raw_input_contents"].number == 7
            config = methods["ModelConfig"].output_type.fields_by_name["config"].message_type
            assert config is not None
            assert config.name == "ModelConfig"
    by_name = await ask(file_by_filename=health_pb2.DESCRIPTOR.name)
    assert by_name.file_descriptor_response.file_descriptor_proto[0] == health_pb2.DESCRIPTOR.serialized_pb
    assert by_name.original_request.file_by_filename == health_pb2.DESCRIPTOR.name


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ServerReflectionRequest(file_containing_symbol="no.such"), 5),
        (ServerReflectionRequest(file_by_filename="../../etc/passwd"), 5),
        (ServerReflectionRequest(all_extension_numbers_of_type="no.such"), 5),
        (ServerReflectionRequest(file_containing_extension=ExtensionRequest(containing_type="x")), 5),
        (ServerReflectionRequest(), 3),
    ],
)
async def test_reflection_of_nothing_is_an_answer(served: Peer, request_: ServerReflectionRequest, code: int) -> None:
    call = served.call("ServerReflectionInfo", iter([request_]), service=REFLECTION)
    assert [answer.error_response.error_code async for answer in call] == [code]


async def test_a_type_without_extensions_has_none(served: Peer) -> None:
    name = pb.ModelInferRequest.DESCRIPTOR.full_name
    request = ServerReflectionRequest(all_extension_numbers_of_type=name)
    call = served.call("ServerReflectionInfo", iter([request]), service=REFLECTION)
    (answer,) = [each async for each in call]
    assert answer.all_extension_numbers_response.base_type_name == name
    assert not answer.all_extension_numbers_response.extension_number
