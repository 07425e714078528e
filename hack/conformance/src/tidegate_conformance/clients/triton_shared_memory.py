"""tritonclient with tensors in shared memory, by its own module for that: mode `http` or `grpc`."""

import sys
import uuid
from urllib.parse import urlsplit

try:
    import numpy as np
    import tritonclient.grpc
    import tritonclient.http
    import tritonclient.utils.shared_memory as shm
except ImportError:
    sys.exit(3)

rest, grpc, mode, admin = sys.argv[1:5]
kind = tritonclient.http if mode == "http" else tritonclient.grpc
client = kind.InferenceServerClient(urlsplit(rest).netloc if mode == "http" else grpc)
registrar = client
if admin and admin != rest:
    registrar = tritonclient.http.InferenceServerClient(urlsplit(admin).netloc)

SIZE = 32
A, B, SUM, DIFFERENCE = range(0, 4 * SIZE, SIZE)
a = np.arange(8, dtype=np.float32).reshape(2, 4)
b = np.full((2, 4), 0.25, np.float32)
name, key = f"conformance-{uuid.uuid4().hex[:12]}", f"/conformance-{uuid.uuid4().hex[:12]}"


def given(tensor: str, offset: int) -> object:
    return kind.InferInput(tensor, [2, 4], "FP32").set_shared_memory(name, SIZE, offset)


def wanted(tensor: str, offset: int) -> object:
    output = kind.InferRequestedOutput(tensor)
    output.set_shared_memory(name, SIZE, offset)
    return output


def check(shared: dict[str, int], a: np.ndarray, b: np.ndarray) -> None:
    """Infers with both inputs in shared memory, the outputs in `shared` at those offsets, the others in the answer."""
    shm.set_shared_memory_region(region, [a, b])
    outputs = [
        wanted(tensor, shared[tensor]) if tensor in shared else kind.InferRequestedOutput(tensor)
        for tensor in ("sum", "difference")
    ]
    result = client.infer("add_sub", [given("a", A), given("b", B)], outputs=outputs)
    for tensor, values in (("sum", a + b), ("difference", a - b)):
        if tensor in shared:
            assert result.get_output(tensor) is not None, f"get_output of {tensor}"
            found = shm.get_contents_as_numpy(region, np.float32, [2, 4], shared[tensor])
        else:
            found = result.as_numpy(tensor)
        np.testing.assert_array_equal(found, values)


region = shm.create_shared_memory_region(name, key, 4 * SIZE)
try:
    registrar.register_system_shared_memory(name, key, 4 * SIZE)
    try:
        status = registrar.get_system_shared_memory_status(name)
        told = status[0]["byte_size"] if isinstance(status, list) else status.regions[name].byte_size
        assert told == 4 * SIZE, "get_system_shared_memory_status"
        check({"sum": SUM, "difference": DIFFERENCE}, a, b)
        check({"sum": SUM}, b, a)
        check({"sum": DIFFERENCE, "difference": SUM}, a + 1, b * 3)
        try:
            client.infer("add_sub", [given("a", A), given("b", B + 3 * SIZE)])
            refused = False
        except kind.InferenceServerException:
            refused = True
        assert refused, "an offset beyond the region"
    finally:
        registrar.unregister_system_shared_memory(name)
    listed = registrar.get_system_shared_memory_status()
    names = [entry["name"] for entry in listed] if isinstance(listed, list) else list(listed.regions)
    assert name not in names, "unregister_system_shared_memory"
finally:
    shm.destroy_shared_memory_region(region)
    for connected in {client, registrar}:
        connected.close()
