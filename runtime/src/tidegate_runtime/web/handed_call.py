"""A hot request that is another server's to answer: sent on as it came, and answered here where that fails."""

import asyncio
from typing import TYPE_CHECKING, Final

from tidegate_runtime.handover.handing import Given, Handing
from tidegate_runtime.naming import ROUTE_HEADER, HandoverReason
from tidegate_runtime.protocol.parameters import glimpsed_seconds
from tidegate_runtime.share.client import Answer
from tidegate_runtime.web.onward import back, onward, reader
from tidegate_runtime.web.reply import reply
from tidegate_runtime.web.turn import JOINED_BYTES

if TYPE_CHECKING:
    from tidegate_runtime.web.hot_call import HotCall

_UNVERSIONED: Final = 4
"""Slashes in a path that names a model, but no version of it."""


def hand_over(call: "HotCall", handing: Handing) -> bool:
    """Whether the call's request, whose body is whole, is handed over; then it is answered.

    What another server has sent on, or a router has chosen a revision for, is answered where it arrives, and so is what
    names a version.
    """
    head = call.head
    if head.hop or head.url.count(b"/") != _UNVERSIONED:
        return False
    header = reader(head.given)
    reason = None if header(ROUTE_HEADER) else handing.reason(header)
    if reason is None:
        return False
    given = handing.given(head.model.limits.timeout_seconds, glimpsed_seconds(call.body, head.json_size))
    if given is None:
        return False
    call.handed = handing
    # It may have to be answered here after all.
    head.model.hold()
    call.asking = asking = asyncio.create_task(_ask(call, handing, reason, given))
    asking.add_done_callback(lambda _: head.model.release())
    return True


async def _ask(call: "HotCall", handing: Handing, reason: HandoverReason, given: Given) -> None:
    head, (seconds, hurried) = call.head, given
    answer = await handing.ask(reason, head.url, onward(head.given), call.body, seconds, hurried=hurried)
    call.asking = None
    if call.over:
        return
    if answer is None:
        call.take_whole()
        return
    try:
        _pass_on(call, answer, handing.figures.canary)
    except Exception:
        call.fail()


def _pass_on(call: "HotCall", answer: Answer, revision: str) -> None:
    headers = [*call.server_state.default_headers, *back(answer.headers, revision)]
    call.parsed, call.delivered = call.received, call.clock()
    pieces = reply(answer.status, headers, [answer.body], close=not call.keep_alive)
    if len(answer.body) <= JOINED_BYTES:
        call.transport.write(b"".join(pieces))
    else:
        call.transport.writelines(pieces)
    call.handed = None
    call.end(answer.status)
