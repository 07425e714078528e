"""The HTTP client of copies, against a server that writes what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tidegate_runtime.share.client import BadAnswer, HttpClient, TooLong, Unreachable

OK = b"HTTP/1.1 200 OK\r\nX-One: 1\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Reads whole requests, and answers each with the next of `answers`; b"" closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = [*answers]
        self.requests: list[bytes] = []
        self.connections = 0
        self.served: list[asyncio.Task[None] | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.served.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            self.requests.append(head + await reader.readexactly(int(length.partition(b":")[2])))
            await self.gate.wait()
            answer = self.answers.pop(0)
            writer.write(answer)
            if not answer.startswith(b"HTTP/1.1 2") or b"close" in answer:
                return


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[Server, HttpClient]]:
    made = Server(*answers)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    client = HttpClient("127.0.0.1", listener.sockets[0].getsockname()[1])
    try:
        yield made, client
    finally:
        client.close()
        made.gate.set()
        listener.close()
        await asyncio.gather(*filter(None, made.served))


async def test_questions_go_over_one_connection() -> None:
    async with serving(OK, OK) as (server, client):
        for _ in range(2):
            answer = await client.ask(b"POST", b"/a", [(b"x-two", b"2")], [b"bo", memoryview(b"dy")], 10)
            assert (answer.status, answer.headers[b"x-one"], answer.body) == (200, b"1", b"ok")
        assert server.connections == 1
        assert server.requests[0].startswith(b"POST /a HTTP/1.1\r\nhost: 127.0.0.1:")
        assert server.requests[0].endswith(b"\r\nx-two: 2\r\ncontent-length: 4\r\n\r\nbody")


async def test_an_answer_without_a_body_is_whole_with_its_head() -> None:
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n", OK) as (server, client):
        assert (await client.ask(b"GET", b"/", {})).status == 204
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert server.connections == 1
        assert b"content-length" not in server.requests[0]


async def test_a_connection_that_was_closed_while_it_was_idle_is_made_anew() -> None:
    async with serving(OK, b"", OK) as (server, client):
        await client.ask(b"GET", b"/", (), most=2)
        # The server closes as the second question comes, which is asked again.
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_server_that_closes_each_connection_is_served_by_new_ones() -> None:
    close = OK.replace(b"X-One: 1", b"connection: close")
    async with serving(close, close) as (server, client):
        for _ in range(2):
            assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 99\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nlong",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 40_000 + b"\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_what_is_no_answer_fails_and_the_next_question_is_asked_on_a_new_connection(answer: bytes) -> None:
    async with serving(answer, OK) as (server, client):
        with pytest.raises((BadAnswer, ConnectionError)):
            await client.ask(b"GET", b"/", (), most=2)
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("hint", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"])
async def test_what_comes_before_an_answer_is_not_taken_for_it(hint: bytes) -> None:
    """Else the answer would be taken for that of the next question."""
    async with serving(hint + OK, OK.replace(b"ok", b"no")) as (_, client):
        answer = await client.ask(b"GET", b"/", (), most=2)
        assert (answer.status, answer.body, b"link" in answer.headers) == (200, b"ok", False)
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"no"


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"a"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"a"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: a\r\n"),
    ],
)
async def test_what_stands_around_a_body_is_not_read_for_ever(begun: bytes, endless: bytes) -> None:
    """The parser keeps it, and puts all of it together again at each read."""
    read = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal read
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begun)
        with contextlib.suppress(ConnectionError):
            while read < 32 << 20:
                await writer.drain()
                writer.write(endless * (4096 // len(endless)))
                read += 4096
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        client = HttpClient("127.0.0.1", listener.sockets[0].getsockname()[1])
        with pytest.raises(BadAnswer, match="over 32768 bytes"):
            await client.ask(b"GET", b"/", (), most=2)
        assert read < 32 << 20


async def test_a_trailer_is_not_taken_for_a_header() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nx: head\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: trailer\r\n\r\n"
    async with serving(chunked) as (_, client):
        answer = await client.ask(b"GET", b"/", (), most=2)
    assert (answer.headers[b"x"], answer.body) == (b"head", b"ok")


async def test_more_than_one_answer_ends_the_connection() -> None:
    async with serving(OK + OK, OK.replace(b"ok", b"no")) as (server, client):
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"no"
        assert server.connections == 2


async def test_a_body_over_the_bound_is_not_read() -> None:
    async with serving(OK) as (_, client):
        with pytest.raises(TooLong, match="over 1 bytes"):
            await client.ask(b"GET", b"/", (), most=1)


async def test_a_body_that_there_is_no_room_for_is_not_read() -> None:
    async with serving(OK, OK, OK) as (server, client):
        asked: list[int] = []

        def room(size: int) -> bool:
            asked.append(size)
            return len(asked) > 1

        with pytest.raises(TooLong, match="no room"):
            await client.ask(b"GET", b"/", (), most=2, room=room)
        assert (await client.ask(b"GET", b"/", (), most=2, room=room)).body == b"ok"
        # The room is one question's.
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert (server.connections, asked) == (2, [2, 2])


async def test_nobody_there_is_a_failure() -> None:
    listener = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    with pytest.raises(Unreachable):
        await HttpClient("127.0.0.1", port).ask(b"GET", b"/", {})


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".b"])
async def test_a_name_that_cant_be_asked_for_is_one_where_nobody_is(host: str) -> None:
    with pytest.raises(Unreachable):
        await HttpClient(host, 80).ask(b"GET", b"/", {})


async def test_an_answer_to_a_question_that_was_given_up_is_taken_for_no_other() -> None:
    late = OK.replace(b"ok", b"no")
    async with serving(late, OK) as (server, client):
        server.gate.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ask(b"GET", b"/", (), most=2)
        server.gate.set()
        assert (await client.ask(b"GET", b"/", (), most=2)).body == b"ok"
        assert server.connections == 2
