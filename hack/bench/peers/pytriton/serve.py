"""PyTriton: Triton's front ends and batcher, a Python callable behind them."""

import os
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]


@batch
def infer(**feeds: Any) -> list[Any]:
    return session.run(names, feeds)


def tensors(declared: Any) -> list[Tensor]:
    return [
        Tensor(
            name=one.name,
            dtype=DTYPES[one.type],
            shape=tuple(size if isinstance(size, int) else -1 for size in one.shape[1:]),
        )
        for one in declared
    ]


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["BENCH_PORT"]),
        grpc_address="127.0.0.1",
        grpc_port=int(os.environ["BENCH_GRPC_PORT"]),
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=os.environ["BENCH_NAME"],
            infer_func=infer,
            inputs=tensors(session.get_inputs()),
            outputs=tensors(session.get_outputs()),
            config=ModelConfig(max_batch_size=int(os.environ["BENCH_BATCH"]), batcher=DynamicBatcher()),
            strict=False,
        )
        triton.serve()
