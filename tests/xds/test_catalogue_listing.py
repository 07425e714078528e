import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tidegate_operator.errors import Unavailable
from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.listing import Lister

pytestmark = pytest.mark.looptime


class Api:
    """An API server whose version grows by one with each listing; it is away until `back_at` of the loop's time."""

    def __init__(self, back_at: float = 0) -> None:
        self.back_at = back_at
        self.version = 100
        self.asked: list[tuple[str, Mapping[str, str] | None]] = []

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.asked.append((path, query))
        await asyncio.sleep(0.1)
        if asyncio.get_running_loop().time() < self.back_at:
            raise Unavailable("connection refused", 0)
        self.version += 1
        return {"metadata": {"resourceVersion": str(self.version)}, "items": []}


class Run:
    def __init__(self, api: Api) -> None:
        self.catalogue = Catalogue("cluster.test")
        self.listed: list[float] = []
        note = lambda: self.listed.append(asyncio.get_running_loop().time())  # noqa: E731
        self.lister = Lister(api, self.catalogue, note, period_seconds=300)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.lister.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_both_kinds_are_listed_at_start_and_then_every_five_minutes() -> None:
    api = Api()
    run = Run(api)
    await asyncio.sleep(650)
    await run.stop()
    assert run.listed == pytest.approx([0.2, 301.4, 602.6])
    assert api.asked[:2] == [
        ("/apis/tidegate.dev/v1alpha1/inferenceservices", None),
        (
            "/apis/discovery.k8s.io/v1/endpointslices",
            {"labelSelector": "app.kubernetes.io/managed-by=tidegate,app.kubernetes.io/component=runtime"},
        ),
    ]
    assert (run.catalogue.services_version, run.catalogue.slices_version) == (105, 106)


async def test_a_listing_in_progress_is_not_fresh_enough_for_who_asks_during_it() -> None:
    run = Run(Api())
    await asyncio.sleep(0.05)
    await asyncio.gather(run.lister.fresh(), run.lister.fresh())
    assert run.listed == pytest.approx([0.2, 1.4]), "one listing for both, a second after the one before"
    await run.stop()


async def test_an_api_server_that_is_away_is_asked_again_until_it_answers() -> None:
    run = Run(Api(back_at=5))
    await run.lister.fresh()
    assert run.listed == pytest.approx([5.7], abs=1.2)
    await run.stop()
