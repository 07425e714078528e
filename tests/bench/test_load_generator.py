"""The load generator against a server of a few lines, so that every figure can be counted by hand."""

import asyncio
import contextlib
import json
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench import generator
from bench.comparisons import RATE
from bench.environments import Unavailable
from bench.paths import LOAD
from bench.ratios import figure
from localcluster import gobuild, pins
from localcluster.errors import ClusterError
from localcluster.progress import Progress

pytestmark = [pytest.mark.integration, pytest.mark.alone]

BODIES = 8
Answer = Callable[[int, int], Awaitable[tuple[int, float]]]
"""From a request's number and its body's value: the status, and the value that is answered."""


@pytest.fixture(scope="module")
def load() -> Path:
    """The program; without Go, and no way to get it, these tests can't be run."""
    try:
        return generator.built()
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    """Requests that hold 0.0, 1.0, … as a raw float and have the double of it as the right answer."""
    bodies = b"".join(struct.pack("<IIf", 0, 4, number) for number in range(BODIES))
    (tmp_path / "bodies.bin").write_bytes(bodies)
    (tmp_path / "expected.f32").write_bytes(struct.pack(f"<{BODIES}f", *(2.0 * number for number in range(BODIES))))
    output = {"name": "y", "elements": 1, "absolute": 0.01, "relative": 0.0}
    told = {"protocol": "http", "path": "/", "headers": {}, "answer": "raw", "outputs": [output], "bodies": BODIES}
    (tmp_path / "workload.json").write_text(json.dumps(told))
    return tmp_path


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[str, list[int]]]:
    """A server's address, and the bodies' values in the order in which they came."""
    seen: list[int] = []
    connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = asyncio.current_task()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"POST / HTTP/1.1\r\n")
                value = struct.unpack("<f", await reader.readexactly(4))[0]
                seen.append(int(value))
                status, answered = await answer(len(seen) - 1, int(value))
                body = struct.pack("<f", answered)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
        for writer, task in connections.items():
            if task:
                task.cancel()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def sent(load: Path, workload: Path, address: str, **job: Any) -> generator.Result:
    return await asyncio.to_thread(
        generator.send, load, {"workload": str(workload), "address": address, "seconds": 20, **job}
    )


async def doubled(_: int, value: int) -> tuple[int, float]:
    return 200, 2.0 * value


async def test_a_closed_loop_sends_every_body_in_turn_and_counts_every_answer(load: Path, workload: Path) -> None:
    async with answering(doubled) as (address, seen):
        result = await sent(load, workload, address, connections=3, count=20)
    assert (result["sent"], result["good"], result["checked"], result["connected"]) == (20, 20, 20, 3)
    assert sorted(seen) == sorted(number % BODIES for number in range(20))
    assert result["latency_ms"]["count"] == 20
    assert result["errors"] == {}


async def test_a_wrong_value_is_an_error_that_shows_what_was_expected(load: Path, workload: Path) -> None:
    async def wrong(_: int, value: int) -> tuple[int, float]:
        return 200, 2.0 * value + (0.02 if value == 5 else 0.009)

    async with answering(wrong) as (address, _):
        result = await sent(load, workload, address, connections=1, count=16)
    assert (result["good"], result["errors"]) == (14, {"wrong": 2})
    assert "y: value 0 is 10.02, expected 10" in result["first_error"]


async def test_a_share_of_the_answers_can_be_checked(load: Path, workload: Path) -> None:
    async with answering(doubled) as (address, _):
        result = await sent(load, workload, address, connections=1, count=16, check_every=4)
    assert (result["good"], result["checked"]) == (16, 4)


async def test_refusals_and_expiries_are_told_from_errors(load: Path, workload: Path) -> None:
    async def mixed(number: int, value: int) -> tuple[int, float]:
        return (200, 429, 500, 504)[number % 4], 2.0 * value

    async with answering(mixed) as (address, _):
        result = await sent(load, workload, address, connections=1, count=16, refusals=[429, 503], expiries=[504])
    assert (result["good"], result["refused"], result["expired"], result["errors"]) == (4, 4, 4, {"status 500": 4})
    assert (result["latency_ms"]["count"], result["refusal_ms"]["count"]) == (4, 4)


async def test_an_open_loop_counts_latency_from_the_intended_time_while_the_server_stalls(
    load: Path, workload: Path
) -> None:
    """Fifty requests are due in a second, the first one's answer takes as long: the others can't hide behind it."""

    async def stalled(number: int, value: int) -> tuple[int, float]:
        await asyncio.sleep(1.0 if number == 0 else 0.0)
        return 200, 2.0 * value

    async with answering(stalled) as (address, _):
        result = await sent(load, workload, address, connections=1, rate=50, arrivals="constant", count=50)
    assert (result["sent"], result["good"], result["connected"]) == (50, 50, 1)
    # Answered at one second, due every 20 ms until then: half of them waited for more than half a second.
    assert result["latency_ms"]["p50"] >= 480
    # That time was the server's: how late the program itself was counts apart, one figure a request.
    assert result["lateness_ms"]["count"] == 50
    assert result["lateness_ms"]["p50"] < result["latency_ms"]["p50"]


async def test_goodput_counts_no_answer_after_its_seconds(load: Path, workload: Path) -> None:
    """Fifty a second can be answered and twice as many are asked for; what waits at the end is still in time then."""
    each, most_waiting = 0.02, 20
    free_at = 0.0

    async def busy(_: int, value: int) -> tuple[int, float]:
        nonlocal free_at
        now = asyncio.get_running_loop().time()
        if free_at - now > most_waiting * each:
            return 429, 0.0
        free_at = max(free_at, now) + each
        await asyncio.sleep(free_at - now)
        return 200, 2.0 * value

    told: dict[str, Any] = {"rate": 100, "arrivals": "constant", "seconds": 1, "deadline_seconds": 0.5}
    async with answering(busy) as (address, _):
        result = await sent(load, workload, address, connections=64, refusals=[429], **told)
    assert (result["errors"], result["seconds"]) == ({}, 1)
    assert result["timely"] > 1.2 / each, "of those let in all that came in time count, whenever they came"
    goodput = figure({"load": "overload", "result": result}, RATE)
    assert goodput is not None
    assert goodput * each <= 1


async def test_an_open_loop_opens_connections_only_as_long_as_none_is_idle(load: Path, workload: Path) -> None:
    release = asyncio.Event()

    async def held(number: int, value: int) -> tuple[int, float]:
        if number == 9:
            release.set()
        await release.wait()
        return 200, 2.0 * value

    async with answering(held) as (address, _):
        result = await sent(load, workload, address, connections=64, rate=200, arrivals="constant", count=40)
    assert (result["good"], result["errors"]) == (40, {})
    assert 10 <= result["connected"] <= 40


async def test_requests_without_an_answer_are_counted(load: Path, workload: Path) -> None:
    async def silent(number: int, value: int) -> tuple[int, float]:
        if number >= 3:
            await asyncio.Event().wait()
        return 200, 2.0 * value

    async with answering(silent) as (address, _):
        result = await sent(load, workload, address, connections=2, seconds=0.3, drain_seconds=0.2)
    assert result["good"] == 3
    assert result["unanswered"] == result["errors"]["unanswered"] == 2


async def test_a_connection_that_is_closed_costs_one_request_and_is_made_again(load: Path, workload: Path) -> None:
    async def cut(number: int, value: int) -> tuple[int, float]:
        if number == 4:
            raise ConnectionResetError
        return 200, 2.0 * value

    async with answering(cut) as (address, _):
        result = await sent(load, workload, address, connections=1, count=12)
    assert (result["good"], sum(result["errors"].values()), result["connected"]) == (11, 1, 2)


async def test_a_server_that_isnt_there_ends_the_run(load: Path, workload: Path) -> None:
    async with answering(doubled) as (address, _):
        pass
    result = await sent(load, workload, address, connections=4)
    assert result["good"] == 0
    assert set(result["errors"]) == {"connect"}


def test_a_job_that_makes_no_sense_is_refused_by_name(load: Path, workload: Path) -> None:
    with pytest.raises(Unavailable, match="connections is 0, at least 1 is needed"):
        generator.send(load, {"workload": str(workload), "address": "127.0.0.1:1", "connections": 0})


def test_calls_over_http2_pass_the_programs_own_tests() -> None:
    try:
        with gobuild.toolchain(pins.read().go, Progress()) as go:
            done = subprocess.run(
                [str(go), "test", "./..."], cwd=LOAD, capture_output=True, text=True, check=False, timeout=300
            )
    except ClusterError as why:
        pytest.skip(f"Go can't be had: {why}")
    assert done.returncode == 0, done.stdout + done.stderr
