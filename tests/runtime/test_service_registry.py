"""Which model a name and a version stand for, through the states that a version goes through."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import InvalidTensor, NotFound, NotReady
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service, State
from tidegate_runtime.tensors import Datatype, Feeds, InferRequest, RequestedOutput, Tensor, TensorSpec

pytestmark = pytest.mark.asyncio

X, Y = (TensorSpec(name, Datatype.FP32, ("N", 2)) for name in "xy")


class Times:
    """Multiplies by its factor, once its gate is open."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = asyncio.Event()

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        self.began.set()
        await self.gate.wait()
        return [feeds["x"] * self.factor], 0.001

    def interrupt(self) -> None: ...


def loaded(engine: Times, dropped: list[float] | None = None) -> Loaded:
    drop = None if dropped is None else (lambda: dropped.append(engine.factor))
    labels = {"y": ("cat", "dog")}
    return Loaded(Signature((X,), (Y,)), Verdict(True, "declared"), engine, labels=labels, drop=drop)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    loop = asyncio.get_running_loop()
    made = Service(Limits(8, 0.0, 64, 65536, 30.0), loop.time)
    yield made
    await made.close()


def request(number: float, classes: int = 0) -> InferRequest:
    tensor = Tensor("x", Datatype.FP32, np.array([[number, -number]], np.float32))
    return InferRequest((tensor,), (RequestedOutput("y", classes=classes),) if classes else None)


async def answer(service: Service, name: str, version: str | None = None) -> float:
    response = await service.model(name, version).infer(request(1.0), service.clock())
    return float(response.outputs[0].array[0, 0])


def put(service: Service, name: str, version: str, factor: float) -> None:
    service.expect(name, version, "cpu")
    service.open(name, version, loaded(Times(factor)))


async def test_the_latest_is_the_highest_number_that_is_served(service: Service) -> None:
    for version in ("9", "10", "2"):
        put(service, "m", version, float(version))
    service.expect("m", "11", "cpu")
    assert service.versions("m") == ["2", "9", "10"]
    assert await answer(service, "m") == 10
    assert await answer(service, "m", "9") == 9
    assert {path.decode(): model.version for path, model in service.infer_paths.items()} == {
        "/v2/models/m/infer": "10",
        "/v2/models/m/versions/2/infer": "2",
        "/v2/models/m/versions/9/infer": "9",
        "/v2/models/m/versions/10/infer": "10",
    }
    await service.retire("m", "10", forget=True)
    assert service.infer_paths[b"/v2/models/m/infer"].version == "9"


async def test_a_version_may_be_called_by_anything(service: Service) -> None:
    put(service, "churn", "churn-6f3c9d1a", 2.0)
    assert await answer(service, "churn") == await answer(service, "churn", "churn-6f3c9d1a") == 2


async def test_it_is_ready_once_all_that_it_began_with_are(service: Service) -> None:
    assert not service.ready
    service.expect("a", "1", "cpu")
    service.expect("b", "1", "cpu")
    service.open("a", "1", loaded(Times(1.0)))
    assert not service.ready
    service.open("b", "1", loaded(Times(1.0)))
    assert service.ready
    service.expect("c", "1", "cpu")
    service.fail("c", "1", "broken")
    assert service.ready
    service.begin_drain()
    assert not service.ready


async def test_what_is_not_there_is_told_apart_from_what_is_not_there_yet(service: Service) -> None:
    with pytest.raises(NotReady, match="loading"):
        service.model("m")
    service.expect("m", "1", "cpu")
    with pytest.raises(NotReady, match="loading"):
        service.model("m")
    with pytest.raises(NotFound, match='this server has "m"'):
        service.model("n")
    with pytest.raises(NotFound, match='no such version of "m"; this server has "1"'):
        service.model("m", "2")
    service.fail("m", "1", "out of luck")
    with pytest.raises(NotReady, match="out of luck"):
        service.model("m")


async def test_a_failed_load_leaves_what_serves(service: Service) -> None:
    put(service, "m", "1", 2.0)
    service.expect("m", "1", "cpu")
    service.fail("m", "1", "broken")
    (known,) = service.index()
    assert (known.state, known.reason) == (State.READY, "broken")
    assert await answer(service, "m") == 2


async def test_the_replaced_model_is_dropped_after_its_last_request_and_its_counts_go_on(service: Service) -> None:
    dropped: list[float] = []
    engine = Times(2.0)
    engine.gate.clear()
    metrics = service.expect("m", "1", "cpu")
    service.open("m", "1", loaded(engine, dropped))
    old = asyncio.ensure_future(answer(service, "m"))
    await engine.began.wait()
    held = service.model("m")
    held.hold()
    assert service.expect("m", "1", "cpu") is metrics
    replaced = service.open("m", "1", loaded(Times(3.0)))
    assert replaced is held
    closing = asyncio.ensure_future(replaced.close())
    new = asyncio.ensure_future(answer(service, "m"))
    engine.gate.set()
    assert (await old, await new) == (2, 3)
    assert not dropped
    assert (await held.infer(request(1.0), service.clock())).outputs[0].array[0, 0] == 2
    held.release()
    await closing
    assert dropped == [2.0]
    assert (metrics.inflight, sum(batches.requests for batches in metrics.batches.values())) == (0, 3)


async def test_requests_count_for_the_version_that_they_name_or_for_the_latest(service: Service) -> None:
    assert service.counts("m", None) is None
    put(service, "m", "1", 1.0)
    put(service, "m", "2", 1.0)
    counted = [service.counts("m", version) for version in (None, "1", "2", "3")]
    assert [metrics.version if metrics else None for metrics in counted] == ["2", "1", "2", "2"]
    assert service.counts("n", None) is None


async def test_answers_know_the_names_of_their_classes(service: Service) -> None:
    put(service, "m", "1", 1.0)
    response = await service.model("m").infer(request(1.0, classes=2), service.clock())
    assert response.labels == {"y": ("cat", "dog")}


async def test_an_output_that_has_no_form_in_text_is_refused_before_the_run(service: Service) -> None:
    engine = Times(2)
    signature = Signature((X,), (Y, TensorSpec("half", Datatype.FP16, ("N", 2))))
    service.expect("m", "1", "cpu")
    service.open("m", "1", Loaded(signature, Verdict(True, "declared"), engine))
    model = service.model("m")
    with pytest.raises(InvalidTensor, match=r'output "half": FP16 has no JSON form.*raw_input_contents'):
        await model.infer(request(1.0), service.clock())
    assert not engine.began.is_set()
    assert (await model.infer(request(1.0, classes=1), service.clock())).outputs[0].name == "y"


async def test_what_runs_of_an_unloaded_version_cost_is_not_shown(service: Service) -> None:
    put(service, "m", "1", 2)
    await answer(service, "m")
    await answer(service, "m")
    await answer(service, "m")
    metrics = service.version("m", "1").metrics
    assert [*metrics.costs()]
    await service.retire("m", "1")
    assert not [*metrics.costs()]
    put(service, "m", "1", 3)
    for _ in range(3):
        await answer(service, "m")
    assert [*metrics.costs()]


class Broken(Times):
    """One that its scheduler doesn't get to run."""

    async def hop(self) -> float:
        raise MemoryError("no thread for it")


async def test_a_scheduler_that_fails_ends_the_process_and_readiness_with_it() -> None:
    told: list[str] = []
    service = Service(Limits(8, 0.0, 64, 65536, 30.0), asyncio.get_running_loop().time, lambda: told.append("stuck"))
    service.expect("m", "1", "cpu")
    service.open("m", "1", loaded(Broken(2.0)))
    assert service.ready
    await asyncio.sleep(0.01)
    assert (told, service.ready) == (["stuck"], False)
    with pytest.raises(MemoryError):
        await service.close()
