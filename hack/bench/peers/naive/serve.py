"""What one writes without a model server: FastAPI, orjson, a session, no batching."""

import os

import numpy as np
import onnxruntime
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
ROW = tuple(map(int, os.environ["BENCH_ROW"].split(",")))
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
KINDS = {"FP32": np.float32, "INT64": np.int64}
app = FastAPI()


@app.post("/json")
async def infer_json(request: Request) -> Response:
    asked = orjson.loads(await request.body())
    feeds = {
        one["name"]: np.array(one["data"], KINDS[one["datatype"]]).reshape(one["shape"]) for one in asked["inputs"]
    }
    answers = session.run(outputs, feeds)
    tensors = [
        {"name": name, "shape": value.shape, "datatype": "FP32", "data": value.ravel()}
        for name, value in zip(outputs, answers, strict=True)
    ]
    return Response(
        orjson.dumps({"outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )


@app.post("/raw")
async def infer_raw(request: Request) -> Response:
    one = inputs[0]
    row = np.frombuffer(await request.body(), DTYPES[one.type]).reshape(ROW)
    answers = session.run(outputs, {one.name: row})
    return Response(b"".join(value.tobytes() for value in answers), media_type="application/octet-stream")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="warning", access_log=False)
