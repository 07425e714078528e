"""What all tests share: end-to-end tests run only where a cluster was promised."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, which others share.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

_ON_A_CLUSTER = ("e2e", "upgrade")
"""Folders of tests, and their marks."""


def pytest_sessionstart() -> None:
    # pytest-asyncio and looptime ask for the thread's loop, which makes one that nobody closes unless it was set.
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--e2e", action="store_true", help="also run the tests marked e2e or upgrade, on hack/cluster's cluster"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs a cluster: run with --e2e")
    for item in items:
        for name in _ON_A_CLUSTER:
            if Path(__file__).parent / name in item.path.parents:
                item.add_marker(name)
        if any(item.get_closest_marker(name) for name in _ON_A_CLUSTER) and not config.getoption("--e2e"):
            item.add_marker(skip)
