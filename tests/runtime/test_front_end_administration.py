"""Administration that comes in at a front end is done by the hub, as if it had come in there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_runtime.errors import InvalidRequest, LoadFailed, Overloaded
from tidegate_runtime.model.child import messages
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.workers import records
from tidegate_runtime.workers.inquiries import MOST_AT_ONCE
from tidegate_runtime.workers.questions import TOTALS, Asking
from tidegate_runtime.workers.records import Kind
from tidegate_runtime.workers.uplink import Uplink

from .hub_ends import Ends, Recorded, ends

pytestmark = pytest.mark.asyncio

REGION = Region("r", "/r", 4, 8)
FAR = Region("q", "/q", 0, 2**64 - 1)
ACTS: list[tuple[Callable[[Asking], Awaitable[Any]], tuple[object, ...], object]] = [
    (
        lambda asking: asking.index(ready=True),
        ("index", True),
        [{"name": "m", "version": "1", "state": "READY"}],
    ),
    (lambda asking: asking.load("ä/b"), ("load", "ä/b"), None),
    (lambda asking: asking.unload("m"), ("unload", "m"), None),
    (
        lambda asking: asking.log_levels({"log_info": False}),
        ("log_levels", {"log_info": False}),
        {"log_info": False, "log_verbose_level": 0},
    ),
    (
        lambda asking: asking.traces("m", {"trace_rate": ["7"]}),
        ("traces", "m", {"trace_rate": ["7"]}),
        {"trace_rate": "7", "trace_level": ["TIMESTAMPS"]},
    ),
    (lambda asking: asking.regions(""), ("regions", ""), [REGION]),
    (lambda asking: asking.register(FAR), ("register", FAR), None),
    (lambda asking: asking.unregister("r"), ("unregister", "r"), None),
]


def recorded(made: Ends) -> Recorded:
    assert made.administration is not None
    return made.administration


@pytest.mark.parametrize(("act", "asked", "answered"), ACTS, ids=[str(asked[0]) for _, asked, _ in ACTS])
async def test_the_hub_does_what_a_front_end_is_asked_to_do(
    act: Callable[[Asking], Awaitable[Any]], asked: tuple[object, ...], answered: object
) -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        assert await act(Asking(uplink.ask)) == answered
        assert recorded(made).asked == [asked]
        uplink.end()


async def test_what_the_hub_refuses_is_refused_by_the_front_end_in_the_same_words() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        recorded(made).fault = LoadFailed('failed to load "modèle…": no')
        with pytest.raises(LoadFailed, match=r'^failed to load "modèle…": no$'):
            await Asking(uplink.ask).load("modèle…")
        uplink.end()


async def test_an_answer_longer_than_a_record_arrives_whole() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        entries = [{"name": f"model-{number}", "state": "READY"} for number in range(4000)]
        recorded(made).entries = entries
        assert await Asking(uplink.ask).index(ready=False) == entries
        uplink.end()


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("wanted", "said"), [({"log_info": nested(300)}, "can't be told"), ({"x" * 70_000: True}, "the limit is 65535")]
)
async def test_what_is_too_much_to_tell_the_hub_is_the_clients_to_change(wanted: dict[str, Any], said: str) -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        with pytest.raises(InvalidRequest, match=said):
            await Asking(uplink.ask).log_levels(wanted)
        assert recorded(made).asked == []
        uplink.end()


NONSENSE = [b"", b"{}", b"[]", b"\xff", b'["load"]', b'["load", 1]', b'["close"]', b'["traces", "m", []]']


@pytest.mark.parametrize("question", NONSENSE)
async def test_a_front_end_that_asks_what_none_asks_is_killed(question: bytes) -> None:
    async with ends() as made:
        made.other.send(records.said(Kind.ASK, 1, question))
        await asyncio.wait_for(made.killed.wait(), 10)
        assert recorded(made).asked == []


async def test_a_front_end_that_administers_where_it_may_not_is_killed() -> None:
    async with ends() as made:
        made.administration = None
        made.other.send(records.said(Kind.ASK, 1, b'["index",true]'))
        await asyncio.wait_for(made.killed.wait(), 10)


async def test_a_load_goes_on_when_its_client_leaves_and_the_next_question_is_answered() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        administration, asking = recorded(made), Asking(uplink.ask)
        administration.loading.clear()
        loading = asyncio.create_task(asking.load("m"))
        await asyncio.sleep(0)
        await asking.unregister("r")
        loading.cancel()
        administration.loading.set()
        assert await asking.regions("") == [REGION]
        assert [asked[0] for asked in administration.asked] == ["load", "unregister", "regions"]
        uplink.end()


async def test_a_load_goes_on_when_its_front_end_is_gone() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        administration = recorded(made)
        administration.loading.clear()
        loading = asyncio.create_task(Asking(uplink.ask).load("m"))
        await asyncio.sleep(0)
        await Asking(uplink.ask).unregister("r")
        uplink.end()
        made.link.lost()
        administration.loading.set()
        await asyncio.wait_for(administration.loaded.wait(), 10)
        loading.cancel()


async def test_of_too_many_questions_at_once_the_last_are_to_be_asked_again() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        administration, asking = recorded(made), Asking(uplink.ask)
        administration.loading.clear()
        loads = [asyncio.create_task(asking.load(str(number))) for number in range(MOST_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="try again later"):
            await asking.load("one more")
        administration.loading.set()
        assert await asyncio.gather(*loads) == [None] * MOST_AT_ONCE
        uplink.end()


async def test_a_long_answer_that_this_process_has_no_descriptor_left_for_is_to_be_asked_for_again() -> None:
    line, hub = messages.pair()
    with hub:
        uplink = Uplink(line)
        asking = asyncio.create_task(uplink.ask(TOTALS))
        await asyncio.sleep(0)
        (number,) = uplink._questions
        hub.send(records.plain(Kind.LONG_ANSWER, number, 100_000))
        with pytest.raises(Overloaded, match="too many files are open"):
            await asyncio.wait_for(asking, 10)
        uplink.end()
