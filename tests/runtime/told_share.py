"""Two runtimes and who tells one of them its share; requests by all ways in, and what is counted of them."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

import grpc
import httpx2
import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper
from prometheus_client.parser import text_string_to_metric_families

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, build_model

SECONDS = 60.0
ROW = [1.0, 2.0, 3.0, 4.0]


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

    def tell(self, **parts: Any) -> None:
        """The share is this from here on, until another one is told."""
        with self.changed:
            self.turn += 1
            self.told = {"version": 1, "revision": str(self.turn), **parts}
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
        # Whoever asked may have ended since: a held question is answered late.
        with suppress(ConnectionError):
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


def sampled(process: Process, name: str, *labels: str, path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """The samples of that name, by the values of these labels; without any, by those that there are."""
    text = httpx2.get(process.admin_url(path)).text
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                key = tuple(sample.labels.get(label, "") for label in labels or sample.labels)
                found[key] = found.get(key, 0) + sample.value
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def infer(process: Process, headers: dict[str, str], row: list[float] = ROW) -> list[float]:
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": row}]}
    answer = httpx2.post(process.url("/v2/models/m/infer"), json=content, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[float] = answer.json()["outputs"][0]["data"]
    return found


def infer_binary(process: Process, headers: dict[str, str]) -> list[float]:
    """The second of two: it is read by the layout of the first."""
    told = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    text = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": [told]})
    headers = headers | {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(text)),
    }
    body = text + np.array(ROW, np.float32).tobytes()
    with httpx2.Client() as client:
        answers = [client.post(process.url("/v2/models/m/infer"), content=body, headers=headers) for _ in range(2)]
    first, second = ([*np.frombuffer(answer.content[-16:], np.float32).tolist()] for answer in answers)
    assert first == second
    return second


def infer_cold(process: Process, headers: dict[str, str]) -> list[float]:
    return infer(process, headers | {"te": "trailers"})


def infer_packed(process: Process, headers: dict[str, str]) -> list[float]:
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    headers = headers | {"content-encoding": "gzip", "content-type": "application/json"}
    body = gzip.compress(orjson.dumps(content))
    answer = httpx2.post(process.url("/v2/models/m/infer"), content=body, headers=headers)
    found: list[float] = answer.json()["outputs"][0]["data"]
    return found


def infer_v1(process: Process, headers: dict[str, str]) -> list[float]:
    answer = httpx2.post(process.url("/v1/models/m:predict"), json={"instances": [ROW]}, headers=headers)
    (found,) = answer.json()["predictions"]
    return [*found]


def message() -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name="m")
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    asked.raw_input_contents.append(np.array(ROW, np.float32).tobytes())
    return asked


def infer_grpc(process: Process, headers: dict[str, str]) -> list[float]:
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        answer = call(message(), metadata=[*headers.items()], timeout=SECONDS)
    return [*np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()]


def infer_stream(process: Process, headers: dict[str, str]) -> list[float]:
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call: Any = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        (answer,) = call(iter([message()]), metadata=[*headers.items()], timeout=SECONDS)
    return [*np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32).tolist()]


WAYS: dict[str, tuple[Callable[[Process, dict[str, str]], list[float]], int]] = {
    # By name: what asks, and how many requests that are.
    "hot, JSON": (infer, 1),
    "hot, binary": (infer_binary, 2),
    "cold": (infer_cold, 1),
    "packed": (infer_packed, 1),
    "V1": (infer_v1, 1),
    "gRPC": (infer_grpc, 1),
    "gRPC stream": (infer_stream, 1),
}


def part(*targets: Process, percent: float = 100, revision: str = "2", **more: Any) -> dict[str, Any]:
    """What a document says of a share of that revision, which these serve."""
    addresses = [f"127.0.0.1:{pod.port}" for pod in targets]
    return {"percent": percent, "revision": revision, "targets": addresses, **more}
