"""Administration that comes in at a front end is done by the hub, as if it had come in there."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_runtime.errors import ExecutionFailed, LoadFailed
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.workers.questions import Asking
from tidegate_runtime.workers.uplink import Uplink

from .hub_ends import ends

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


@pytest.mark.parametrize(("act", "asked", "answered"), ACTS, ids=[str(asked[0]) for _, asked, _ in ACTS])
async def test_the_hub_does_what_a_front_end_is_asked_to_do(
    act: Callable[[Asking], Awaitable[Any]], asked: tuple[object, ...], answered: object
) -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        assert await act(Asking(uplink.ask)) == answered
        assert made.administration.asked == [asked]
        uplink.end()


async def test_what_the_hub_refuses_is_refused_by_the_front_end_in_the_same_words() -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        made.administration.fault = LoadFailed('failed to load "m": no')
        with pytest.raises(LoadFailed, match='failed to load "m": no'):
            await Asking(uplink.ask).load("m")
        uplink.end()


@pytest.mark.parametrize(
    "question",
    [b"", b"{}", b"[]", b"\xff", b'["load"]', b'["load", 1]', b'["close"]', b'["traces", "m", []]'],
)
async def test_what_nobody_asks_is_no_reason_to_do_anything(question: bytes) -> None:
    async with ends() as made:
        uplink = Uplink(made.other)
        with pytest.raises(ExecutionFailed, match="can't answer"):
            await uplink.ask(question)
        assert made.administration.asked == []
        assert not made.killed.is_set()
        uplink.end()
