"""tritonclient.http: mode `json` or `binary`."""

import sys
from urllib.parse import urlsplit

try:
    import numpy as np
    import tritonclient.http as client
except ImportError:
    sys.exit(3)

url, mode = urlsplit(sys.argv[1]).netloc, sys.argv[3]
binary = mode == "binary"
a = np.arange(8, dtype=np.float32).reshape(2, 4)
b = np.full((2, 4), 0.25, np.float32)


def given(name: str, datatype: str, values: np.ndarray) -> client.InferInput:
    tensor = client.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def wanted(name: str) -> client.InferRequestedOutput:
    return client.InferRequestedOutput(name, binary_data=binary)


with client.InferenceServerClient(url, concurrency=4) as server:
    assert server.is_server_live(), "is_server_live"
    assert server.is_server_ready(), "is_server_ready"
    assert server.is_model_ready("add_sub"), "is_model_ready"
    assert not server.is_model_ready("no-such-model"), "is_model_ready of an unknown model"
    assert server.get_server_metadata()["name"], "get_server_metadata"
    metadata = server.get_model_metadata("add_sub")
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["a", "b"], "get_model_metadata"

    inputs = [given("a", "FP32", a), given("b", "FP32", b)]
    result = server.infer("add_sub", inputs, outputs=[wanted("sum"), wanted("difference")], request_id="7")
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    assert result.get_response()["id"] == "7", "the id"

    result = server.infer("add_sub", inputs, outputs=[wanted("difference")])
    assert result.as_numpy("sum") is None, "an output that wasn't asked for"

    words = np.array([[b"a", "é".encode(), b"", b"x" * 300]], object)
    result = server.infer("identity_bytes", [given("x", "BYTES", words)], outputs=[wanted("y")])
    assert [bytes(v) if isinstance(v, bytes) else v.encode() for v in result.as_numpy("y").ravel()] == words[0].tolist()

    many = [np.full((1 + n % 3, 4), n, np.float32) for n in range(16)]
    pending = [server.async_infer("rows", [given("x", "FP32", x)], outputs=[wanted("y")]) for x in many]
    for x, answer in zip(many, pending, strict=True):
        np.testing.assert_array_equal(answer.get_result().as_numpy("y"), x * 2 + 1)

    if binary:
        # Without outputs, this client asks for all of them as bytes.
        result = server.infer("add_sub", inputs)
        np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
        packed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
        result = server.infer("add_sub", inputs, outputs=[wanted("sum")], **packed)
        np.testing.assert_array_equal(result.as_numpy("sum"), a + b)

    try:
        server.infer("no-such-model", inputs)
        status = "none"
    except client.InferenceServerException as error:
        status = error.status()
    assert status in ("400", "404"), f"an unknown model: {status}"
