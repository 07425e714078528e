"""KServe's Python server; its SDK has no batching of its own."""

import logging
import os
from typing import Any

import numpy as np
import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer


class Served(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> InferResponse:
        feeds = {one.name: one.as_numpy() for one in payload.inputs}
        outputs = []
        for name, value in zip(self.names, self.session.run(self.names, feeds), strict=True):
            output = InferOutput(name=name, shape=list(value.shape), datatype="FP32")
            output.set_data_from_numpy(np.ascontiguousarray(value), binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or "",
            model_name=self.name,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
        )


if __name__ == "__main__":
    logging.disable(logging.INFO)
    ModelServer(
        http_port=int(os.environ["BENCH_PORT"]),
        grpc_port=int(os.environ["BENCH_GRPC_PORT"]),
        workers=1,
        enable_docs_url=False,
        access_log_format=None,
    ).start([Served(os.environ["BENCH_NAME"])])
