"""In which order services are due after a start: what somebody has changed isn't behind all that is there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from tidegate_operator.controller.command import Controller
from tidegate_operator.install import Install
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.fence import Fence
from tidegate_operator.kube.objects import SERVICES

from .builders import Object, a_service


def at(version: int, name: str, *, answered: bool) -> Object:
    item = a_service(name=name)
    item["metadata"]["resourceVersion"] = str(version)
    return {**item, "status": {"observedGeneration": 1} if answered else {}}


class Listed(ApiServer):
    """An API server that has these services, and nothing else."""

    def __init__(self, *services: Object) -> None:
        self._services = services

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        items = list(self._services) if path == SERVICES.collection() else []
        return {"metadata": {"resourceVersion": "10"}, "items": items}


@pytest.fixture
async def controller() -> AsyncIterator[Controller]:
    services = [at(1, "a", answered=True), at(2, "b", answered=True), at(3, "changed", answered=False)]
    async with aiohttp.ClientSession() as session:
        yield Controller(Listed(*services), session, Install(), Fence())


async def due(controller: Controller, count: int) -> list[str]:
    return [(await controller.queue.get()).name for _ in range(count)]


async def test_what_was_changed_before_a_start_is_due_first_and_what_is_changed_later_before_the_rest(
    controller: Controller,
) -> None:
    listing = asyncio.create_task(controller.keep_listed())
    try:
        await controller.listed.wait()
        assert await due(controller, 1) == ["changed"]
        await controller.see(at(11, "made later", answered=False), deleted=False)
        first, *rest = await due(controller, 3)
        assert (first, sorted(rest)) == ("made later", ["a", "b"])
    finally:
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)


async def test_what_the_streams_tell_of_a_start_before_the_listing_does_is_no_news(controller: Controller) -> None:
    for item in (at(1, "a", answered=True), at(3, "changed", answered=False)):
        await controller.see(item, deleted=False)
    assert await due(controller, 2) == ["changed", "a"]
