"""What callers, probes and people get from a router itself, through a real Envoy."""

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.integration

DRAIN = Path(__file__).parents[3] / "operator/router/drain.py"
STABLE = "churn-aaaaaaaa"


@pytest.fixture
async def serving(mesh: Any) -> Any:
    mesh.xds.endpoints(101, STABLE, await mesh.pod(STABLE))
    mesh.xds.service(102, stable=STABLE)
    mesh.xds.service(103, name="empty", stable="empty-cccccccc")
    mesh.xds.service(104, name="new")
    await mesh.start()
    await mesh.sees(STABLE, 1)
    return mesh


async def _get(mesh: Any, host: str) -> tuple[int, str, str]:
    async with mesh.session.get(f"{mesh.router.url}/v2", headers={"Host": host}) as response:
        return response.status, response.headers["content-type"], (await response.json()).get("error")


async def test_a_service_answers_to_every_form_of_its_name(serving: Any) -> None:
    names = ["churn.ml", "churn.ml.svc", "churn.ml.svc.cluster.test", "churn.ml:80", "churn.ml.svc:8080"]
    assert [(await _get(serving, host))[0] for host in names] == [200] * 5


async def test_callers_from_outside_have_a_name_of_their_own_and_no_look_at_the_weights(serving: Any) -> None:
    assert (await _get(serving, "churn.ml.models.example.com"))[0] == 200
    assert (await _get(serving, "churn.ml.example.com"))[0] == 404
    url = f"{serving.router.url}/.well-known/tidegate/weights"
    by_a_pod = {"revision": STABLE, "bytes": 0}
    asked = [(None, by_a_pod), ("", by_a_pod), ("uid-of-other", by_a_pod), ("uid-of-churn", {STABLE: 100})]
    # By a load balancer a caller from outside may ask for any name.
    for host in ("churn.ml.models.example.com", "churn.ml.models.example.com:443", "churn.ml", "churn.ml.svc"):
        for uid, told in asked:
            headers = {"Host": host} if uid is None else {"Host": host, "x-tidegate-uid": uid}
            async with serving.session.get(url, headers=headers) as response:
                assert await response.json() == told, (host, uid)


async def test_a_pod_that_is_counted_as_healthy_answers_from_that_moment_on(mesh: Any) -> None:
    """Envoy's own default tells its workers up to a second after the count that the controller reads."""
    revisions = [f"late-{number}" for number in range(5)]
    for number, revision in enumerate(revisions):
        mesh.xds.service(102 + number, name=revision, stable=revision)
    await mesh.start()
    for number, revision in enumerate(revisions):
        # Known without a pod first, as a revision is whose first pod starts: only then is there anything to merge.
        assert (await _get(mesh, f"{revision}.ml"))[0] == 503
        mesh.xds.endpoints(202 + number, revision, await mesh.pod(revision))
        await mesh.sees(revision, 1)
        assert (await _get(mesh, f"{revision}.ml"))[0] == 200


async def test_an_unknown_host_gets_404_that_names_it_and_the_form_expected(serving: Any) -> None:
    for host in ("churn", "churn.nowhere.svc.cluster.test"):
        status, content_type, error = await _get(serving, host)
        assert (status, content_type) == (404, "application/json")
        assert f"'{host}'" in error
        assert "<service>.<namespace>" in error


@pytest.mark.parametrize(
    ("host", "told"),
    [("empty.ml", "'empty.ml' has no healthy pod"), ("new.ml", "new.ml has no revision")],
    ids=["stable without endpoints", "no revision yet"],
)
async def test_a_service_that_cannot_answer_says_503_at_once(serving: Any, host: str, told: str) -> None:
    begun = asyncio.get_running_loop().time()
    status, content_type, error = await _get(serving, host)
    assert (status, content_type) == (503, "application/json")
    assert told in error
    assert asyncio.get_running_loop().time() - begun < 5.0


async def test_large_bodies_pass(serving: Any) -> None:
    url, headers = f"{serving.router.url}/v2/models/churn/infer", {"Host": "churn.ml"}
    async with serving.session.post(url, data=io.BytesIO(bytes(32 * 2**20)), headers=headers) as response:
        assert await response.json() == {"revision": STABLE, "bytes": 32 * 2**20}


async def test_callers_cannot_change_timeouts_or_retries_by_headers(serving: Any) -> None:
    pod = serving._pods[0]
    pod.gate.clear()
    headers = {"Host": "churn.ml", "x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-max-retries": "9"}
    asyncio.get_running_loop().call_later(0.1, pod.gate.set)
    async with serving.session.get(f"{serving.router.url}/v2", headers=headers) as response:
        assert response.status == 200
        assert not [name for name in response.headers if name.lower().startswith("x-envoy")]
    assert not set(headers) & set(pod.seen[-1].headers) - {"Host"}


async def test_http2_with_prior_knowledge_is_spoken_on_the_same_port(serving: Any) -> None:
    def field(index: int, value: bytes) -> bytes:
        """A literal without indexing whose name is in HPACK's static table (RFC 7541, 6.2.2)."""
        return bytes([index, len(value)]) + value

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload

    get_root = b"\x82\x86\x84" + field(1, b"churn.ml")
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.router.data_port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, get_root))
    async with asyncio.timeout(5):
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == 1:
                break
    writer.close()
    assert payload[0] == 0x88, ":status 200 in HPACK's static table"


async def test_only_harmless_parts_of_the_administration_are_reachable(mesh: Any) -> None:
    await mesh.start()
    table = [
        ("GET", "/ready", 200),
        ("GET", "/stats?filter=^server.live$", 200),
        ("GET", "/stats/prometheus?filter=server.live", 200),
        ("GET", "/clusters", 200),
        ("POST", "/ready", 404),
        ("POST", "/healthcheck/fail", 404),
        ("GET", "/quitquitquit", 404),
        ("GET", "/config_dump", 404),
        ("GET", "/stats/../config_dump", 404),
        ("GET", "/stats/recentlookups", 404),
    ]
    seen = []
    for method, path, _ in table:
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.router.public_port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        seen.append((method, path, int(line.split()[1])))
    assert seen == table


async def test_draining_takes_requests_until_services_know_and_waits_for_the_last_answer(
    serving: Any, until: Any
) -> None:
    pod, load = serving._pods[0], serving.load()
    script = [sys.executable, str(DRAIN), "--admin", serving.router.admin, "--settle-seconds", "1.5"]
    pod.gate.clear()
    last = asyncio.create_task(load.once())

    async def in_progress() -> Any:
        return await serving.stat("http.data.downstream_rq_active") == 1

    await until(in_progress, "a request is in progress")
    drain = await asyncio.create_subprocess_exec(*script)
    await until(lambda: _draining(serving), "/ready says 503")
    async with serving.session.get(f"{serving.router.url}/v2", headers={"Host": "nobody"}) as response:
        assert (response.status, response.headers["connection"]) == (404, "close")

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", serving.router.data_port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await until(refused, "no more connections are taken")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drain.wait(), 0.5)
    assert await _draining(serving), "the administration's port is still open"
    pod.gate.set()
    assert await last == (200, STABLE)
    assert await asyncio.wait_for(drain.wait(), 5) == 0


async def _draining(mesh: Any) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{mesh.router.public}/ready") as response:
        return bool(response.status == 503)


async def test_the_controller_can_ask_for_the_healthy_pods_of_a_revision(serving: Any) -> None:
    query = {"format": "json", "filter": f"^cluster.ml/{STABLE}/pods.membership_healthy$"}
    async with serving.session.get(f"{serving.router.public}/stats", params=query) as response:
        stats = json.loads(await response.text())["stats"]
    assert stats == [{"name": f"cluster.ml/{STABLE}/pods.membership_healthy", "value": 1}]
