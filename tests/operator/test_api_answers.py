"""What an answer of the API server, or of what stands between, is taken for."""

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from tidegate_operator import errors
from tidegate_operator.kube.client import ApiServer


@pytest.mark.parametrize("text", ["", "no such page", '{"message": "gone"}'], ids=["nothing", "text", "JSON"])
@pytest.mark.parametrize(
    ("status", "kind"), [(404, errors.NotFound), (403, errors.Forbidden), (503, errors.Unavailable)]
)
async def test_a_refusal_is_told_by_its_status_whatever_its_body_is(
    status: int, kind: type[errors.ApiError], text: str
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=text)

    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api = await ApiServer.open(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        with pytest.raises(kind) as refused:
            await api.get("/api/v1/namespaces/ml/services/churn")
        assert refused.value.status == status
    finally:
        await api.close()
        await runner.cleanup()
