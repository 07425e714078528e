"""Asks what share of requests is handed over or copied, in a question that is held until there is news."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from tidegate_runtime.naming import ShareAnswer
from tidegate_runtime.share.client import Answer, Asking, HttpClient
from tidegate_runtime.share.document import MAX_BYTES, Share, UnreadableShare, parse

logger = logging.getLogger(__name__)

HOLD_SECONDS: Final = 25
"""For which the question is held where there is no news."""

SLACK_SECONDS: Final = 10.0
"""Beyond that an answer is late."""

LEAST_SECONDS: Final = 0.2
"""Between an answer with news and the next question."""

SOON_SECONDS: Final = 1.0
"""A question that is answered before, without news, isn't held, so it isn't asked again at once."""

MOST_SECONDS: Final = 30.0
"""Between questions that fail one after the other."""


class ShareQuestions:
    """Asks for as long as `run` does. What was told last holds until something else is."""

    def __init__(
        self,
        url: str,
        told: Callable[[Share], None],
        server: Asking | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`told` is called with each share that is news. `server` stands for the one that `url` names."""
        parts = urlsplit(url)
        self._path = (parts.path or "/").encode() + (f"?{parts.query}".encode() if parts.query else b"")
        self._server = server or HttpClient(parts.hostname or "", parts.port or 80)
        self._told = told
        self._clock = clock or asyncio.get_running_loop().time
        self._sleep = sleep
        self._revision: str | None = None
        self._failures = 0
        self.answers: dict[str, int] = {answer.value: 0 for answer in ShareAnswer}
        """Questions by what came of them."""

    async def run(self) -> None:
        """Never returns."""
        try:
            while True:
                began = self._clock()
                outcome = await self._ask()
                self.answers[outcome.value] += 1
                await self._sleep(self._pause(outcome, self._clock() - began))
        finally:
            self._server.close()

    async def _ask(self) -> ShareAnswer:
        headers = [(b"accept", b"application/json")]
        if self._revision is not None:
            headers.append((b"if-none-match", b'"%b"' % self._revision.encode()))
        try:
            async with asyncio.timeout(HOLD_SECONDS + SLACK_SECONDS):
                answer = await self._server.ask(b"GET", self._path, headers, most=MAX_BYTES)
            return self._read(answer)
        except OSError as error:  # Of which TimeoutError is one.
            return self._failed(str(error) or "no answer in time")
        except Exception as error:
            # Whatever it is: what is told later is still to be heard.
            if not self._failures:
                logger.exception("a question about the share, or what was told, failed")
            return self._failed(type(error).__name__)

    def _read(self, answer: Answer) -> ShareAnswer:
        if answer.status == 304:
            self._failures = 0
            return ShareAnswer.UNCHANGED
        if answer.status != 200:
            return self._failed(f"it answered {answer.status}")
        try:
            share = parse(answer.body)
        except UnreadableShare as error:
            self._note("the share can't be read; what was told before holds", str(error))
            return ShareAnswer.UNREADABLE
        if share.revision != self._revision:
            self._told(share)
            self._revision = share.revision
            outcome = ShareAnswer.NEWS
        else:
            outcome = ShareAnswer.UNCHANGED
        self._failures = 0
        return outcome

    def _failed(self, detail: str) -> ShareAnswer:
        self._note("the share can't be asked for; what was told before holds", detail)
        return ShareAnswer.FAILED

    def _note(self, message: str, detail: str) -> None:
        self._failures += 1
        if self._failures == 1:  # The metrics count the others.
            logger.warning(message, extra={"detail": detail})

    def _pause(self, outcome: ShareAnswer, took: float) -> float:
        """Seconds until the next question."""
        if outcome is ShareAnswer.NEWS:
            return LEAST_SECONDS
        if outcome is ShareAnswer.UNCHANGED:
            return 0.0 if took >= SOON_SECONDS else SOON_SECONDS
        # Not all at once, when the server is back.
        return min(MOST_SECONDS, 2.0 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.0)
