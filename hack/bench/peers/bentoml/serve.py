"""BentoML: one service, one batchable method for each number of inputs; arrays as JSON, which is what it batches."""

import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime

BATCH = int(os.environ["BENCH_BATCH"])


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Served:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    # A batchable method may take one argument alone, so the transformer's two are stacked.
    @bentoml.api(route="/floats", batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)
    def floats(self, x: np.ndarray) -> np.ndarray:
        answer: Any = self.session.run(None, {"x": x.astype(np.float32)})[0]
        return answer

    @bentoml.api(route="/tokens", batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)
    def tokens(self, x: np.ndarray) -> np.ndarray:
        stacked = x.astype(np.int64)
        feeds = {"input_ids": stacked[:, 0], "attention_mask": stacked[:, 1]}
        answer: Any = self.session.run(None, feeds)[0]
        return answer
