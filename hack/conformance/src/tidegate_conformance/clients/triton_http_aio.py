"""tritonclient.http.aio: mode `json` or `binary`."""

import asyncio
import sys
from urllib.parse import urlsplit

try:
    import numpy as np
    import tritonclient.http.aio as client
except ImportError:
    sys.exit(3)

url, binary = urlsplit(sys.argv[1]).netloc, sys.argv[3] == "binary"


async def ask(server: client.InferenceServerClient, number: int) -> None:
    values = np.full((1 + number % 3, 4), number, np.float32)
    tensor = client.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values, binary_data=binary)
    wanted = client.InferRequestedOutput("y", binary_data=binary)
    result = await server.infer("rows", [tensor], outputs=[wanted], request_id=str(number))
    np.testing.assert_array_equal(result.as_numpy("y"), values * 2 + 1)
    assert result.get_response()["id"] == str(number), "the id"


async def main() -> None:
    async with client.InferenceServerClient(url) as server:
        assert await server.is_server_live(), "is_server_live"
        assert await server.is_model_ready("rows"), "is_model_ready"
        assert (await server.get_model_metadata("rows"))["name"] == "rows", "get_model_metadata"
        await asyncio.gather(*(ask(server, number) for number in range(32)))


asyncio.run(main())
