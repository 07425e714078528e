"""Copies on virtual time: pods that answer, are slow, refuse or are gone, and what is counted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from threading import get_ident
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.naming import ShadowOutcome
from tidegate_runtime.shadow import sending
from tidegate_runtime.shadow.copies import PACE_SECONDS, Copy, Waiting
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.shadow.sending import CONNECTIONS, MAX_PODS, PAUSE_SECONDS, Sending
from tidegate_runtime.shadow.wire import encode
from tidegate_runtime.share.client import Answer, Header, Room, Unreachable
from tidegate_runtime.share.document import Target
from tidegate_runtime.tensors import Array, Datatype, Tensor, TensorSpec

from .rpc_client import until

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

X = TensorSpec("x", Datatype.FP32, ("N", 2))
ROW = np.array([[1.0, 2.0]], np.float32)
HERE = Target("10.0.0.5", 8080)


def answered(array: Array = ROW) -> Answer:
    """A good answer: a request with binary tensors has its form, but for the member's name."""
    text, *blobs = encode((TensorSpec("y", Datatype.FP32, ("N", 2)),), {"y": array}).parts
    text = bytes(text).replace(b'"inputs"', b'"outputs"')
    return Answer(200, {b"inference-header-content-length": b"%d" % len(text)}, b"".join([text, *blobs]))


class Pods:
    """All pods' connections; each answers as `answer` says."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer | Exception] = answered
        self.seconds = 0.0
        self.asked: list[tuple[Target, float, Mapping[bytes, bytes], bytes]] = []
        self.open = 0

    def connect(self, target: Target) -> "Pod":
        self.open += 1
        return Pod(self, target)


class Pod:
    def __init__(self, pods: Pods, target: Target) -> None:
        self.pods = pods
        self.target = target

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        assert (method, path, bool(parts)) == (b"POST", b"/infer", True)
        assert most > 0
        self.pods.asked.append((self.target, asyncio.get_running_loop().time(), dict(headers), b"".join(parts)))
        await asyncio.sleep(self.pods.seconds)
        answer = self.pods.answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.pods.open -= 1


class Bench:
    def __init__(self, most: int) -> None:
        self.pods = Pods()
        self.waiting = Waiting(most)
        self.figures = ShadowFigures("m", "1", "2")
        self.sending = Sending(self.waiting, self.pods.connect)

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            outputs = (Tensor("y", Datatype.FP32, ROW),)
            self.waiting.add(Copy(b"/infer", (X,), {"x": ROW}, outputs, 16, 3.0, self.figures))

    def counted(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.figures.outcomes.items() if count}


@asynccontextmanager
async def bench(*targets: Target, most: int = 1000) -> AsyncIterator[Bench]:
    made = Bench(most)
    made.sending.to(targets)
    try:
        yield made
    finally:
        await made.sending.close()
        assert made.pods.open == 0


async def test_a_copy_is_marked_and_says_where_its_json_ends() -> None:
    async with bench(HERE) as made:
        made.add()
        await asyncio.sleep(1)
        ((target, _, headers, body),) = made.pods.asked
    assert target == HERE
    assert (headers[b"x-tidegate-hop"], headers[b"x-tidegate-route"]) == (b"shadow", b"match")
    assert headers[b"content-type"] == b"application/octet-stream"
    assert body[int(headers[b"inference-header-content-length"]) :] == ROW.tobytes()
    assert made.counted() == {"compared": 1}
    assert made.waiting.bytes == 0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(), "compared"),
        (answered(ROW * 1.0001), "compared"),
        (answered(ROW * 1.01), "diverged"),
        (answered(ROW[:, ::-1].copy()), "moved"),
        (answered(np.vstack([ROW, ROW])), "moved"),
        (Answer(400, {}, b'{"error": "no such input"}'), "failed"),
        (Answer(503, {}, b""), "failed"),
        # Whoever answers so is another pod, or has too much to do: that says nothing of the model.
        (Answer(404, {}, b""), "dropped"),
        (Answer(429, {}, b""), "dropped"),
        (Answer(200, {}, b"{}"), "failed"),
        (Unreachable("nobody there"), "dropped"),
        (ConnectionResetError("in the middle"), "failed"),
        (ArithmeticError("a bug"), "failed"),
    ],
)
async def test_each_copy_has_one_outcome(answer: Answer | Exception, outcome: str) -> None:
    async with bench(HERE) as made:
        made.pods.answer = lambda: answer
        made.add(3)
        await asyncio.sleep(10)
    assert made.counted() == {outcome: 3}
    assert made.waiting.bytes == 0


async def test_differences_are_told_of_each_output() -> None:
    async with bench(HERE) as made:
        made.pods.answer = lambda: answered(ROW[:, ::-1].copy())
        made.add(2)
        await asyncio.sleep(1)
    output = made.figures.outputs["y"]
    assert (output.largest, output.rows, output.moved, output.relative.total) == (1.0, 2, 2, 1.0)


async def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    async with bench(HERE) as made:
        made.pods.seconds = 3.5
        made.add()
        await asyncio.sleep(2.9)
        assert made.counted() == {}
        await asyncio.sleep(0.2)
        assert made.counted() == {"timeout": 1}
        made.pods.seconds = 0.0
        made.add()
        await asyncio.sleep(PAUSE_SECONDS + 0.1)
    assert made.counted() == {"timeout": 1, "compared": 1}


async def test_no_more_are_under_way_than_there_are_connections() -> None:
    async with bench(HERE, Target("10.0.0.6", 8080)) as made:
        made.pods.seconds = 1.0
        made.add(20)
        await asyncio.sleep(0.9)
        assert len(made.pods.asked) == 2 * CONNECTIONS
        assert {target for target, *_ in made.pods.asked} == {HERE, Target("10.0.0.6", 8080)}


async def test_copies_are_sent_at_a_pace() -> None:
    async with bench(HERE) as made:
        made.add(11)
        await asyncio.sleep(1)
        times = [at for _, at, *_ in made.pods.asked]
    assert times[-1] - times[0] == pytest.approx(10 * PACE_SECONDS)


@pytest.mark.parametrize("answer", [ConnectionRefusedError(), Answer(429, {}, b"")])
async def test_a_pod_that_is_gone_or_busy_is_left_alone_for_a_while(answer: Answer | Exception) -> None:
    async with bench(HERE) as made:
        made.pods.answer = lambda: answer
        made.add(100)
        await asyncio.sleep(PAUSE_SECONDS / 2)
        assert len(made.pods.asked) == CONNECTIONS
        await asyncio.sleep(PAUSE_SECONDS)
        assert len(made.pods.asked) == 2 * CONNECTIONS


async def test_copies_under_way_to_a_pod_that_isnt_told_any_more_are_dropped() -> None:
    async with bench(HERE) as made:
        made.pods.seconds = 1.0
        made.add(5)
        await asyncio.sleep(0.5)
        made.sending.to([Target("10.0.0.6", 8080)])
        await asyncio.sleep(0.1)
        assert made.counted() == {"dropped": CONNECTIONS}
        await asyncio.sleep(10)
    assert made.counted() == {"dropped": CONNECTIONS, "compared": 5 - CONNECTIONS}
    assert made.waiting.bytes == 0


async def test_connections_to_a_pod_that_stays_are_kept() -> None:
    other = Target("10.0.0.6", 8080)
    async with bench(HERE) as made:
        made.pods.seconds = 1.0
        made.add(CONNECTIONS)
        await asyncio.sleep(0.5)
        made.sending.to([HERE, other])
        await asyncio.sleep(1)
        assert made.counted() == {"compared": CONNECTIONS}
        assert made.pods.open == 2 * CONNECTIONS


async def test_of_many_pods_a_few_get_copies() -> None:
    async with bench(*[Target(f"10.0.0.{number}", 8080) for number in range(100)]) as made:
        await asyncio.sleep(0.1)
        assert made.pods.open == MAX_PODS * CONNECTIONS


TEXTS = TensorSpec("x", Datatype.BYTES, ("N",))


@pytest.mark.parametrize(
    ("spec", "feed", "theirs", "beside"),
    [
        (X, np.ones((8_000, 2), np.float32), 1, set()),
        (X, np.ones((40_000, 2), np.float32), 1, {"encode", "decode", "differences"}),
        # Each a call of Python's, twice.
        (TEXTS, np.array(["x"] * 5_000, object), 1, {"encode", "decode", "differences"}),
        (X, ROW, 40_000, {"decode", "differences"}),
    ],
)
async def test_what_is_large_is_written_read_and_compared_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, spec: TensorSpec, feed: Array, theirs: int, beside: set[str]
) -> None:
    """Requests waited for it, as long as it took."""
    here = get_ident()
    there: set[str] = set()

    def watched(name: str) -> Callable[..., Any]:
        work = getattr(sending, name)

        def run(*given: object) -> object:
            if get_ident() != here:
                there.add(name)
            return work(*given)

        return run

    for name in ("encode", "decode", "differences"):
        monkeypatch.setattr(sending, name, watched(name))
    async with bench(HERE) as made:
        made.pods.answer = lambda: answered(np.ones((theirs, 2), np.float32))
        outputs = (Tensor("y", Datatype.FP32, np.ones((theirs, 2), np.float32)),)
        # Its own outputs aren't in its size, so that an answer alone may be large.
        made.waiting.add(Copy(b"/infer", (spec,), {"x": feed}, outputs, feed.nbytes, 3.0, made.figures))
        await until(lambda: bool(made.counted()))
    assert made.counted() == {ShadowOutcome.COMPARED.value: 1}
    assert there == beside
