"""What all tests share: end-to-end tests run only where a cluster was promised."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, which others share.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

E2E = Path(__file__).parent / "e2e"


def pytest_sessionstart() -> None:
    # pytest-asyncio and looptime ask for the thread's loop, which makes one that nobody closes unless it was set.
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--e2e", action="store_true", help="also run the tests marked e2e, on KUBECONFIG's cluster")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs a cluster: run with --e2e, and KUBECONFIG set")
    for item in items:
        if E2E in item.path.parents:
            item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("e2e") and not config.getoption("--e2e"):
            item.add_marker(skip)
