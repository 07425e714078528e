"""Metrics pages of pods, by HTTP."""

from collections.abc import Awaitable, Callable

import aiohttp

from tidegate_operator.exposition import Malformed
from tidegate_operator.naming import ADMIN_PORT

MAX_PAGE_BYTES = 1 << 20

Fetch = Callable[[str], Awaitable[str]]
"""The page at a URL; raises TimeoutError, aiohttp.ClientError or exposition.Malformed."""


def page_url(address: str) -> str:
    """Where a pod with that address serves its metrics."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{ADMIN_PORT}/metrics"


def evidence_url(address: str) -> str:
    """Where it serves what canaries are judged by."""
    return f"{page_url(address)}/evidence"


def http_fetch(session: aiohttp.ClientSession) -> Fetch:
    """Fetch by HTTP.

    Whoever may label a pod chooses what answers here, so redirects aren't followed and the size is bounded.
    """

    async def fetch(url: str) -> str:
        async with session.get(url, allow_redirects=False, headers={"Accept": "text/plain"}) as response:
            if response.status != 200:
                raise aiohttp.ClientResponseError(
                    response.request_info, response.history, status=response.status, message="not 200"
                )
            page = bytearray()
            async for part in response.content.iter_any():
                page += part
                if len(page) > MAX_PAGE_BYTES:
                    raise Malformed(f"longer than {MAX_PAGE_BYTES} bytes")
            return page.decode("utf-8", errors="replace")

    return fetch
