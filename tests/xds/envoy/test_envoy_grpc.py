"""gRPC callers through a real Envoy: weights, matches, keys, what is counted, and what is never lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tidegate_operator.evidence.readings import Calls

from .grpc_pods import STREAM, GrpcCaller, GrpcPod
from .name_server import Resolver

pytestmark = pytest.mark.integration

STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"
SENT = 20
OK = grpc.StatusCode.OK


class Serving:
    """A service with a canary whose pods speak both protocols."""

    def __init__(self, mesh: Any) -> None:
        self.mesh = mesh
        self.grpc = {revision: GrpcPod(revision) for revision in (STABLE, CANARY)}
        self.http: dict[str, Any] = {}
        self.callers: list[GrpcCaller] = []

    async def start(self, weight: int, **more: Any) -> None:
        for number, (revision, pod) in enumerate(self.grpc.items()):
            await pod.start()
            self.http[revision] = await self.mesh.pod(revision)
            self.mesh.xds.endpoints(101 + number, revision, self.http[revision], grpc_port=pod.port)
        self.mesh.xds.service(103, stable=STABLE, canary=(CANARY, weight), ready=1, grpc=True, **more)
        await self.mesh.start()
        for revision in self.grpc:
            await self.mesh.sees(revision, 1)
            await self.mesh.sees(f"{revision}/grpc", 1)

    def caller(self, host: str = "churn.ml:8081") -> GrpcCaller:
        self.callers.append(GrpcCaller(self.mesh.router.url.removeprefix("http://"), host))
        return self.callers[-1]

    async def stop(self) -> None:
        for caller in self.callers:
            await caller.channel.close()
        for pod in self.grpc.values():
            await pod.stop()


@pytest.fixture
async def serving(mesh: Any) -> AsyncIterator[Serving]:
    serving = Serving(mesh)
    try:
        yield serving
    finally:
        await serving.stop()


async def counted(controller: Any) -> dict[str, Calls]:
    found = await controller.calls("ml", [STABLE, CANARY])
    return {revision: only for revision, calls in found.items() for only in calls.values()}


async def test_callers_are_shared_by_weight_and_counted_with_those_by_http(serving: Any, controller: Any) -> None:
    await serving.start(50)
    got = await serving.caller().times(100)
    assert sum(got.values()) == 100
    assert set(got) == {(OK, STABLE), (OK, CANARY)}
    # 99.9 % of binomial counts.
    assert abs(got[OK, CANARY] - 50) <= 17
    assert {call["x-tidegate-route"] for pod in serving.grpc.values() for call in pod.seen} == {"weight"}
    http = await serving.mesh.load().send(40)
    assert await counted(controller) == {
        STABLE: Calls(got[OK, STABLE] + http[STABLE]),
        CANARY: Calls(got[OK, CANARY] + http[CANARY]),
    }
    assert await controller.routable("ml", [STABLE, CANARY]) == {STABLE: True, CANARY: True}


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        (OK, Calls(SENT)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Calls()),
        *(
            (grpc.StatusCode[name], Calls(SENT, SENT))
            for name in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN")
        ),
    ],
)
async def test_a_call_fails_by_its_trailers_and_a_refusal_for_load_is_none(
    serving: Any, controller: Any, status: grpc.StatusCode, calls: Calls
) -> None:
    await serving.start(100)
    serving.grpc[CANARY].status = status
    got = await serving.caller().times(SENT)
    assert {code for code, _ in got} == {status}
    assert len(serving.grpc[CANARY].seen) == SENT, "what a model may have seen is tried once"
    assert await counted(controller) == {STABLE: Calls(), CANARY: calls}


async def test_a_first_burst_beyond_what_a_connection_takes_is_answered_whole(serving: Any, controller: Any) -> None:
    await serving.start(100)
    got = await serving.caller().burst(400)
    assert got == {(OK, CANARY): 400}
    assert await serving.mesh.stat(f"cluster.ml/{CANARY}/grpc.upstream_rq_retry") == 0
    assert await counted(controller) == {STABLE: Calls(), CANARY: Calls(400)}


async def test_metadata_and_keys_choose_as_headers_do(serving: Any, controller: Any) -> None:
    await serving.start(0, rollout={"match": [{"header": {"x-model": "canary"}}]})
    caller = serving.caller()
    assert await caller.once({"x-model": "canary"}) == (OK, CANARY)
    assert await caller.once({"x-model": "other"}) == (OK, STABLE)
    assert await caller.once({"x-tidegate-route": "match"}) == (OK, STABLE)
    assert [call["x-tidegate-route"] for call in serving.grpc[CANARY].seen] == ["match"]
    assert [call["x-tidegate-route"] for call in serving.grpc[STABLE].seen] == ["weight", "weight"]
    assert await counted(controller) == {STABLE: Calls(2), CANARY: Calls()}


async def test_a_key_has_the_same_place_by_grpc_as_by_http(serving: Any) -> None:
    await serving.start(30, rollout={"sticky": {"header": "x-user"}})
    caller, load = serving.caller(), serving.mesh.load()
    by_grpc = [(await caller.once({"x-user": f"u{user}"}))[1] for user in range(60)]
    by_http = [(await load.once(headers={"x-user": f"u{user}"}))[1] for user in range(60)]
    assert by_grpc == by_http
    assert set(by_grpc) == {STABLE, CANARY}


async def test_a_canary_without_a_healthy_pod_is_charged_though_callers_got_their_answers(
    serving: Any, controller: Any
) -> None:
    await serving.start(100)
    serving.http[CANARY].ready = False
    await serving.mesh.sees(f"{CANARY}/grpc", 0)
    assert await serving.caller().times(SENT) == {(OK, STABLE): SENT}
    assert await counted(controller) == {STABLE: Calls(), CANARY: Calls(SENT, SENT)}


async def test_a_call_that_hangs_fails_when_time_is_out_and_a_stream_may_last(serving: Any, controller: Any) -> None:
    await serving.start(100, timeout="1ms")
    serving.grpc[CANARY].gate.clear()
    caller = serving.caller()
    stream = caller.channel.stream_stream(STREAM)(iter([b"1"]))
    assert (await caller.once())[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert (await counted(controller))[CANARY] == Calls(1, 1)
    serving.grpc[CANARY].gate.set()
    assert [body async for body in stream] == [b"1"]


async def test_a_caller_is_told_what_is_wrong_in_the_status_message(serving: Any, until: Any) -> None:
    await serving.start(0)
    serving.mesh.xds.service(110, "plain", stable="plain-cccccccc")
    code, told = await serving.caller("nobody.ml").once()
    assert (code, told[:38]) == (grpc.StatusCode.UNIMPLEMENTED, "no InferenceService answers to the hos")
    plain = serving.caller("plain.ml")

    async def refused() -> bool:
        expected = (grpc.StatusCode.UNIMPLEMENTED, "plain.ml isn't reached by gRPC: set spec.routing.grpc to true")
        return bool(await plain.once() == expected)

    await until(refused, "a service that doesn't ask for gRPC says so")
    for pod in serving.http.values():
        pod.ready = False
    for revision in serving.grpc:
        await serving.mesh.sees(f"{revision}/grpc", 0)
    code, told = await serving.caller().once()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "has no healthy pod" in told


async def test_dns_leads_to_pods_that_no_endpoint_slice_tells(serving: Any, until: Any) -> None:
    resolver = await Resolver.start({f"{STABLE}.ml.svc.cluster.test": "127.86.31.8"})
    mesh, pod = serving.mesh, serving.grpc[STABLE]
    mesh.router.resolver = resolver.address
    await pod.start("127.86.31.8:8081")
    await mesh.pod(STABLE, address="127.86.31.8", port=8080)
    mesh.xds.service(102, stable=STABLE, grpc=True)
    await mesh.start()

    async def healthy() -> bool:
        return bool(await mesh.stat(f"cluster.ml/{STABLE}/grpc/dns.membership_healthy") == 1)

    await until(healthy, "the pod behind the name is healthy by its HTTP port")
    assert await serving.caller().times(SENT) == {(OK, STABLE): SENT}
    resolver.close()


async def test_no_call_is_lost_while_a_canary_comes_and_goes(serving: Any, until: Any) -> None:
    await serving.start(0)
    caller, got, stop = serving.caller(), list[Any](), asyncio.Event()
    changes: list[dict[str, Any]] = [{"canary": (CANARY, 10)}, {"canary": (CANARY, 100)}, {"retiring": [CANARY]}, {}]

    async def call() -> None:
        while not stop.is_set():
            got.append(await caller.once())

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(call())
        for version, status in enumerate(changes, 110):
            serving.mesh.xds.service(version, stable=STABLE, grpc=True, **status)
            answered = len(got)
            await until(lambda least=answered + 200: len(got) >= least, "200 more answers")
        stop.set()
    assert {code for code, _ in got} == {OK}
