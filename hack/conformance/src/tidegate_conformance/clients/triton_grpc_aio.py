"""tritonclient.grpc.aio."""

import asyncio
import sys

try:
    import numpy as np
    import tritonclient.grpc.aio as client
except ImportError:
    sys.exit(3)

url = sys.argv[2]


async def ask(server: client.InferenceServerClient, number: int) -> None:
    values = np.full((1 + number % 3, 4), number, np.float32)
    tensor = client.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    result = await server.infer("rows", [tensor], request_id=str(number))
    np.testing.assert_array_equal(result.as_numpy("y"), values * 2 + 1)
    assert result.get_response().id == str(number), "the id"


async def main() -> None:
    async with client.InferenceServerClient(url) as server:
        assert await server.is_server_live(), "is_server_live"
        assert await server.is_model_ready("rows"), "is_model_ready"
        await asyncio.gather(*(ask(server, number) for number in range(32)))


asyncio.run(main())
