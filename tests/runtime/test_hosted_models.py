"""Several models and versions in one real process: loaded, exchanged and unloaded while requests come."""

import asyncio
import socket
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

import httpx2
import onnx
import orjson
import pytest

from .stored_models import SECONDS, Repository, body, first, index, logged, post, times, until
from .under_way import under_way

pytestmark = pytest.mark.integration


def test_models_of_a_repository_are_told_apart(hosted: Callable[..., Any], way: dict[str, str]) -> None:
    with hosted() as process:

        def get(path: str) -> Any:
            return httpx2.get(process.url(path)).json()

        def ask(path: str) -> httpx2.Response:
            return httpx2.post(process.url(path), json=body(5), headers=way)

        assert first(ask("/v2/models/double/infer")) == 10
        assert first(ask("/v2/models/triple/versions/3/infer")) == 15
        assert ask("/v2/models/triple/versions/1/infer").status_code == 404
        assert ask("/v2/models/other/infer").json() == {
            "error": 'no model of that name; this server has "double", "triple"'
        }
        assert get("/v2/models") == {"models": ["double", "triple"]}
        assert get("/v1/models") == {"models": ["double", "triple"]}
        assert get("/v2/models/triple")["versions"] == ["3"]
        assert get("/v2/models/triple/ready") == {"name": "triple", "ready": True}
        page = httpx2.get(process.admin_url("/metrics")).text
        assert 'tidegate_requests_total{code="200",model="double",version="1"} 1.0' in page
        assert 'tidegate_requests_total{code="404",model="triple",version="3"} 1.0' in page
        assert index(process) == {("double", "1"): ("READY", ""), ("triple", "3"): ("READY", "")}


def test_versions_are_those_that_the_policy_chooses_and_the_highest_number_is_the_latest(
    hosted: Callable[..., Any], repository: Repository
) -> None:
    every = "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 250 } version_policy { all {} }"
    for version in (9, 10):
        repository.put("triple", version, times(version), every)
    with hosted() as process:
        assert httpx2.get(process.url("/v2/models/triple")).json()["versions"] == ["3", "9", "10"]
        assert first(httpx2.post(process.url("/v2/models/triple/infer"), json=body(1))) == 10
        assert first(httpx2.post(process.url("/v2/models/triple/versions/9/infer"), json=body(1))) == 9
        five = httpx2.post(process.url("/v2/models/triple/infer"), json=body(1, 2, 3, 4, 5))
        assert (five.status_code, five.json()["error"]) == (400, "5 rows in one request; the limit is 4, so split it")
        config = httpx2.get(process.url("/v2/models/triple/config")).json()
        assert config == {
            "name": "triple",
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "version_policy": {"all": {}},
            "max_batch_size": 4,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [2]}],
            "instance_group": [{"name": "triple", "count": 1, "kind": "KIND_CPU"}],
            "default_model_filename": "model.onnx",
            "parameters": {"batching": {"string_value": "declared to be batchable"}},
            "dynamic_batching": {"preferred_batch_size": [], "max_queue_delay_microseconds": 250},
        }


@pytest.mark.parametrize(
    ("name", "content", "config", "said"),
    [
        pytest.param("broken", b"nothing", None, 'model \\"broken\\" version 1', id="a broken file"),
        pytest.param("odd", times(1), "ensemble_scheduling {}", '\\"odd\\"', id="a configuration that isn't served"),
    ],
)
def test_a_repository_with_a_model_that_cannot_be_served_ends_the_process_naming_it(
    hosted: Callable[..., Any], repository: Repository, name: str, content: Any, config: str | None, said: str
) -> None:
    repository.put(name, 1, content, config)
    with hosted(wait=False) as process:
        assert process.popen.wait(SECONDS) == 1
        assert said in process.termination_log.read_text()


def test_a_repository_laid_out_by_kubernetes_starts(serve: Callable[..., Any], repository: Repository) -> None:
    volume = repository.root.parent / "volume"
    (volume / "lost+found").mkdir(parents=True)
    repository.root.rename(volume / "..2026_11_30")
    (volume / "..data").symlink_to("..2026_11_30")
    for name in ("double", "triple"):
        (volume / name).symlink_to(f"..data/{name}")
    (volume / "README.md").touch()
    with serve(volume, "--no-vetting") as process:
        assert index(process) == {("double", "1"): ("READY", ""), ("triple", "3"): ("READY", "")}
        told = {line["entry"]: line["reason"] for line in logged(process, "no model")}
        assert set(told) == {"..2026_11_30", "..data", "README.md", "lost+found"}
        assert told["lost+found"] == '"lost+found" has no version'


def test_a_version_that_is_left_out_is_told_with_its_reason(hosted: Callable[..., Any], repository: Repository) -> None:
    (repository.root / "double" / "2").mkdir()
    with hosted() as process:
        why = "has no model.onnx inside the repository"
        assert index(process)["double", "2"] == ("UNAVAILABLE", why)
        assert index(process)["double", "1"] == ("READY", "")
        assert ("double", "2") not in index(process, ready=True)
        (told,) = logged(process, "no version")
        assert (told["model"], told["entry"], told["reason"]) == ("double", "2", why)
        repository.put("double", 2, times(20))
        assert post(process, "/v2/repository/models/double/load").status_code == 200
        until(lambda: index(process) == {("double", "2"): ("READY", ""), ("triple", "3"): ("READY", "")})


async def test_a_swap_under_load_loses_no_request(
    hosted: Callable[..., Any], repository: Repository, way: dict[str, str]
) -> None:
    with hosted() as process:
        url = process.url("/v2/models/double/infer")
        versions: list[str] = []
        newest = 1
        stop = asyncio.Event()

        async def client(number: int) -> None:
            async with httpx2.AsyncClient(timeout=SECONDS) as session:
                while not stop.is_set():
                    loaded_before = newest
                    answer = await session.post(url, json=body(number), headers=way)
                    version = answer.json()["model_version"] if answer.status_code == 200 else answer.text
                    assert first(answer) == number * (int(version) + 1)
                    assert int(version) >= loaded_before, "sent once a newer version was said to be loaded"
                    versions.append(version)

        clients = [asyncio.create_task(client(number)) for number in range(1, 9)]

        async def answered(version: str, count: int) -> None:
            async with asyncio.timeout(SECONDS):
                while versions.count(version) < count:
                    await asyncio.wait(clients, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
                    assert not any(task.done() for task in clients), [task for task in clients if task.done()]

        await answered("1", 100)
        async with httpx2.AsyncClient(timeout=60) as admin:
            for version in (2, 3, 4):
                repository.put("double", version, times(version + 1))
                loaded = await admin.post(process.admin_url("/v2/repository/models/double/load"))
                assert loaded.status_code == 200, loaded.text
                newest = version
                await answered(str(version), 50)
        stop.set()
        await asyncio.gather(*clients)
        until(lambda: index(process) == {("double", "4"): ("READY", ""), ("triple", "3"): ("READY", "")})


def test_a_load_that_fails_keeps_what_is_served_and_says_why(
    hosted: Callable[..., Any], repository: Repository
) -> None:
    with hosted() as process:
        repository.put("double", 1, b"broken")
        refused = post(process, "/v2/repository/models/double/load")
        assert refused.status_code == 400
        assert refused.json()["error"].startswith('failed to load "double": model.onnx is not a valid ONNX model')
        state, reason = index(process)["double", "1"]
        assert state == "READY"
        assert "not a valid ONNX model" in reason
        assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(4))) == 8
        repository.put("new", 1, b"broken")
        assert post(process, "/v2/repository/models/new/load").status_code == 400
        assert index(process)["new", "1"][0] == "UNAVAILABLE"
        answer = httpx2.post(process.url("/v2/models/new/infer"), json=body(4))
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, None)
        assert "not a valid ONNX model" in answer.json()["error"]
        assert httpx2.get(process.admin_url("/readyz")).status_code == 200
        repository.put("new", 1, times(7))
        assert post(process, "/v2/repository/models/new/load").status_code == 200
        assert first(httpx2.post(process.url("/v2/models/new/infer"), json=body(4))) == 28
        assert index(process)["new", "1"] == ("READY", "")


async def test_an_unloaded_model_answers_the_requests_that_it_has(
    hosted: Callable[..., Any], repository: Repository, slow: onnx.ModelProto
) -> None:
    repository.put("slow", 1, slow)
    counting = {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [5_000_000]}]}
    with hosted() as process:
        url = process.url("/v2/models/slow/infer")
        async with httpx2.AsyncClient(timeout=SECONDS) as client:
            running = await under_way(process, client, counting, 2, "slow")
            unloaded = await client.post(process.admin_url("/v2/repository/models/slow/unload"))
            assert unloaded.status_code == 200
            assert index(process)["slow", "1"][0] == "UNLOADING"
            assert (await client.post(url, json=counting)).status_code == 503
            assert [(await answer).status_code for answer in running] == [200, 200]
            until(lambda: index(process)["slow", "1"] == ("UNAVAILABLE", "unloaded"))
            assert (await client.post(process.admin_url("/v2/repository/models/slow/unload"))).status_code == 404
            assert (await client.post(process.admin_url("/v2/repository/models/slow/load"))).status_code == 200
            assert (await client.post(url, json=counting)).status_code == 200


async def test_two_models_answer_right_under_mixed_load(hosted: Callable[..., Any], way: dict[str, str]) -> None:
    with hosted() as process:
        async with httpx2.AsyncClient(timeout=SECONDS) as client:

            async def ask(name: str, factor: int, number: int) -> None:
                answer = await client.post(process.url(f"/v2/models/{name}/infer"), json=body(number), headers=way)
                assert (first(answer), answer.json()["model_name"]) == (factor * number, name)

            asks = [ask(*model, number) for number in range(200) for model in (("double", 2), ("triple", 3))]
            await asyncio.gather(*asks)
        told = httpx2.get(process.url("/v2/models/stats")).json()["model_stats"]
        assert [(each["name"], each["inference_count"]) for each in told] == [("double", 200), ("triple", 200)]


STATISTICS = {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"}


def test_statistics_count_requests_rows_and_runs(hosted: Callable[..., Any]) -> None:
    with hosted() as process:
        for rows in ((1,), (1, 2), (1, 2)):
            httpx2.post(process.url("/v2/models/double/infer"), json=body(*rows))
        httpx2.post(process.url("/v2/models/double/infer"), json={})
        (told,) = httpx2.get(process.url("/v2/models/double/versions/1/stats")).json()["model_stats"]
        counts = {name: duration["count"] for name, duration in told["inference_stats"].items()}
        assert (told["name"], told["version"], told["inference_count"], told["execution_count"]) == (
            "double",
            "1",
            5,
            3,
        )
        assert counts == dict.fromkeys(STATISTICS, 3) | {"fail": 1, "cache_hit": 0, "cache_miss": 0}
        assert told["inference_stats"]["success"]["ns"] > told["inference_stats"]["compute_infer"]["ns"] > 0
        assert [(each["batch_size"], each["compute_infer"]["count"]) for each in told["batch_stats"]] == [
            (1, 1),
            (2, 2),
        ]
        assert abs(told["last_inference"] / 1000 - process.log.stat().st_mtime) < 60
        assert httpx2.get(process.url("/v2/models/none/stats")).status_code == 404


def test_a_request_whose_body_comes_during_a_swap_is_answered_by_the_model_that_it_was_promised_to(
    hosted: Callable[..., Any], repository: Repository, way: dict[str, str]
) -> None:
    with hosted() as process:
        content = orjson.dumps(body(5))
        head = b"POST /v2/models/double/versions/1/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(content)
        head += b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in way.items())
        with socket.create_connection(("127.0.0.1", process.port)) as early:
            early.sendall(head + b"\r\n" + content[:10])
            # The head was read once a later request on another connection is answered.
            assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(5), headers=way)) == 10
            repository.remove("double", 1)
            repository.put("double", 2, times(20))
            assert post(process, "/v2/repository/models/double/load").status_code == 200
            assert index(process)["double", "1"][0] == "UNLOADING"
            assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(5), headers=way)) == 100
            early.sendall(content[10:])
            answer = HTTPResponse(early)
            answer.begin()
            assert (answer.status, orjson.loads(answer.read())["outputs"][0]["data"][0]) == (200, 10)
        until(lambda: ("double", "1") not in index(process))


def test_a_client_that_leaves_before_its_body_is_whole_does_not_keep_the_old_model(
    hosted: Callable[..., Any], repository: Repository, way: dict[str, str]
) -> None:
    with hosted() as process:
        head = b"POST /v2/models/double/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
        head += b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in way.items())
        with socket.create_connection(("127.0.0.1", process.port)) as early:
            early.sendall(head + b"\r\n{")
            assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(5), headers=way)) == 10
            assert post(process, "/v2/repository/models/double/unload").status_code == 200
            assert index(process)["double", "1"][0] == "UNLOADING"
        until(lambda: index(process)["double", "1"] == ("UNAVAILABLE", "unloaded"))


async def test_loads_of_one_model_at_the_same_time_come_one_after_the_other(
    hosted: Callable[..., Any], repository: Repository
) -> None:
    with hosted() as process:
        repository.put("double", 2, times(20))
        async with httpx2.AsyncClient(timeout=60) as client:
            load = process.admin_url("/v2/repository/models/double/load")
            answers = await asyncio.gather(*(client.post(load) for _ in range(4)))
            assert [answer.status_code for answer in answers] == [200] * 4
            assert first(await client.post(process.url("/v2/models/double/infer"), json=body(1))) == 20
        until(lambda: index(process) == {("double", "2"): ("READY", ""), ("triple", "3"): ("READY", "")})
