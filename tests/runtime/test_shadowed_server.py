"""Two runtimes: one copies what it has answered to the other, and compares both answers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import grpc
import httpx2
import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, build_double, build_model, serving

pytestmark = pytest.mark.integration

SECONDS = 30.0
ROW = [1.0, 2.0, 3.0, 4.0]
MARK = {"x-tidegate-hop": "shadow"}


def turned_round() -> onnx.ModelProto:
    """y = -(x + x): the largest value is where the smallest was."""
    return build_model(
        [helper.make_node("Add", ["x", "x"], ["twice"]), helper.make_node("Neg", ["twice"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", 4])},
        {"y": (TensorProto.FLOAT, ["N", 4])},
    )


class ShareServer(ThreadingHTTPServer):
    """Tells the share, and holds a question until there is another one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Told)
        self.changed = Condition()
        self.told: dict[str, Any] = {}
        self.turn = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/share/ml/m-1"

    def tell(self, *targets: Process, percent: float = 100, revision: str = "2") -> None:
        shadow = {"percent": percent, "revision": revision, "targets": [f"127.0.0.1:{pod.port}" for pod in targets]}
        with self.changed:
            self.turn += 1
            self.told = {"version": 1, "revision": str(self.turn), "shadow": shadow if targets else None}
            self.changed.notify_all()

    def body(self, known: str | None) -> bytes:
        """The document, once it isn't the one that is known."""
        with self.changed:
            self.changed.wait_for(lambda: known != f'"{self.turn}"', 20)
            return orjson.dumps(self.told)


class _Told(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, ShareServer)
        body = self.server.body(self.headers["if-none-match"])
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any, **_: Any) -> None: ...


@contextmanager
def told() -> Iterator[ShareServer]:
    with ShareServer() as server:
        server.tell()
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.tell()
            server.shutdown()
            thread.join()


def metrics(process: Process, name: str) -> dict[str, float]:
    """The samples of that name, by the label that sets them apart."""
    text = httpx2.get(process.admin_url("/metrics")).text
    return {
        sample.labels.get("outcome") or sample.labels.get("output") or sample.labels.get("code", ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def outcomes(process: Process) -> dict[str, float]:
    return {name: count for name, count in metrics(process, "tidegate_shadow_requests_total").items() if count}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def in_force(process: Process, percent: float) -> None:
    """Returns once it copies that share."""
    until(lambda: list(metrics(process, "tidegate_shadow_percent").values()) == ([percent] if percent else []))


def infer(process: Process, headers: dict[str, str], row: list[float] = ROW) -> None:
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": row}]}
    answer = httpx2.post(process.url("/v2/models/m/infer"), json=content, headers=headers)
    assert answer.json()["outputs"][0]["data"] == [2 * value for value in row]


def infer_binary(process: Process, headers: dict[str, str]) -> None:
    told = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    text = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": [told]})
    headers = headers | {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(text)),
    }
    with httpx2.Client() as client:
        for _ in range(2):  # The second is read by the layout of the first.
            answer = client.post(
                process.url("/v2/models/m/infer"), content=text + np.array(ROW, np.float32).tobytes(), headers=headers
            )
            assert answer.content.endswith((2 * np.array(ROW, np.float32)).tobytes())


def infer_cold(process: Process, headers: dict[str, str]) -> None:
    infer(process, headers | {"te": "trailers"})


def infer_v1(process: Process, headers: dict[str, str]) -> None:
    answer = httpx2.post(process.url("/v1/models/m:predict"), json={"instances": [ROW]}, headers=headers)
    assert answer.json() == {"predictions": [[2 * value for value in ROW]]}


def message() -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name="m")
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    asked.raw_input_contents.append(np.array(ROW, np.float32).tobytes())
    return asked


def infer_grpc(process: Process, headers: dict[str, str]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        answer = call(message(), metadata=[*headers.items()], timeout=SECONDS)
    assert answer.raw_output_contents[0] == (2 * np.array(ROW, np.float32)).tobytes()


def infer_stream(process: Process, headers: dict[str, str]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call: Any = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        (answer,) = call(iter([message()]), metadata=[*headers.items()], timeout=SECONDS)
    assert answer.infer_response.raw_output_contents[0] == (2 * np.array(ROW, np.float32)).tobytes()


WAYS: dict[str, tuple[Callable[[Process, dict[str, str]], None], int]] = {
    "hot, JSON": (infer, 1),
    "hot, binary": (infer_binary, 2),
    "cold": (infer_cold, 1),
    "V1": (infer_v1, 1),
    "gRPC": (infer_grpc, 1),
    "gRPC stream": (infer_stream, 1),
}


class Pair:
    """A stable runtime, which is told its share, and a canary, which turns answers round."""

    def __init__(self, stable: Process, canary: Process, share: ShareServer) -> None:
        self.stable = stable
        self.canary = canary
        self.share = share

    def afresh(self, revision: str = "2") -> None:
        """Nothing is counted yet of the copies of all requests to the canary."""
        self.share.tell()
        in_force(self.stable, 0)
        # Counts are one canary's, so another one in between has them begin anew.
        self.share.tell(self.canary, percent=50, revision="none")
        in_force(self.stable, 50)
        self.share.tell(self.canary, revision=revision)
        in_force(self.stable, 100)
        assert outcomes(self.stable) == {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    one, two = tmp_path_factory.mktemp("stable"), tmp_path_factory.mktemp("canary")
    options = ("--no-vetting", "--model-version")
    with (
        told() as share,
        serving(one, build_double(), *options, "1", "--share-url", share.url) as stable,
        serving(two, turned_round(), *options, "2") as canary,
    ):
        yield Pair(stable, canary, share)


@pytest.mark.parametrize("way", WAYS)
def test_a_request_of_every_way_is_copied_and_its_answer_compared(pair: Pair, way: str) -> None:
    pair.afresh()
    ask, count = WAYS[way]
    ask(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"moved": count})
    assert metrics(pair.stable, "tidegate_shadow_argmax_changes_total") == {"y": count}
    # 8 and -8, of which the larger one, without its sign, is 8.
    assert metrics(pair.stable, "tidegate_shadow_largest_difference") == {"y": 16.0}
    assert metrics(pair.stable, "tidegate_shadow_relative_difference_sum") == {"y": 2.0 * count}


@pytest.mark.parametrize("way", WAYS)
def test_what_another_server_has_sent_on_is_not_copied(pair: Pair, way: str) -> None:
    pair.afresh()
    ask, _ = WAYS[way]
    ask(pair.stable, MARK)
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"moved": 1})


def test_requests_on_one_connection_are_copied_but_for_those_that_are_marked(pair: Pair) -> None:
    pair.afresh()
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    with httpx2.Client() as client:
        for headers in ({}, {}, MARK, MARK, {}):
            assert client.post(pair.stable.url("/v2/models/m/infer"), json=content, headers=headers).status_code == 200
    until(lambda: outcomes(pair.stable) == {"moved": 3})


def test_requests_that_fail_are_not_copied(pair: Pair) -> None:
    pair.afresh()
    before = metrics(pair.canary, "tidegate_requests_total")
    assert httpx2.post(pair.stable.url("/v2/models/m/infer"), json={"inputs": []}).status_code == 400
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"moved": 1})
    assert metrics(pair.canary, "tidegate_requests_total")["200"] == before.get("200", 0) + 1


def test_copies_go_to_the_very_revision(pair: Pair) -> None:
    pair.afresh(revision="3")
    infer(pair.stable, {})
    until(lambda: outcomes(pair.stable) == {"dropped": 1})


def test_a_share_that_ends_ends_the_copies(pair: Pair) -> None:
    pair.afresh()
    pair.share.tell()
    in_force(pair.stable, 0)
    infer(pair.stable, {})
    assert outcomes(pair.stable) == {}


def test_requests_are_answered_whatever_becomes_of_the_canary(tmp_path: Path) -> None:
    (tmp_path / "stable").mkdir()
    (tmp_path / "canary").mkdir()
    with (
        told() as share,
        serving(tmp_path / "stable", build_double(), "--no-vetting", "--share-url", share.url) as stable,
        serving(tmp_path / "canary", build_double(), "--no-vetting", "--model-version", "2") as canary,
    ):
        share.tell(canary)
        in_force(stable, 100)
        infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1})
        canary.popen.kill()
        canary.popen.wait()
        infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1, "dropped": 1})
        # The share's server is gone, too: what was told last holds.
        share.shutdown()
        share.socket.close()
        for _ in range(3):
            infer(stable, {})
        until(lambda: outcomes(stable) == {"compared": 1, "dropped": 4})
        stable.popen.terminate()
        assert stable.popen.wait(SECONDS) == 0


def test_two_that_copy_to_each_other_copy_each_request_once(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        told() as first,
        told() as second,
        serving(tmp_path / "one", build_double(), "--no-vetting", "--share-url", first.url) as one,
        serving(
            tmp_path / "two", build_double(), "--no-vetting", "--model-version", "2", "--share-url", second.url
        ) as two,
    ):
        first.tell(two)
        second.tell(one, revision="1")
        in_force(one, 100)
        in_force(two, 100)
        infer(one, {})
        until(lambda: outcomes(one) == {"compared": 1})
        infer(two, {})
        until(lambda: outcomes(two) == {"compared": 1})
        assert outcomes(one) == {"compared": 1}
        assert metrics(one, "tidegate_requests_total") == {"200": 2}
