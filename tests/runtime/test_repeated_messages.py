"""Messages that repeat but for their numbers: read and answered as by the general codec, and together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from grpc import StatusCode, aio
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.plain_messages import PlainMessages, varint
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.repeated_call import RepeatedCall
from tidegate_runtime.rpc.submission import Submission
from tidegate_runtime.served_model import Loaded
from tidegate_runtime.tensors import Datatype, InferResponse, Tensor, TensorSpec

from .rpc_client import SIGNATURE, GatedEngine, Peer, firsts, peer, rows, until

NUMBERS = {datatype: datatype.numpy for datatype in Datatype if datatype not in (Datatype.BYTES, Datatype.BOOL)}
INPUTS = (TensorSpec("x", Datatype.FP32, ("N", 4)), TensorSpec("ids", Datatype.INT64, ("N",)))
OUTPUTS = (TensorSpec("y", Datatype.FP32, ("N", 2)), TensorSpec("label", Datatype.INT64, ("N",)))


def plain(inputs: Any = INPUTS, outputs: Any = OUTPUTS) -> PlainMessages:
    made = PlainMessages.of("m", "7", inputs, outputs)
    assert made is not None
    return made


def message(count: int, seed: int, **members: Any) -> pb.ModelInferRequest:
    """A raw request of both inputs."""
    random = np.random.default_rng(seed)
    made = pb.ModelInferRequest(model_name="m", **members)
    for spec, shape in zip(INPUTS, [(count, 4), (count,)], strict=True):
        made.inputs.add(name=spec.name, datatype=spec.datatype.value, shape=shape)
        made.raw_input_contents.append(random.integers(0, 99, shape).astype(spec.datatype.numpy).tobytes())
    return made


def layout(form: PlainMessages, data: bytes) -> Any:
    parsed = pb.ModelInferRequest.FromString(data)
    return form.layout_of(data, parsed, codec.decode(parsed))


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9))
def test_a_message_that_repeats_holds_what_the_general_codec_reads(count: int, first: int, second: int) -> None:
    form, known = plain(), message(count, first).SerializeToString()
    begin, found = layout(form, known)
    other = message(count, second)
    data = other.SerializeToString()
    assert data[:begin] == known[:begin]
    (feeds,) = form.read(found, [data[begin:]]).feeds
    assert {name: array.tolist() for name, array in feeds.items()} == {
        tensor.name: tensor.array.tolist() for tensor in codec.decode(other).inputs
    }
    assert (found.rows, found.size, len(data)) == (count, len(data) - begin, len(known))


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 2))
def test_answers_are_written_as_the_general_codec_writes_them(count: int, rows: int, outputs: int) -> None:
    specs = OUTPUTS[:outputs]
    form = plain(outputs=specs)
    shapes = [(count * rows, 2), (count * rows,)][:outputs]
    whole = [
        np.arange(np.prod(shape), dtype=spec.datatype.numpy).reshape(shape)
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    before, pieces, behind, _ = form.answers(whole, count)
    request = codec.decode(message(rows, 0))
    for number, piece in enumerate(pieces):
        own = tuple(
            Tensor(spec.name, spec.datatype, array[number * rows : (number + 1) * rows])
            for spec, array in zip(specs, whole, strict=True)
        )
        general = codec.encode(InferResponse("m", "7", own), request)
        assert before + piece + behind == general.SerializeToString()
    assert len(pieces) == count


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_of_every_datatype_repeat(datatype: Datatype) -> None:
    form = PlainMessages.of("m", "7", (TensorSpec("x", datatype, ("N", 3)),), SIGNATURE.outputs)
    assert form is not None
    made = pb.ModelInferRequest(model_name="m")
    made.inputs.add(name="x", datatype=datatype.value, shape=(2, 3))
    made.raw_input_contents.append(np.arange(6).astype(datatype.numpy).tobytes())
    data = made.SerializeToString()
    found = layout(form, data)
    (general,) = codec.decode(made).inputs
    if general.array.nbytes != len(made.raw_input_contents[0]):
        assert found is None  # It is read into a wider type.
        return
    (feeds,) = form.read(found[1], [data[found[0] :]]).feeds
    assert feeds["x"].tobytes() == general.array.tobytes()
    assert feeds["x"].dtype == general.array.dtype


def typed() -> bytes:
    made = pb.ModelInferRequest(model_name="m")
    floats, integers = pb.InferTensorContents(fp32_contents=[1.0] * 4), pb.InferTensorContents(int64_contents=[1])
    for spec, shape, contents in zip(INPUTS, [(1, 4), (1,)], [floats, integers], strict=True):
        made.inputs.add(name=spec.name, datatype=spec.datatype.value, shape=shape, contents=contents)
    return made.SerializeToString()


def asking(*outputs: str, **more: Any) -> bytes:
    made = message(1, 0)
    for name in outputs:
        made.outputs.add(name=name, **more)
    return made.SerializeToString()


def reordered() -> bytes:
    """The contents come first, as no program writes them that goes by the fields' numbers."""
    made, contents = message(1, 0), pb.ModelInferRequest()
    contents.raw_input_contents.extend(made.raw_input_contents)
    made.ClearField("raw_input_contents")
    return contents.SerializeToString() + made.SerializeToString()


def with_a_tail() -> bytes:
    """A field that isn't known here, the end of which looks like the contents."""
    made = message(1, 0)
    contents = b"".join(b"\x3a" + varint(len(raw)) + raw for raw in made.raw_input_contents)
    return made.SerializeToString() + b"\xf2\x07" + varint(len(contents) + 1) + b"!" + contents


CLASSES = {"parameters": {"classification": pb.InferParameter(int64_param=1)}}


@pytest.mark.parametrize(
    ("data", "repeats"),
    [
        (message(1, 0).SerializeToString(), True),
        (message(1, 0, parameters={"priority": pb.InferParameter(int64_param=3)}).SerializeToString(), True),
        (asking("y", "label"), True),
        (asking("label", "y"), False),
        (asking("y"), False),
        (asking("y", "label", **CLASSES), False),
        (message(1, 0, id="a").SerializeToString(), False),
        (typed(), False),
        (reordered(), False),
        (with_a_tail(), False),
    ],
    ids=["raw", "priority", "all outputs", "another order", "one", "classes", "id", "typed", "reordered", "tail"],
)
def test_what_repeats_is_all_but_the_numbers(data: bytes, repeats: bool) -> None:
    assert (layout(plain(), data) is not None) == repeats


def test_what_a_request_says_of_itself_is_kept() -> None:
    given = {"priority": pb.InferParameter(int64_param=3), "timeout": pb.InferParameter(int64_param=250_000)}
    _, found = layout(plain(), message(2, 0, parameters=given).SerializeToString())
    assert (found.priority, found.timeout_seconds, found.rows) == (3, 0.25, 2)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**31 - 1])
def test_a_varint_is_that_of_protobuf(number: int) -> None:
    assert pb.ModelReadyRequest(name="x" * 300).SerializeToString()[1:3] == varint(300)
    made = pb.InferParameter(int64_param=number).SerializeToString()
    assert made[1:] == varint(number)


class Served:
    """A peer that tells how its requests were taken."""

    def __init__(self, made: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peer = made
        self.taken: list[str] = []
        for kind in (Submission, RepeatedCall):
            self._watch(kind, monkeypatch)

    def _watch(self, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = kind.__init__

        def noted(*given: Any) -> None:
            self.taken.append(kind.__name__)
            begin(*given)

        monkeypatch.setattr(kind, "__init__", noted)


@pytest_asyncio.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(Peer, "transport", "nghttp2")
    async with peer() as made:
        yield Served(made, monkeypatch)


@pytest.mark.integration
class TestServed:
    """By a server, over a connection."""

    pytestmark = pytest.mark.asyncio

    async def test_the_second_message_of_a_kind_repeats_the_first(self, served: Served) -> None:
        for number in (1.0, 2.0, 3.0):
            answer = await served.peer.infer(rows(number, 5.0))
            assert firsts(answer) == [2 * number, 10.0]
            assert (answer.model_name, answer.model_version) == ("m", "7")
        assert firsts(await served.peer.infer(rows(4.0))) == [8.0]
        assert served.taken == ["Submission", "RepeatedCall", "RepeatedCall", "Submission"]
        metrics = served.peer.metrics
        assert metrics.codes == {200: 4}
        assert sum(metrics.request_duration.counts) == sum(metrics.parse_seconds.counts) == 4
        assert metrics.inflight == 0

    async def test_calls_that_ran_together_get_their_own_answers(self, served: Served) -> None:
        await served.peer.infer(rows(0.0))
        served.peer.engine.gate.clear()
        calls = [served.peer.infer(rows(float(number))) for number in range(50)]
        await until(lambda: served.peer.metrics.inflight == 50)
        served.peer.engine.gate.set()
        assert [firsts(await call) for call in calls] == [[2.0 * number] for number in range(50)]
        assert max(served.peer.engine.rows) > 1
        assert served.peer.metrics.codes == {200: 51}
        leaders = sum(served.peer.metrics.evidence_seconds.counts)
        assert leaders == len(served.peer.engine.rows)

    async def test_a_cancelled_one_leaves_the_others(self, served: Served) -> None:
        await served.peer.infer(rows(0.0))
        served.peer.engine.gate.clear()
        calls = [served.peer.infer(rows(float(number))) for number in range(10)]
        await until(lambda: served.peer.metrics.inflight == 10)
        for call in calls[::2]:
            call.cancel()
        await until(lambda: served.peer.metrics.inflight == 5)
        served.peer.engine.gate.set()
        assert [firsts(await call) for call in calls[1::2]] == [[2.0 * number] for number in range(1, 10, 2)]
        assert served.peer.metrics.codes == {200: 6, 499: 5}

    async def test_each_has_its_own_deadline(self, served: Served) -> None:
        await served.peer.infer(rows(0.0))
        served.peer.engine.gate.clear()
        first = served.peer.infer(rows(1.0))
        await until(lambda: served.peer.metrics.inflight == 1)
        late, patient = served.peer.infer(rows(2.0), timeout=0.2), served.peer.infer(rows(3.0), timeout=20.0)
        with pytest.raises(aio.AioRpcError) as error:
            await late
        assert error.value.code() is StatusCode.DEADLINE_EXCEEDED
        served.peer.engine.gate.set()
        assert [firsts(await call) for call in (first, patient)] == [[2.0], [6.0]]

    async def test_a_model_in_its_place_answers(self, served: Served) -> None:
        class Tripling(GatedEngine):
            async def run(self, feeds: Any) -> Any:
                return [feeds["x"] * 3], 0.0

        for _ in range(2):
            assert firsts(await served.peer.infer(rows(1.0))) == [2.0]
        loaded = Loaded(SIGNATURE, Verdict(True, "rows proved independent"), Tripling())
        replaced = served.peer.service.open("m", "7", loaded)
        assert replaced is not None
        assert [firsts(await served.peer.infer(rows(1.0))) for _ in range(2)] == [[3.0], [3.0]]
        await replaced.close()
        assert served.taken == ["Submission", "RepeatedCall", "Submission", "RepeatedCall"]

    async def test_one_for_a_model_that_is_gone_is_refused(self, served: Served) -> None:
        await served.peer.infer(rows(1.0))
        await served.peer.service.retire("m", "7")
        with pytest.raises(aio.AioRpcError) as error:
            await served.peer.infer(rows(1.0))
        assert error.value.code() is StatusCode.FAILED_PRECONDITION

    async def test_refusals_for_load_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Peer, "transport", "nghttp2")
        async with peer(queue_size=1, max_batch_size=1) as made:
            await made.infer(rows(0.0))
            made.engine.gate.clear()
            running = made.infer(rows(1.0))
            await until(lambda: made.engine.rows == [1, 1])
            waiting = made.infer(rows(2.0))
            await until(lambda: made.metrics.queue_depth == 1)
            refused = [made.infer(rows(3.0)) for _ in range(3)]
            for call in refused:
                with pytest.raises(aio.AioRpcError) as error:
                    await call
                assert error.value.code() is StatusCode.RESOURCE_EXHAUSTED
            made.engine.gate.set()
            assert [firsts(await call) for call in (running, waiting)] == [[2.0], [4.0]]
            assert made.metrics.codes == {200: 3, 429: 3}
            assert {code: sum(one.counts) for code, one in made.metrics.failed_duration.items()} == {429: 3}

    async def test_a_run_that_fails_is_told_to_all_of_it(self, served: Served) -> None:
        await served.peer.infer(rows(1.0))

        async def run(feeds: Any) -> Any:
            raise ValueError("/srv/secret")

        served.peer.engine.run = run  # type: ignore[method-assign]
        calls = [asyncio.ensure_future(_outcome(served.peer.infer(rows(1.0)))) for _ in range(5)]
        assert {await call for call in calls} == {StatusCode.INTERNAL}


async def _outcome(call: Any) -> Any:
    try:
        await call
    except aio.AioRpcError as error:
        return error.code()
    return StatusCode.OK
