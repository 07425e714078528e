"""One model's requests that are a canary's to answer: asked there, and counted by what came of them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tidegate_runtime.handover.choice import Choice, Header
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.handover.pods import Held, Pods
from tidegate_runtime.naming import HANDOVER, HOP_HEADER, ROUTE_HEADER, ROUTED_BY_MATCH, HandoverOutcome, HandoverReason
from tidegate_runtime.share.client import Answer, TooLong

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A longer one is given here, where it needn't be held whole a second time."""

SPARE: Final = 4.0
"""How many times our own p95 a request's time has to be, for half of it to do; and for how many a canary has to be
waited for, by a caller who bounds that, for it to have failed."""

_RECKONED_EACH: Final = 256
"""Requests that it is asked for, after which our own p95 is reckoned again."""
_BUSY: Final = 429
_LATE: Final = 504
_OWN: Final = ((HOP_HEADER.encode(), HANDOVER.encode()),)
_CHOSEN: Final = (*_OWN, (ROUTE_HEADER.encode(), ROUTED_BY_MATCH.encode()))

Headers = Sequence[tuple[bytes, bytes]]


class Given(NamedTuple):
    """What a canary has for a request."""

    seconds: float
    hurried: bool
    """Whether that is less than any has, by its caller's bound."""


class Handing:
    """Called from the event loop."""

    def __init__(
        self,
        choice: Choice,
        pods: Pods,
        figures: HandoverFigures,
        own_seconds: Callable[[], float],
        timeout_seconds: float = 0.0,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """`own_seconds` is the p95 of our own answers, and `timeout_seconds` what the canary gives requests.

        `draining` says whether this process is about to end.
        """
        self._choice = choice
        self._pods = pods
        self._own_seconds = own_seconds
        self._p95_seconds = own_seconds()
        self._until_reckoned = _RECKONED_EACH
        self._draining = draining
        self.timeout_seconds = timeout_seconds
        """What a request has that the canary failed, too, where it is more than we give any: else the time of one that
        hung would be over."""
        self.figures = figures

    def reason(self, header: Header) -> HandoverReason | None:
        """Why the request with these headers is to be handed over; None if it isn't, or if nobody would take it.

        A share is the canary's though none of its pods takes any: that it can't answer is what is to be seen of it. But
        as long as they haven't been asked whether they are ready, or none is told, nothing is known of it: then
        Kubernetes doesn't hear from them, or from their node, which our own may be on as well.
        """
        reason = self._choice.of(header)
        if reason is None or not (reachable := self._pods.reachable):
            return reason if reason is HandoverReason.WEIGHT and reachable == 0 and self._pods.told else None
        return reason

    def given(self, limit: float, own: float | None) -> Given | None:
        """What the canary has for a request that we give `limit` seconds, and its caller `own`; None: no bound.

        None for one whose time is over, or won't do: it is no share of the canary's, and is told so here.
        """
        longest = self.longest(limit)
        left = longest if own is None else min(own, longest)
        hurried = left < longest
        if left <= 0 or (hurried and self.hopeless(left)):
            return None
        return Given(self.patience(left), hurried)

    def longest(self, limit: float) -> float:
        """What a request has that doesn't bound its own time: our `limit`, or what the canary gives if that is more.

        Not in a process that is about to end, which waits for no request longer than by its own limit.
        """
        return limit if self._draining() else max(limit, self.timeout_seconds)

    def patience(self, seconds: float) -> float:
        """How long the canary has for a request with so many seconds.

        Half of them: the rest is for an answer from here. All, if our own answers take so long that a canary as good as
        this revision would be cut off.
        """
        return seconds / 2 if SPARE * self._p95_seconds <= seconds else seconds

    def hopeless(self, seconds: float) -> bool:
        """Whether we would mostly fail a request with so many seconds: then that is no share of the canary's."""
        if seconds >= self._p95_seconds:
            return False
        self._reckon()
        return True

    async def ask(
        self,
        reason: HandoverReason,
        path: bytes,
        headers: Headers,
        body: bytes | bytearray,
        seconds: float,
        good: Callable[[Answer], bool] = lambda _: True,
        *,
        hurried: bool = False,
    ) -> Answer | None:
        """The canary's answer, which is a good one; None: the request is to be answered here.

        It has so many `seconds` for it, which are less than any if it is `hurried`, by its caller. `good` says whether
        a 200 is of the form that was asked for. It may be cancelled: who has waited for long then has timed out.
        """
        self._reckon()
        outcome, answer = HandoverOutcome.FAILED, None
        marks = _CHOSEN if reason is HandoverReason.MATCH else _OWN
        time = asyncio.get_running_loop().time
        began = time()
        try:
            async with asyncio.timeout(seconds):
                answer = await self._asked(path, (*headers, *marks), body)
            outcome = _outcome(answer, good)
        except asyncio.CancelledError:
            if self._telling(time() - began):
                self.figures.count(reason, HandoverOutcome.TIMEOUT)
            raise
        except TimeoutError:
            outcome = HandoverOutcome.TIMEOUT
        except ConnectionError:
            outcome = HandoverOutcome.UNREACHABLE
        except TooLong:
            # Ours may be as long; and that there is no room for it is no fault of the canary's.
            outcome = HandoverOutcome.OVERLOADED
        except OSError as error:
            logger.warning("the canary's answer can't be understood", extra={"detail": str(error)})
        except Exception:
            # Whatever it is, the request is still to be answered.
            logger.exception("a request could not be handed over")
        if outcome is HandoverOutcome.TIMEOUT and hurried and not self._telling(seconds):
            outcome = HandoverOutcome.OVERLOADED
        self.figures.count(reason, outcome)
        return answer if outcome is HandoverOutcome.ANSWERED else None

    def _reckon(self) -> None:
        """Has our own p95 be that of now, once in a while."""
        self._until_reckoned -= 1
        if not self._until_reckoned or not self._p95_seconds:
            self._until_reckoned, self._p95_seconds = _RECKONED_EACH, self._own_seconds()

    def _telling(self, seconds: float) -> bool:
        """Whether a canary that doesn't answer within so many has failed, and not who would wait no longer.

        As long as we have answered nothing ourselves, it isn't known.
        """
        return 0 < SPARE * self._p95_seconds <= seconds

    async def _asked(self, path: bytes, headers: Headers, body: bytes | bytearray) -> Answer | None:
        """What a pod answers; None where there is no room to ask."""
        pod = self._pods.pick(len(body))
        if pod is None:
            return None
        line, held = pod.take(), Held(self._pods, len(body))
        try:
            return await line.ask(b"POST", path, headers, [body], MAX_ANSWER_BYTES, held.more)
        finally:
            held.over()
            pod.give_back(line)


def _outcome(answer: Answer | None, good: Callable[[Answer], bool]) -> HandoverOutcome:
    if answer is None or answer.status == _BUSY:
        return HandoverOutcome.OVERLOADED
    if answer.status == _LATE:
        return HandoverOutcome.TIMEOUT
    return HandoverOutcome.ANSWERED if answer.status == 200 and good(answer) else HandoverOutcome.FAILED
