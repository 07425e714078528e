"""Rows 34 and 35 of the bad-input table for gRPC, on both transports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import pytest_asyncio
from grpc import StatusCode, aio

from tidegate_runtime.access.guard import Guard
from tidegate_runtime.access.tenants import read_tenants
from tidegate_runtime.administration import Administration
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.protos.health_pb2 import HealthCheckRequest, HealthListRequest
from tidegate_runtime.rpc.reflection import REFLECTION

from .rpc_client import TRANSPORTS, Peer, firsts, peer, rows, until
from .test_grpc_calls import ADMINISTRATIVE, failure
from .tokens import FUTURE, PAST, document, tenant

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

HEALTH = "grpc.health.v1.Health"
TENANTS = [
    tenant("one", "one", models=["m"], expires=FUTURE),
    tenant("two", "two", models=["n"]),
    tenant("former", "former", expires=PAST),
    tenant("root", "root", administration=True),
    tenant("keeper", "keeper", models=["m"], administration=True),
    tenant("slow", "slow", models=["m"], requestsPerSecond=0.5, burst=2),
]


@pytest.fixture(autouse=True, params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "transport", request.param)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Listed:
    """What may be administered, of which nothing is done."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    async def index(self, *, ready: bool) -> list[dict[str, str]]:
        del ready
        return [{"name": name, "version": "1", "state": "READY"} for name in ("m", "n")]

    async def load(self, name: str) -> None:
        self.loaded.append(name)

    async def traces(self, model: str, wanted: Any) -> dict[str, str]:
        del model, wanted
        return {}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listed() -> Listed:
    return Listed()


@pytest_asyncio.fixture
async def served(clock: Clock, listed: Listed) -> AsyncIterator[Peer]:
    guard = Guard(read_tenants(document(*TENANTS)), clock, lambda: 1_767_225_600.0)
    async with peer(guard=guard, administered=cast("Administration", listed)) as made:
        yield made


def by(token: str | None) -> dict[str, Any]:
    return {} if token is None else {"metadata": [("authorization", f"Bearer {token}")]}


def told(error: aio.AioRpcError) -> tuple[Any, ...]:
    """All that a client sees."""
    return error.code(), error.details(), [*(error.trailing_metadata() or ())]


def of(model: str) -> pb.ModelInferRequest:
    message = rows(1.0)
    message.model_name = model
    return message


@pytest.mark.parametrize(
    ("metadata", "invalid"),
    [
        pytest.param([], False, id="row 35: no token"),
        pytest.param([("authorization", "Basic b25lOm9uZQ==")], False, id="row 35: another scheme"),
        pytest.param([("authorization", "Bearer wrong")], True, id="row 35: a wrong token"),
        pytest.param([("authorization", "Bearer former")], True, id="row 35: an expired token"),
    ],
)
async def test_unauthenticated_is(served: Peer, metadata: Any, invalid: bool) -> None:
    errors = [await failure(served.infer(of(model), metadata=metadata)) for model in ("m", "n", "x")]
    assert {error.code() for error in errors} == {StatusCode.UNAUTHENTICATED}
    assert {error.details() for error in errors} == {
        "a token that is good here is needed: send Authorization: Bearer TOKEN"
    }
    challenge = dict(errors[0].trailing_metadata() or ())["www-authenticate"]
    assert challenge == 'Bearer realm="tidegate"' + (', error="invalid_token"' if invalid else "")


async def test_row_35_another_tenants_model_is_told_as_one_that_there_is_not(served: Peer) -> None:
    # "m" is there; "n" isn't.
    theirs, nobodys = [await failure(served.infer(of(model), **by("two"))) for model in ("m", "x")]
    assert theirs.code() is StatusCode.PERMISSION_DENIED
    assert told(theirs) == told(nobodys)
    assert served.metrics.codes == {403: 1}


async def test_who_may_ask_for_it_is_answered_and_hears_what_there_is_not(served: Peer) -> None:
    # The second and third are known by their bytes, on a transport that knows any.
    for token in ("one", "root", "one"):
        assert firsts(await served.infer(rows(1.0), **by(token))) == [2.0]
    assert (await failure(served.infer(of("x"), **by("root")))).code() is StatusCode.NOT_FOUND
    absent = await failure(served.infer(of("n"), **by("two")))
    assert (absent.code(), absent.details()) == (StatusCode.NOT_FOUND, "no model of that name")


async def test_a_message_that_repeats_anothers_is_asked_for_its_own_token(served: Peer) -> None:
    for _ in range(3):
        assert firsts(await served.infer(rows(1.0), **by("one"))) == [2.0]
    assert (await failure(served.infer(rows(1.0), **by("two")))).code() is StatusCode.PERMISSION_DENIED
    assert (await failure(served.infer(rows(1.0)))).code() is StatusCode.UNAUTHENTICATED
    assert served.engine.rows == [1, 1, 1]


async def test_row_34_beyond_the_rate_is_told_why_and_when_to_come_back_and_let_in_then(
    served: Peer, clock: Clock
) -> None:
    for _ in range(2):
        await served.infer(rows(1.0), **by("slow"))
    error = await failure(served.infer(rows(1.0), **by("slow")))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(error.trailing_metadata() or ())
    assert (trailers["retry-after"], trailers["tidegate-refused"]) == ("2", "TenantRate")
    # Neither what isn't let in nor what asks for no inference counts.
    await failure(served.infer(of("n"), **by("slow")))
    await served.call("ModelReady", pb.ModelReadyRequest(name="m"), **by("slow"))
    clock.now = 2.0
    assert firsts(await served.infer(rows(1.0), **by("slow"))) == [2.0]
    assert served.metrics.codes == {200: 3, 429: 1}
    assert served.metrics.refused["TenantRate"] == 1


async def test_each_message_of_a_stream_is_asked_for_its_model_and_counts(served: Peer) -> None:
    messages = [rows(1.0), of("n"), of("x"), rows(2.0), rows(3.0)]
    call = served.call("ModelStreamInfer", iter(messages), **by("slow"))
    answers = [answer async for answer in call]
    assert [answer.error_message for answer in answers] == [
        "",
        "this token is not for that model",
        "this token is not for that model",
        "",
        "this token's tenant may send 0.5 requests a second; try again in 2 s",
    ]
    assert served.metrics.codes == {200: 2, 429: 1}


async def test_a_stream_without_a_token_ends_before_it_is_read(served: Peer) -> None:
    may_end = asyncio.Event()

    # Not one message is sent: a write that meets the end of its call is what this client tells, not the end.
    async def silent() -> AsyncIterator[Any]:
        await may_end.wait()
        yield rows(1.0)

    call = served.call("ModelStreamInfer", silent())
    with pytest.raises(aio.AioRpcError) as error:
        async for _ in call:
            pass
    may_end.set()
    assert error.value.code() is StatusCode.UNAUTHENTICATED


NEEDING: dict[str, Callable[[str], Any]] = {
    "ModelReady": lambda name: pb.ModelReadyRequest(name=name),
    "ModelMetadata": lambda name: pb.ModelMetadataRequest(name=name),
    "ModelConfig": lambda name: pb.ModelConfigRequest(name=name),
    "ModelStatistics": lambda name: pb.ModelStatisticsRequest(name=name),
}


@pytest.mark.parametrize("method", NEEDING)
async def test_row_35_what_is_told_of_a_model_needs_a_token_for_it(served: Peer, method: str) -> None:
    make = NEEDING[method]
    assert (await failure(served.call(method, make("m")))).code() is StatusCode.UNAUTHENTICATED
    theirs, nobodys = [await failure(served.call(method, make(name), **by("two"))) for name in ("m", "x")]
    assert theirs.code() is StatusCode.PERMISSION_DENIED
    assert told(theirs) == told(nobodys)
    await served.call(method, make("m"), **by("one"))


async def test_statistics_of_all_are_those_of_a_tenants_models(served: Peer) -> None:
    for token, names in (("one", ["m"]), ("two", [])):
        answer = await served.call("ModelStatistics", pb.ModelStatisticsRequest(), **by(token))
        assert [each.name for each in answer.model_stats] == names


async def test_health_and_nothing_else_needs_no_token(served: Peer) -> None:
    assert (await served.call("ServerLive", pb.ServerLiveRequest())).live
    assert (await served.call("ServerReady", pb.ServerReadyRequest())).ready
    assert (await served.call("Check", HealthCheckRequest(), service=HEALTH)).status == 1
    assert (await failure(served.call("ServerMetadata", b""))).code() is StatusCode.UNAUTHENTICATED
    assert (await served.call("ServerMetadata", b"", **by("two"))).name == "tidegate"
    nothing = iter(())  # It is refused by its head: what was sent behind that might be told to have failed.
    with pytest.raises(aio.AioRpcError) as error:
        async for _ in served.call("ServerReflectionInfo", nothing, service=REFLECTION):
            pass
    assert error.value.code() is StatusCode.UNAUTHENTICATED


async def test_health_tells_of_models_whom_they_are_for(served: Peer) -> None:
    whole = {"", "inference.GRPCInferenceService"}
    for token, names in ((None, whole), ("wrong", whole), ("two", whole), ("one", whole | {"m"})):
        answer = await served.call("List", HealthListRequest(), service=HEALTH, **by(token))
        assert set(answer.statuses) == names
        watched = served.call("Watch", HealthCheckRequest(service="m"), service=HEALTH, **by(token))
        # 1 is SERVING, 3 SERVICE_UNKNOWN.
        assert (await watched.read()).status == (1 if "m" in names else 3)
        watched.cancel()
        if "m" not in names:
            check = served.call("Check", HealthCheckRequest(service="m"), service=HEALTH, **by(token))
            unknown = served.call("Check", HealthCheckRequest(service="x"), service=HEALTH, **by(token))
            assert told(await failure(check)) == told(await failure(unknown))


@pytest.mark.parametrize("method", ADMINISTRATIVE)
async def test_administration_needs_a_token_for_it(served: Peer, method: str) -> None:
    assert (await failure(served.call(method, b""))).code() is StatusCode.UNAUTHENTICATED
    message = pb.RepositoryModelLoadRequest(model_name="m").SerializeToString() if "Model" in method else b""
    error = await failure(served.call(method, message, **by("one")))
    assert (error.code(), error.details()) == (
        StatusCode.PERMISSION_DENIED,
        "this token is not for administration",
    )


async def test_who_administers_some_models_sees_and_changes_these_alone(served: Peer, listed: Listed) -> None:
    for token, names in (("keeper", ["m"]), ("root", ["m", "n"])):
        answer = await served.call("RepositoryIndex", pb.RepositoryIndexRequest(), **by(token))
        assert [entry.name for entry in answer.models] == names
    for method, message in (
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="n")),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="n")),
        ("TraceSetting", pb.TraceSettingRequest(model_name="n")),
    ):
        error = await failure(served.call(method, message, **by("keeper")))
        assert (error.code(), error.details()) == (StatusCode.PERMISSION_DENIED, "this token is not for that model")
    await served.call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="m"), **by("keeper"))
    await served.call("TraceSetting", pb.TraceSettingRequest(model_name="m"), **by("keeper"))
    assert listed.loaded == ["m"]


async def test_other_tenants_count_from_the_next_call_of_a_connection_on(served: Peer) -> None:
    await served.infer(rows(1.0), **by("one"))
    assert served.service.guard is not None
    served.service.guard.replace(read_tenants(document(tenant("new", "new"))))
    assert (await failure(served.infer(rows(1.0), **by("one")))).code() is StatusCode.UNAUTHENTICATED
    assert firsts(await served.infer(rows(1.0), **by("new"))) == [2.0]
    await until(lambda: served.metrics.inflight == 0)
