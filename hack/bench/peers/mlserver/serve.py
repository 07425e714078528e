"""MLServer: its adaptive batching on, no worker processes, since there is one core."""

import asyncio
import logging
import os

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class Served(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        results = self.session.run(self.names, feeds)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(self.names, results, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=int(os.environ["BENCH_PORT"]),
        grpc_port=int(os.environ["BENCH_GRPC_PORT"]),
        grpc_max_message_length=64 << 20,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
    )
    model = ModelSettings(
        name=os.environ["BENCH_NAME"],
        implementation=Served,
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        max_batch_time=int(os.environ["BENCH_WAIT_MS"]) / 1000,
        parameters=ModelParameters(version="1"),
    )
    logging.disable(logging.INFO)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
