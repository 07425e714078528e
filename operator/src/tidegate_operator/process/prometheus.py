"""Prometheus, asked by HTTP for what services' analyses want to know.

It is one for all services, and none of their passes may stand behind it: an asking goes on by itself, and a later pass
is told what it brought.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from tidegate_operator.evidence.answers import LONGEST_BYTES, Answer, Unanswered, answer_of
from tidegate_operator.evidence.queries import Names, refusal, rendered
from tidegate_operator.install import Install
from tidegate_operator.process.prometheus_access import Access, PrometheusAccess, Unusable

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 10.0
"""How long a query may take, with the time for which it waits for its turn."""

AT_ONCE: Final = 8
"""Queries under way, of all services together: Prometheus runs 20 by its defaults, and has others to answer."""

Service = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True)
class _Asking:
    about: tuple[object, ...]
    task: "asyncio.Task[tuple[Answer, ...]]"


class Prometheus:
    """`analyst.Questions` by the install's Prometheus."""

    def __init__(
        self, session: aiohttp.ClientSession, install: Install, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._session = session
        self._install = install
        self._access = PrometheusAccess(install)
        self._patience = patience_seconds
        self._url = f"{install.prometheus_url.rstrip('/')}/api/v1/query"
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._askings: dict[Service, _Asking] = {}

    def answers(self, names: Names, window: object, queries: Sequence[str]) -> tuple[Answer, ...] | None:
        """See `analyst.Questions.answers`."""
        service, about = (names.namespace, names.service), (window, *queries)
        asking = self._askings.get(service)
        if asking is None or asking.about != about:
            self.forget(*service)
            task = asyncio.get_running_loop().create_task(self._ask(names, queries), name="prometheus")
            asking = self._askings[service] = _Asking(about, task)
        if not asking.task.done():
            return None
        if asking.task.cancelled() or asking.task.exception():
            # So that the next pass begins anew.
            del self._askings[service]
        return asking.task.result()

    def forget(self, namespace: str, service: str) -> None:
        """See `analyst.Questions.forget`."""
        asking = self._askings.pop((namespace, service), None)
        if asking is not None:
            asking.task.cancel()

    async def _ask(self, names: Names, queries: Sequence[str]) -> tuple[Answer, ...]:
        told = refusal(names.namespace, self._install)
        if told is not None:
            return (Unanswered(told),) * len(queries)
        parameters = {name: rendered(text, names) for name, text in self._install.prometheus_parameters.items()}
        try:
            access = await asyncio.to_thread(self._access.read)
        except Unusable as why:
            return (Unanswered(str(why)),) * len(queries)
        return tuple(await asyncio.gather(*(self._one(query, parameters, access) for query in queries)))

    async def _one(self, query: str, parameters: dict[str, str], access: Access) -> Answer:
        asked = {"query": query, "timeout": f"{self._patience:g}s"}
        try:
            async with (
                asyncio.timeout(self._patience),
                self._turns,
                # By POST, since a query may be longer than what proxies take for an address. Who answers here is the
                # administrator's choice, and where that leads on to isn't.
                self._session.post(
                    self._url,
                    params=parameters,
                    data=asked,
                    headers=access.headers,
                    ssl=access.trust,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _at_most(response.content, LONGEST_BYTES)
        except TimeoutError:
            return Unanswered(f"Prometheus didn't answer within {self._patience:g} s")
        except aiohttp.ClientConnectorCertificateError as error:
            logger.warning("Prometheus isn't trusted", extra={"error": str(error)})
            return Unanswered(f"Prometheus' certificate isn't trusted: {_why(error)}; see prometheus.ca of the chart")
        except (aiohttp.ClientError, OSError) as error:
            logger.warning("Prometheus can't be asked", extra={"error": str(error)})
            return Unanswered("Prometheus can't be reached")
        if body is None:
            return Unanswered(f"it gives more than {LONGEST_BYTES} bytes: aggregate it to one sample, as by sum or max")
        return answer_of(response.status, body)


def _why(error: aiohttp.ClientConnectorCertificateError) -> str:
    told = error.certificate_error
    return told.verify_message if isinstance(told, ssl.SSLCertVerificationError) else type(told).__name__


async def _at_most(content: aiohttp.StreamReader, limit: int) -> bytes | None:
    """All of it; None if it is longer."""
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)
