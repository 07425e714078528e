"""kserve's inference clients: mode `rest` or `grpc`."""

import asyncio
import sys

try:
    import numpy as np
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
except ImportError:
    sys.exit(3)

rest, grpc, mode = sys.argv[1:]
a = np.arange(8, dtype=np.float32).reshape(2, 4)
b = np.full((2, 4), 0.25, np.float32)


def request() -> InferRequest:
    inputs = []
    for name, values in (("a", a), ("b", b)):
        tensor = InferInput(name, list(values.shape), "FP32")
        tensor.set_data_from_numpy(values, binary_data=False)
        inputs.append(tensor)
    return InferRequest("add_sub", inputs, request_id="7")


def holds(answer: object) -> None:
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    np.testing.assert_array_equal(outputs["sum"], a + b)
    np.testing.assert_array_equal(outputs["difference"], a - b)
    assert answer.id == "7", "the id"


async def over_rest() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(rest), "is_server_live"
    assert await client.is_server_ready(rest), "is_server_ready"
    assert await client.is_model_ready(rest, "add_sub"), "is_model_ready"
    holds(await client.infer(rest, request(), model_name="add_sub"))
    await client.close()


async def over_grpc() -> None:
    async with InferenceGRPCClient(grpc) as client:
        assert await client.is_server_live(), "is_server_live"
        assert await client.is_server_ready(), "is_server_ready"
        assert await client.is_model_ready("add_sub"), "is_model_ready"
        holds(await client.infer(request()))


asyncio.run({"rest": over_rest, "grpc": over_grpc}[mode]())
