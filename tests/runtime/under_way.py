"""Requests that are under way at the same time, whatever else the machine does."""

import asyncio
from typing import Any

import httpx2

from .conftest import Process

WAIT_SECONDS = 60.0


async def under_way(
    process: Process, client: httpx2.AsyncClient, body: dict[str, Any], count: int, model: str = "m"
) -> list[asyncio.Task[httpx2.Response]]:
    """So many requests for the model that the server has, and hasn't answered.

    On a busy machine the first may be answered before the last is sent; another is sent in its place then.
    """
    requests: list[asyncio.Task[httpx2.Response]] = []
    wanted = f'tidegate_inflight{{model="{model}",version="1"}} {count:.1f}'
    async with asyncio.timeout(WAIT_SECONDS):
        while wanted not in (await client.get(process.admin_url("/metrics"))).text:
            requests = [request for request in requests if not request.done()]
            url = process.url(f"/v2/models/{model}/infer")
            requests += [asyncio.create_task(client.post(url, json=body)) for _ in range(count - len(requests))]
    return requests
