"""What all tests share: end-to-end tests run only where a cluster was promised."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from lab.kubectl import Kubectl

# How long an example takes says something of the machine, which others share.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

_ON_A_CLUSTER = {
    "e2e": ("chart", "e2e", "gateway"),
    "upgrade": ("upgrade",),
    "envoygateway": ("envoygateway",),
}
"""Marks, each with the folders that may have tests with it: the Makefile looks for them nowhere else. All tests of the
folder that has a mark's name have it."""


def pytest_sessionstart() -> None:
    # pytest-asyncio and looptime ask for the thread's loop, which makes one that nobody closes unless it was set.
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--e2e",
        action="store_true",
        help="also run the tests marked e2e, upgrade or envoygateway, on hack/cluster's cluster",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs a cluster: run with --e2e")
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in _ON_A_CLUSTER:
            item.add_marker(folder)
        marks = {name for name in _ON_A_CLUSTER if item.get_closest_marker(name)}
        for name in marks:
            if folder not in _ON_A_CLUSTER[name]:
                raise pytest.UsageError(f"{item.nodeid} is marked {name}: put it into {_ON_A_CLUSTER[name]}")
        if marks and not config.getoption("--e2e"):
            item.add_marker(skip)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fixtures that keep what a failure looked like find it in `request.node.failed`."""
    outcome: Any = yield
    if outcome.get_result().failed:
        item.failed = True  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """Of the cluster that was promised."""
    return Kubectl.of_cluster()
