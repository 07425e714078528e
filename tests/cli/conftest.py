from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tidegate_operator.cli import exchange, watching

from .api_server import ApiServer, kubeconfig_for


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """An empty cluster in this process, and a kubeconfig for it."""
    monkeypatch.setattr(watching, "PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(exchange, "LOOK_AGAIN_SECONDS", 0.01)
    found = ApiServer(tmp_path / "kubeconfig")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    kubeconfig_for(f"http://127.0.0.1:{port}", found.kubeconfig)
    yield found
    await runner.cleanup()
