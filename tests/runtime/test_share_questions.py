"""The question about the share, on virtual time: held, answered, failed, and what holds meanwhile."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import orjson
import pytest

from tidegate_runtime.share.client import Answer, Header, Room
from tidegate_runtime.share.document import Share
from tidegate_runtime.share.questions import HOLD_SECONDS, MOST_SECONDS, SOON_SECONDS, ShareQuestions

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

Reply = Callable[[str | None], tuple[float, Answer | Exception]]


def told(revision: str, percent: float = 20, version: int = 1) -> Answer:
    shadow = {"percent": percent, "revision": "2", "targets": ["10.0.0.5:8080"]}
    return Answer(200, {}, orjson.dumps({"version": version, "revision": revision, "shadow": shadow}))


class Server:
    """Answers each question, by what the caller has, after so many seconds."""

    def __init__(self, *replies: tuple[float, Answer | Exception]) -> None:
        self.replies = [*replies]
        self.asked: list[tuple[float, Mapping[bytes, bytes]]] = []
        self.closed = False

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        assert (method, path, parts) == (b"GET", b"/v1/share/ml/churn-1?x=y", ())
        assert most > 0
        self.asked.append((asyncio.get_running_loop().time(), dict(headers)))
        seconds, answer = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        await asyncio.sleep(seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


async def asked(server: Server, seconds: float) -> tuple[list[Share], dict[str, int]]:
    """What was told within that time, and what came of the questions."""
    shares: list[Share] = []
    questions = ShareQuestions("http://xds:18000/v1/share/ml/churn-1?x=y", shares.append, server)
    task = asyncio.create_task(questions.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert server.closed
    return shares, {answer: count for answer, count in questions.answers.items() if count}


async def test_news_is_told_once_and_the_next_question_says_what_is_known() -> None:
    server = Server((0.0, told("7.a")), (5.0, told("8.b", 50)), (1000.0, told("9.c")))
    shares, counts = await asked(server, 10)
    assert [share.revision for share in shares] == ["7.a", "8.b"]
    assert counts == {"news": 2}
    assert [headers.get(b"if-none-match") for _, headers in server.asked] == [None, b'"7.a"', b'"8.b"']


async def test_a_held_question_is_asked_again_at_once() -> None:
    server = Server((0.0, told("7.a")), (25.0, Answer(304, {}, b"")))
    shares, counts = await asked(server, 80)
    assert len(shares) == 1
    assert counts == {"news": 1, "unchanged": 3}


@pytest.mark.parametrize("answer", [Answer(304, {}, b""), told("7.a")])
async def test_a_server_that_doesnt_hold_questions_isnt_asked_all_the_time(answer: Answer) -> None:
    server = Server((0.0, told("7.a")), (0.0, answer))
    _, counts = await asked(server, 10 * SOON_SECONDS)
    assert counts["unchanged"] <= 10


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ConnectionRefusedError("nobody there"), "failed"),
        # The task ended by it, and nobody heard of that.
        (UnicodeError("label empty or too long"), "failed"),
        (Answer(503, {}, b""), "failed"),
        (Answer(404, {}, b""), "failed"),
        (told("8.b", version=2), "unreadable"),
        (Answer(200, {}, b"<html>"), "unreadable"),
    ],
)
async def test_failures_change_nothing_and_come_ever_more_rarely(answer: Answer | Exception, outcome: str) -> None:
    server = Server((0.0, told("7.a")), (0.0, answer))
    shares, counts = await asked(server, 600)
    assert [share.revision for share in shares] == ["7.a"]
    assert counts.keys() == {"news", outcome}
    # 1, 2, 4, 8 and 16 s, then 30 s, each at least half as long.
    assert 20 <= counts[outcome] <= 5 + 2 * 600 / MOST_SECONDS + 1


async def test_a_share_that_cant_be_gone_by_isnt_the_last_that_is_heard_of() -> None:
    server = Server((0.0, told("7.a")), (0.0, told("8.b", 50)), (1000.0, told("9.c")))
    shares: list[Share] = []

    def gone_by(share: Share) -> None:
        if not shares:
            shares.append(share)
            raise ZeroDivisionError
        shares.append(share)

    questions = ShareQuestions("http://xds:18000/v1/share/ml/churn-1?x=y", gone_by, server)
    task = asyncio.create_task(questions.run())
    await asyncio.sleep(10)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert [share.revision for share in shares] == ["7.a", "8.b"]
    assert (questions.answers["failed"], questions.answers["news"]) == (1, 1)
    # Of the first it is still to be told.
    assert b"if-none-match" not in server.asked[1][1]


async def test_a_question_that_is_never_answered_is_given_up() -> None:
    server = Server((1000.0, told("7.a")))
    _, counts = await asked(server, HOLD_SECONDS + 30)
    assert counts == {"failed": 1}


async def test_what_is_told_after_failures_holds_at_once() -> None:
    server = Server(
        (0.0, ConnectionRefusedError()), (0.0, ConnectionRefusedError()), (0.0, told("7.a")), (1e3, told(""))
    )
    shares, counts = await asked(server, 5)
    assert [share.revision for share in shares] == ["7.a"]
    assert counts == {"failed": 2, "news": 1}
