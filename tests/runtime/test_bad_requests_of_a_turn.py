"""One bad request among those that a server reads in one turn, by each way in: an index beyond its table."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from onnx import numpy_helper, parser

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, serving

Form = Callable[[int], tuple[bytes, dict[str, str]]]
"""The request for an index: body and headers."""

MODEL = (
    '<ir_version: 8, opset_import: ["": 18]> graph (int64[N,1] x) => (float[N,1] y) <float[100] t> { y = Gather(t, x) }'
)


class Turn:
    """A server of t[x], for x of 100 values, and requests that it finds all at once."""

    def __init__(self, process: Process, stack: ExitStack) -> None:
        self.process = process
        self._stack = stack

    def http(self, form: Form, *indices: int) -> list[tuple[int, bytes]]:
        """Status and body of the answer to each, asked over a connection of its own."""
        connections = [HTTPConnection("127.0.0.1", self.process.port, timeout=30) for _ in indices]
        for connection in connections:
            self._stack.callback(connection.close)

        def send(numbers: Sequence[int]) -> None:
            for connection, index in zip(connections, numbers, strict=True):
                body, headers = form(index)
                connection.request("POST", "/v2/models/m/infer", body, headers)

        def answers() -> list[tuple[int, bytes]]:
            responses = [connection.getresponse() for connection in connections]
            return [(response.status, response.read()) for response in responses]

        for each in range(3):  # From the third on, a connection's requests are known as those before.
            send([each] * len(indices))
            assert [status for status, _ in answers()] == [200] * len(indices)
        with self._one_turn():
            send(indices)
        return answers()

    def grpc(self, *indices: int) -> list[tuple[str, Any]]:
        """Status and first raw output, or the error's text, of the answer to each, asked over one connection."""
        channel = self._stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{self.process.grpc_port}"))
        infer: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

        def message(index: int) -> pb.ModelInferRequest:
            tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="INT64", shape=[1, 1])
            raw = [np.int64(index).tobytes()]
            return pb.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=raw)

        for each in range(3):
            infer(message(each), timeout=30)
        with self._one_turn():
            calls = [infer.future(message(index), timeout=30) for index in indices]
            time.sleep(0.5)  # Another thread writes them.
        failed = [call.exception() for call in calls]
        return [
            ("OK", call.result().raw_output_contents[0]) if error is None else (error.code().name, error.details())
            for call, error in zip(calls, failed, strict=True)
        ]

    @contextmanager
    def _one_turn(self) -> Iterator[None]:
        """What is sent in the block is read in one turn of the server's event loop."""
        self.process.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.popen.send_signal(signal.SIGCONT)

    def shared(self) -> int:
        """How many runs there were of more than one row."""
        text = httpx2.get(self.process.admin_url("/metrics"), timeout=30).text
        alone, every = (
            re.search(r'batch_rows_bucket{[^}]*le="1.0"[^}]*} (\S+)', text),
            re.search(r"batch_rows_count{.*} (\S+)", text),
        )
        assert alone is not None
        assert every is not None
        return round(float(every[1]) - float(alone[1]))


@pytest.fixture(scope="module")
def gather(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turn]:
    model = parser.parse_model(MODEL)
    table = numpy_helper.from_array(np.arange(100, dtype=np.float32), "t")
    del model.graph.initializer[:]
    model.graph.initializer.append(table)
    with serving(tmp_path_factory.mktemp("gather"), model) as process, ExitStack() as stack:
        yield Turn(process, stack)


def in_json(index: int) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [index]}
    return json.dumps({"inputs": [tensor]}).encode(), {"content-type": "application/json"}


def in_json_through_asgi(index: int) -> tuple[bytes, dict[str, str]]:
    body, headers = in_json(index)
    return body, headers | {"te": "trailers"}


def in_bytes(index: int) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + np.int64(index).tobytes(), headers


BEYOND = "indices element out of data bounds, idx=100"


@pytest.mark.parametrize("form", [in_json, in_json_through_asgi, in_bytes])
def test_an_index_beyond_its_table_fails_that_request_of_its_turn_alone(form: Form, gather: Turn) -> None:
    before = gather.shared()
    answers = gather.http(form, 7, 100, 8)
    assert gather.shared() > before
    assert [status for status, _ in answers] == [200, 400, 200]
    bodies = [body for _, body in answers]
    if form is in_bytes:
        assert [bodies[0][-4:], bodies[2][-4:]] == [np.float32(number).tobytes() for number in (7, 8)]
    else:
        assert [json.loads(bodies[place])["outputs"][0]["data"] for place in (0, 2)] == [[7], [8]]
    assert BEYOND in json.loads(bodies[1])["error"]


def test_an_index_beyond_its_table_fails_that_call_of_its_turn_alone(gather: Turn) -> None:
    before = gather.shared()
    seven, bad, eight = gather.grpc(7, 100, 8)
    assert gather.shared() > before
    assert [seven, eight] == [("OK", np.float32(number).tobytes()) for number in (7, 8)]
    assert bad[0] == "INVALID_ARGUMENT"
    assert BEYOND in bad[1]
