"""mosec: a Rust front end, a worker process for each route."""

import os
from typing import Any

import numpy as np
import onnxruntime
import orjson
from mosec import Server, Worker

BATCH, WAIT = int(os.environ["BENCH_BATCH"]), int(os.environ["BENCH_WAIT_MS"])
ROW = tuple(map(int, os.environ["BENCH_ROW"].split(",")))
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
KINDS = {"FP32": np.float32, "INT64": np.int64}


class Model(Worker):
    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.inputs = self.session.get_inputs()
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, rows: list[dict[str, Any]]) -> list[list[Any]]:
        """One batch per shape: all rows have the same but in the mixed workload."""
        answers: list[Any] = [None] * len(rows)
        shapes: dict[Any, list[int]] = {}
        for number, row in enumerate(rows):
            shapes.setdefault(tuple(value.shape for value in row.values()), []).append(number)
        for numbers in shapes.values():
            feeds = {one.name: np.concatenate([rows[number][one.name] for number in numbers]) for one in self.inputs}
            results = self.session.run(self.outputs, feeds)
            for at, number in enumerate(numbers):
                answers[number] = [result[at : at + 1] for result in results]
        return answers

    def forward(self, data: Any) -> Any:
        # mosec hands over a list only if batches were asked for.
        return self.run(data) if BATCH > 1 else self.run([data])[0]


class Json(Model):
    def deserialize(self, data: bytes) -> Any:
        asked = orjson.loads(data)["inputs"]
        return {one["name"]: np.array(one["data"], KINDS[one["datatype"]]).reshape(one["shape"]) for one in asked}

    def serialize(self, data: Any) -> bytes:
        tensors = [
            {"name": name, "shape": value.shape, "datatype": "FP32", "data": np.ascontiguousarray(value).ravel()}
            for name, value in zip(self.outputs, data, strict=True)
        ]
        return orjson.dumps({"outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)


class Raw(Model):
    def deserialize(self, data: bytes) -> Any:
        one = self.inputs[0]
        return {one.name: np.frombuffer(data, DTYPES[one.type]).reshape(ROW)}

    def serialize(self, data: Any) -> bytes:
        return b"".join(value.tobytes() for value in data)


if __name__ == "__main__":
    server = Server()
    for worker, route in ((Json, "/json"), (Raw, "/raw")):
        server.append_worker(worker, num=1, max_batch_size=BATCH, max_wait_time=WAIT, route=route)
    server.run()
