"""LitServe: its own request parsing, batches of the loop."""

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime

BATCH = int(os.environ["BENCH_BATCH"])
KINDS = {"FP32": np.float32, "INT64": np.int64}


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.names = [output.name for output in self.session.get_outputs()]

    # An annotation would be taken as FastAPI's: `Any` for a query parameter.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return {
            one["name"]: np.array(one["data"], KINDS[one["datatype"]]).reshape(one["shape"])
            for one in request["inputs"]
        }

    def batch(self, inputs: list[Any]) -> Any:
        return {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}

    def predict(self, x: Any) -> Any:
        return self.session.run(self.names, x)

    def unbatch(self, output: Any) -> list[Any]:
        return [[value[at : at + 1] for value in output] for at in range(len(output[0]))]

    def encode_response(self, output: Any) -> Any:
        return {
            "outputs": [
                {"name": name, "shape": list(value.shape), "datatype": "FP32", "data": value.ravel().tolist()}
                for name, value in zip(self.names, output, strict=True)
            ]
        }


if __name__ == "__main__":
    api = Served(max_batch_size=BATCH, batch_timeout=int(os.environ["BENCH_WAIT_MS"]) / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
