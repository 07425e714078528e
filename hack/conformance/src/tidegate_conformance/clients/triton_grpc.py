"""tritonclient.grpc: mode `unary` or `stream`."""

import queue
import sys

try:
    import numpy as np
    import tritonclient.grpc as client
except ImportError:
    sys.exit(3)

url, mode = sys.argv[2], sys.argv[3]


def given(name: str, datatype: str, values: np.ndarray) -> client.InferInput:
    tensor = client.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def unary(server: client.InferenceServerClient) -> None:
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    b = np.full((2, 4), 0.25, np.float32)
    assert server.is_server_live(), "is_server_live"
    assert server.is_server_ready(), "is_server_ready"
    assert server.is_model_ready("add_sub"), "is_model_ready"
    assert server.get_server_metadata().name, "get_server_metadata"
    assert [tensor.name for tensor in server.get_model_metadata("add_sub").inputs] == ["a", "b"], "get_model_metadata"
    inputs = [given("a", "FP32", a), given("b", "FP32", b)]
    result = server.infer("add_sub", inputs, request_id="7")
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    assert result.get_response().id == "7", "the id"
    result = server.infer("add_sub", inputs, outputs=[client.InferRequestedOutput("sum")], compression_algorithm="gzip")
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    words = np.array([[b"a", "é".encode(), b"", b"x" * 300]], object)
    result = server.infer("identity_bytes", [given("x", "BYTES", words)])
    assert result.as_numpy("y").ravel().tolist() == words[0].tolist(), "BYTES"
    try:
        server.infer("no-such-model", inputs)
        status = "none"
    except client.InferenceServerException as error:
        status = error.status()
    assert "NOT_FOUND" in status or "INVALID_ARGUMENT" in status, f"an unknown model: {status}"


def stream(server: client.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    server.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(16):
        values = np.full((1 + number % 3, 4), number, np.float32)
        server.async_stream_infer("rows", [given("x", "FP32", values)], request_id=str(number))
    found = {}
    for _ in range(16):
        result, error = answers.get(timeout=15)
        assert error is None, error
        found[int(result.get_response().id)] = result.as_numpy("y")
    server.stop_stream()
    for number in range(16):
        np.testing.assert_array_equal(found[number], np.full((1 + number % 3, 4), number * 2 + 1, np.float32))


with client.InferenceServerClient(url) as connected:
    {"unary": unary, "stream": stream}[mode](connected)
