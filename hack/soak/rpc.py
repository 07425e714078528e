"""A client of the gRPC port: calls on a shared connection, streams of many requests, and some that are cancelled."""

import asyncio
from random import Random
from typing import Any, Final

from grpc import Compression, StatusCode, aio

from soak.asking import LAYOUTS, Asked, alike, draw, packed, spell
from soak.tally import Tally
from tidegate_runtime.rpc.protos import inference_pb2 as pb

UNARY: Final = "/inference.GRPCInferenceService/ModelInfer"
STREAMED: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
WAIT_SECONDS: Final = 60.0
_FIELDS: Final = {"FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}

_KINDS: Final = ("alike", "raw", "contents", "gzip", "stream", "bad", "cancelled")
_WEIGHTS: Final = (60, 45, 20, 5, 10, 15, 5)
_ALIKE: Final = ("alike", "cancelled")
_ALIKE_WEIGHTS: Final = (97, 3)


def channel(port: int) -> aio.Channel:
    """A connection that no other channel shares."""
    return aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


async def client(shared: aio.Channel, tally: Tally, number: int) -> None:
    """Calls until there is nothing more to ask."""
    random = tally.random(number)
    while not tally.over:
        kinds = (_KINDS, _WEIGHTS) if spell(tally.begun + 1) is None else (_ALIKE, _ALIKE_WEIGHTS)
        kind = random.choices(*kinds)[0]
        try:
            await _turn(shared, kind, random, tally)
        except aio.AioRpcError as error:
            tally.fault(f"gRPC {kind}", "", error)


async def _turn(shared: Any, kind: str, random: Random, tally: Tally) -> None:
    if kind == "stream":
        await _stream(shared, [draw(random, tally.next()) for _ in range(random.randrange(2, 7))], tally)
        return
    number = tally.next()
    asked = draw(random, number)
    if kind in _ALIKE:
        at = spell(number)
        asked = alike(number, at.grpc if at is not None else random.choice(LAYOUTS))
    if kind == "bad":
        await _bad(shared, asked, random, tally)
        return
    sent = _message(asked, raw=kind != "contents").SerializeToString()
    packing = Compression.Gzip if kind == "gzip" else None
    call = shared.unary_unary(UNARY)(sent, timeout=WAIT_SECONDS, compression=packing)
    if kind == "cancelled":
        await asyncio.sleep(random.random() * 0.002)
        call.cancel()
        tally.left["cancelled"] += 1
        return
    answer = pb.ModelInferResponse.FromString(await call)
    _judge(f"gRPC {kind}", asked, answer, tally, raw=kind != "contents")


async def _stream(shared: Any, asked: list[Asked], tally: Tally) -> None:
    messages = [_message(one, raw=True).SerializeToString() for one in asked]
    answers = [message async for message in shared.stream_stream(STREAMED)(iter(messages), timeout=WAIT_SECONDS)]
    if len(answers) != len(asked):
        tally.fault("gRPC stream", asked, answers)
    for one, message in zip(asked, answers, strict=False):
        answer = pb.ModelStreamInferResponse.FromString(message)
        if answer.error_message:
            tally.fault("gRPC stream", one, answer)
        else:
            _judge("gRPC stream", one, answer.infer_response, tally, raw=True)


async def _bad(shared: Any, asked: Asked, random: Random, tally: Tally) -> None:
    message = _message(asked, raw=True)
    code, word = StatusCode.INVALID_ARGUMENT, f'"q{asked.id}"'
    which = random.randrange(3)
    if which == 0:
        message.inputs[0].name = f"q{asked.id}"
    elif which == 1:
        message.parameters[f"q{asked.id}"].SetInParent()
    else:
        message.model_name, code, word = asked.id, StatusCode.NOT_FOUND, "no model"
    sent: Any = message.SerializeToString()
    if random.random() < 0.2:
        sent, code, word = sent[:-1], StatusCode.INVALID_ARGUMENT, "is not a inference.ModelInferRequest"
    try:
        got: object = await shared.unary_unary(UNARY)(sent, timeout=WAIT_SECONDS)
    except aio.AioRpcError as error:
        got = error
        if error.code() is code and word in (error.details() or "") and not error.trailing_metadata():
            tally.good["gRPC bad"] += 1
            return
    tally.fault("gRPC bad", message, got)


def _message(asked: Asked, *, raw: bool) -> pb.ModelInferRequest:
    model = asked.model
    message = pb.ModelInferRequest(model_name=model.name, id=asked.id)
    tensor = message.inputs.add(name="x", datatype=model.datatype, shape=asked.shape)
    if raw:
        message.raw_input_contents.append(packed(asked.values, model.datatype))
    else:
        getattr(tensor.contents, _FIELDS[model.datatype]).extend(map(_typed, asked.values))
    return message


def _typed(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _judge(kind: str, asked: Asked, answer: pb.ModelInferResponse, tally: Tally, *, raw: bool) -> None:
    model, output = asked.model, answer.outputs[0]
    right = (answer.id, answer.model_name, list(output.shape)) == (asked.id, model.name, list(asked.shape))
    if raw:
        right = right and list(answer.raw_output_contents) == [packed(asked.expected, model.datatype)]
    else:
        right = right and list(getattr(output.contents, _FIELDS[model.datatype])) == [*map(_typed, asked.expected)]
    if right:
        tally.good[kind] += 1
    else:
        tally.fault(kind, asked, answer)
