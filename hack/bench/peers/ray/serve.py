"""Ray Serve: one replica, serve.batch."""

import os
import signal
from typing import Any

import numpy as np
import onnxruntime
import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

BATCH, WAIT = int(os.environ["BENCH_BATCH"]), int(os.environ["BENCH_WAIT_MS"])
ROW = tuple(map(int, os.environ["BENCH_ROW"].split(",")))
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
KINDS = {"FP32": np.float32, "INT64": np.int64}


@serve.deployment(num_replicas=1, max_ongoing_requests=1024, ray_actor_options={"num_cpus": 0})
class Served:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.inputs = self.session.get_inputs()
        self.names = [output.name for output in self.session.get_outputs()]

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT / 1000)
    async def run(self, rows: list[Any]) -> list[Any]:
        feeds = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        results = self.session.run(self.names, feeds)
        return [[value[at : at + 1] for value in results] for at in range(len(rows))]

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path == "/raw":
            one = self.inputs[0]
            answer = await self.run({one.name: np.frombuffer(body, DTYPES[one.type]).reshape(ROW)})
            return Response(b"".join(value.tobytes() for value in answer), media_type="application/octet-stream")
        row = {
            one["name"]: np.array(one["data"], KINDS[one["datatype"]]).reshape(one["shape"])
            for one in orjson.loads(body)["inputs"]
        }
        tensors = [
            {"name": name, "shape": value.shape, "datatype": "FP32", "data": np.ascontiguousarray(value).ravel()}
            for name, value in zip(self.names, await self.run(row), strict=True)
        ]
        text = orjson.dumps({"outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(text, media_type="application/json")


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
    serve.start(
        http_options=serve.HTTPOptions(host="127.0.0.1", port=int(os.environ["BENCH_PORT"])),
        logging_config=serve.schema.LoggingConfig(enable_access_log=False, log_level="WARNING"),
    )
    serve.run(Served.bind())
    signal.pause()
