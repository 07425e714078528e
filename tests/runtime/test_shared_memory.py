"""A real process that shares memory with its clients: Triton's own, and requests that are wrong in every way."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as shm

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import Process, build_double, serving

pytestmark = pytest.mark.integration

SHM = Path("/dev/shm")
SIZE = 256
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
INFER = "/v2/models/m/infer"
REGIONS = "/v2/systemsharedmemory"
REGION, BYTES, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
INPUT = {REGION: "r", BYTES: 32}
OUTPUT = {REGION: "r", BYTES: 32, OFFSET: 128}


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Shares memory, which is registered on the data ports, too."""
    options = ["--shared-memory-bytes", "4096", "--admin-on-data-port", "--max-batch-size", "8"]
    options += ["--grpc-transport", request.param]
    with serving(tmp_path_factory.mktemp("sharing"), build_double(), *options) as process:
        yield process


@pytest.fixture
def key() -> Iterator[str]:
    """Of an object of 256 bytes that begins with `ROWS`."""
    name = f"tidegate-test-{uuid.uuid4().hex}"
    (SHM / name).write_bytes(ROWS.tobytes() + bytes(SIZE - ROWS.nbytes))
    yield f"/{name}"
    (SHM / name).unlink()


@pytest.fixture
def shared(server: Process, key: str) -> Iterator[Callable[[], Any]]:
    """The object is registered as "r"; gives what stands where `OUTPUT` is."""
    registered = httpx2.post(server.url(f"{REGIONS}/region/r/register"), json={"key": key, "byte_size": SIZE})
    assert registered.status_code == 200, registered.text
    yield lambda: np.frombuffer((SHM / key[1:]).read_bytes()[128:160], np.float32).reshape(2, 4)
    assert httpx2.post(server.url(f"{REGIONS}/unregister")).status_code == 200


def body(given: Any = INPUT, wanted: Any = OUTPUT, **tensor: Any) -> dict[str, Any]:
    asked = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": given} | tensor
    return {"inputs": [asked], "outputs": [{"name": "y", "parameters": wanted}]}


def message(given: Any = INPUT, wanted: Any = OUTPUT, **tensor: Any) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name="m")
    tensors = (
        (made.inputs.add(**({"name": "x", "shape": [2, 4], "datatype": "FP32"} | tensor)), given),
        (made.outputs.add(name="y"), wanted),
    )
    for owner, parameters in tensors:
        for name, value in parameters.items():
            setattr(owner.parameters[name], "string_param" if isinstance(value, str) else "int64_param", value)
    return made


@pytest.fixture
def call(server: Process) -> Iterator[Callable[[str, Any], Any]]:
    """Calls a method of the service; the answer's bytes."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:

        def call(method: str, request: Any) -> bytes:
            kind: Any = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            answer: bytes = kind(request.SerializeToString())
            return answer

        yield call


def refused(call: Callable[[str, Any], Any], method: str, request: Any) -> tuple[str, str]:
    """The status and the message of a call that fails."""
    with pytest.raises(grpc.RpcError) as failure:
        call(method, request)
    error: Any = failure.value
    return error.code().name, error.details()


def test_both_sides_of_a_request_are_in_shared_memory(server: Process, way: dict[str, str], shared: Any) -> None:
    answer = httpx2.post(server.url(INFER), json=body(), headers=way)
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert output == {"name": "y", "datatype": "FP32", "shape": [2, 4], "parameters": OUTPUT}
    assert np.array_equal(shared(), ROWS * 2)


def test_one_side_alone_may_be(server: Process, way: dict[str, str], shared: Any) -> None:
    answer = httpx2.post(server.url(INFER), json=body(wanted={}), headers=way)
    assert answer.json()["outputs"][0]["data"] == (ROWS * 2).ravel().tolist()
    sent = body(given=None, data=(ROWS + 1).ravel().tolist())
    assert httpx2.post(server.url(INFER), json=sent, headers=way).status_code == 200
    assert np.array_equal(shared(), (ROWS + 1) * 2)


def test_plain_requests_on_the_same_connection_are_what_they_were(
    server: Process, way: dict[str, str], shared: Any
) -> None:
    plain = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    with httpx2.Client(headers=way) as client:
        for _ in range(3):
            assert client.post(server.url(INFER), json=plain).json()["outputs"][0]["data"] == [2, 4, 6, 8]
            assert client.post(server.url(INFER), json=body()).json()["outputs"][0]["parameters"] == OUTPUT
    assert np.array_equal(shared(), ROWS * 2)


def test_tritons_http_client_shares_memory(server: Process, way: dict[str, str]) -> None:
    name = f"/tidegate-test-{uuid.uuid4().hex}"
    region = shm.create_shared_memory_region("region", name, 64)
    try:
        shm.set_shared_memory_region(region, [ROWS])
        with triton_http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert "system_shared_memory" in client.get_server_metadata()["extensions"]
            client.unregister_system_shared_memory()
            client.register_system_shared_memory("region", name, 64)
            told = [{"name": "region", "key": name, "offset": 0, "byte_size": 64}]
            assert client.get_system_shared_memory_status() == told
            given = triton_http.InferInput("x", [2, 4], "FP32").set_shared_memory("region", 32)
            wanted = triton_http.InferRequestedOutput("y")
            wanted.set_shared_memory("region", 32, 32)
            result = client.infer("m", [given], outputs=[wanted], headers=way)
            assert result.get_output("y")["parameters"][REGION] == "region"
            assert np.array_equal(shm.get_contents_as_numpy(region, np.float32, [2, 4], 32), ROWS * 2)
            binary = client.infer("m", [given], outputs=[triton_http.InferRequestedOutput("y")], headers=way)
            assert np.array_equal(binary.as_numpy("y"), ROWS * 2)
            client.unregister_system_shared_memory("region")
            assert client.get_system_shared_memory_status() == []
    finally:
        shm.destroy_shared_memory_region(region)


def test_tritons_grpc_client_shares_memory(server: Process) -> None:
    name = f"/tidegate-test-{uuid.uuid4().hex}"
    region = shm.create_shared_memory_region("region", name, 64)
    try:
        shm.set_shared_memory_region(region, [ROWS])
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            assert "system_shared_memory" in client.get_server_metadata().extensions
            client.register_system_shared_memory("region", name, 64)
            told = client.get_system_shared_memory_status("region").regions["region"]
            assert (told.name, told.key, told.offset, told.byte_size) == ("region", name, 0, 64)
            given = triton_grpc.InferInput("x", [2, 4], "FP32").set_shared_memory("region", 32)
            wanted = triton_grpc.InferRequestedOutput("y")
            wanted.set_shared_memory("region", 32, 32)
            assert client.infer("m", [given], outputs=[wanted]).get_output("y").parameters[BYTES].int64_param == 32
            assert np.array_equal(shm.get_contents_as_numpy(region, np.float32, [2, 4], 32), ROWS * 2)
            assert np.array_equal(client.infer("m", [given]).as_numpy("y"), ROWS * 2)
            answers: Queue[Any] = Queue()
            shm.set_shared_memory_region(region, [ROWS * 3])
            client.start_stream(lambda result, error: answers.put(error or result))
            client.async_stream_infer("m", [given], outputs=[wanted])
            assert answers.get(timeout=10).get_output("y").parameters[REGION].string_param == "region"
            client.stop_stream()
            assert np.array_equal(shm.get_contents_as_numpy(region, np.float32, [2, 4], 32), ROWS * 6)
            client.unregister_system_shared_memory()
            assert not client.get_system_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(region)


BAD = [
    pytest.param({"given": INPUT | {REGION: "none"}}, 400, 'input "x": no region "none" is registered', id="unknown"),
    pytest.param({"wanted": OUTPUT | {REGION: "none"}}, 400, 'output "y": no region "none"', id="an unknown output"),
    pytest.param({"given": INPUT | {BYTES: 16}}, 400, "needs 32 bytes", id="a size below the shape's"),
    pytest.param({"given": INPUT | {OFFSET: 225}}, 400, "reach beyond the 256 bytes", id="an offset too large"),
    pytest.param({"given": INPUT | {OFFSET: 2**63 - 1}}, 400, "2^48", id="an offset that would overflow"),
    pytest.param({"given": INPUT | {OFFSET: -1}}, 400, "integer from 0", id="a negative offset"),
    pytest.param({"given": INPUT | {BYTES: -32}}, 400, "integer from 0", id="a negative size"),
    pytest.param({"given": INPUT | {BYTES: "32"}}, 400, "integer from 0", id="a string for a size"),
    pytest.param({"given": INPUT | {BYTES: 0}}, 400, "is 0", id="no bytes"),
    pytest.param({"given": {REGION: "r"}}, 400, "needs both", id="no size"),
    pytest.param({"wanted": OUTPUT | {BYTES: 31}}, 400, "takes 32 bytes, ", id="an output's place too small"),
    pytest.param({"wanted": OUTPUT | {OFFSET: 250}}, 400, "reach beyond the 256 bytes", id="an output's place beyond"),
    pytest.param({"wanted": OUTPUT | {"classification": 1}}, 400, "exclude each other", id="classes"),
    pytest.param({"shape": [2**31, 2**31]}, 400, "needs 18446744073709551616 bytes", id="a shape that overflows"),
    pytest.param({"shape": [2, 5], "given": INPUT | {BYTES: 40}}, 400, "expected shape [-1, 4]", id="another shape"),
    pytest.param({"shape": [9, 4], "given": INPUT | {BYTES: 144}}, 400, "the limit is 8", id="too many rows"),
]


@pytest.mark.parametrize(("changes", "status", "said"), BAD)
def test_refused_is(
    server: Process, way: dict[str, str], shared: Any, call: Any, changes: Any, status: int, said: str
) -> None:
    answer = httpx2.post(server.url(INFER), json=body(**changes), headers=way)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert said in answer.json()["error"]
    code, details = refused(call, "ModelInfer", message(**changes))
    assert code == "INVALID_ARGUMENT"
    assert said in details
    assert not shared().any()
    assert httpx2.post(server.url(INFER), json=body(), headers=way).status_code == 200


def test_inputs_are_bounded_as_a_body_is(serve: Callable[..., Any], double: Any, way: dict[str, str]) -> None:
    options = ("--shared-memory-bytes", "4096", "--max-body-bytes", "511", "--no-vetting")
    changes: dict[str, Any] = {"given": INPUT | {BYTES: 512}, "wanted": {}, "shape": [32, 4]}
    with serve(double, *options) as process, grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        answer = httpx2.post(process.url(INFER), json=body(**changes), headers=way)
        assert answer.status_code == 413
        assert "inputs in shared memory have 512 bytes; the limit is 511" in answer.json()["error"]
        ask: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as failure:
            ask(message(**changes).SerializeToString())
        error: Any = failure.value
        assert (error.code().name, error.details()[:27]) == ("RESOURCE_EXHAUSTED", "the inputs in shared memory")


def test_memory_cut_short_after_it_was_registered_costs_the_request_alone(
    server: Process, way: dict[str, str], shared: Any, key: str, call: Any
) -> None:
    path = SHM / key[1:]
    whole = path.read_bytes()
    os.truncate(path, 16)
    for changes, said in (
        ({"wanted": {}}, 'input "x": the shared memory of region "r" was cut short'),
        ({"given": INPUT | {BYTES: 16}, "shape": [1, 4]}, 'output "y": the shared memory of region "r" was cut short'),
    ):
        answer = httpx2.post(server.url(INFER), json=body(**changes), headers=way)
        assert answer.status_code == 400
        assert said in answer.json()["error"]
        code, details = refused(call, "ModelInfer", message(**changes))
        assert code == "INVALID_ARGUMENT"
        assert said in details
    assert path.stat().st_size == 16
    path.write_bytes(whole)
    assert httpx2.post(server.url(INFER), json=body(), headers=way).status_code == 200
    assert np.array_equal(shared(), ROWS * 2)


def register(name: str, key: str, offset: int = 0, size: int = 8) -> pb.SystemSharedMemoryRegisterRequest:
    return pb.SystemSharedMemoryRegisterRequest(name=name, key=key, offset=offset, byte_size=size)


BAD_REGISTRATIONS = [
    pytest.param({"key": "/{name}/x"}, "POSIX shared memory object", id="a key with a slash"),
    pytest.param({"key": "/../{name}"}, "POSIX shared memory object", id="a key that goes up"),
    pytest.param({"key": "/.."}, "POSIX shared memory object", id="the folder above"),
    pytest.param({"key": "/../etc/passwd"}, "POSIX shared memory object", id="a file elsewhere"),
    pytest.param({"key": "/{name}-link"}, "can't be opened", id="a link"),
    pytest.param({"key": "/{name}-pipe"}, "something else", id="a pipe"),
    pytest.param({"key": "/{name}-none"}, "No such file", id="nothing"),
    pytest.param({"byte_size": SIZE + 1}, "reach beyond the 256 bytes", id="more than there is"),
    pytest.param({"offset": SIZE, "byte_size": 1}, "reach beyond the 256 bytes", id="behind the end"),
    pytest.param({"byte_size": 2**64 - 1, "offset": 2}, "from 1 to 2^48", id="a sum that overflows"),
    pytest.param({"byte_size": 0}, "from 1 to 2^48", id="no bytes"),
    pytest.param({"byte_size": 4097}, "of the 4096 bytes", id="more than is allowed"),
]


@pytest.fixture
def strange(key: str) -> Iterator[None]:
    """Beside the object a link and a pipe."""
    link, pipe = SHM / f"{key[1:]}-link", SHM / f"{key[1:]}-pipe"
    link.symlink_to("/etc/hostname")
    os.mkfifo(pipe)
    yield
    link.unlink()
    pipe.unlink()


@pytest.mark.parametrize(("changes", "said"), BAD_REGISTRATIONS)
@pytest.mark.usefixtures("strange")
def test_not_registered_is(server: Process, call: Any, key: str, changes: dict[str, Any], said: str) -> None:
    sent: dict[str, Any] = {"key": key, "byte_size": 8} | changes
    sent["key"] = sent["key"].format(name=key[1:])
    answer = httpx2.post(server.url(f"{REGIONS}/region/bad/register"), json=sent)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    asked = register("bad", sent["key"], sent.get("offset", 0), sent["byte_size"])
    code, details = refused(call, "SystemSharedMemoryRegister", asked)
    assert code == "INVALID_ARGUMENT"
    assert said in details
    assert httpx2.get(server.url(f"{REGIONS}/status")).json() == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"byte_size": 8}, '"key" must be a string'),
        ({"key": 7, "byte_size": 8}, '"key" must be a string'),
        ({"key": "/k"}, '"byte_size" must be an integer'),
        ({"key": "/k", "byte_size": "8"}, '"byte_size" must be an integer'),
        ({"key": "/k", "byte_size": 8.0}, '"byte_size" must be an integer'),
        ({"key": "/k", "byte_size": True}, '"byte_size" must be an integer'),
        ({"key": "/k", "byte_size": 8, "offset": None}, '"offset" must be an integer'),
        ({"key": "/k", "byte_size": -8}, '"byte_size" must be an integer from 1'),
        ({"key": "/k", "byte_size": 8, "offset": -8}, '"offset" must be an integer from 0'),
        ([], "must be a JSON object"),
    ],
)
def test_a_registration_in_json_is_refused_by_the_field(server: Process, sent: Any, said: str) -> None:
    answer = httpx2.post(server.url(f"{REGIONS}/region/bad/register"), json=sent)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.usefixtures("shared")
def test_a_name_is_registered_once_and_known_by_its_status(server: Process, call: Any, key: str) -> None:
    again = httpx2.post(server.url(f"{REGIONS}/region/r/register"), json={"key": key, "byte_size": 8})
    assert (again.status_code, again.json()["error"][:10]) == (400, 'region "r"')
    assert refused(call, "SystemSharedMemoryRegister", register("r", key))[0] == "ALREADY_EXISTS"
    told = httpx2.get(server.url(f"{REGIONS}/region/r/status")).json()
    assert told == [{"name": "r", "key": key, "offset": 0, "byte_size": SIZE}]
    assert httpx2.get(server.url(f"{REGIONS}/region/none/status")).status_code == 404
    assert refused(call, "SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name="none"))[0] == "NOT_FOUND"


@pytest.mark.usefixtures("shared")
def test_unregistering_names_the_region_in_the_path_alone(server: Process, way: dict[str, str]) -> None:
    assert httpx2.post(server.url(f"{REGIONS}/unregister"), json={"name": "x"}).status_code == 400
    assert httpx2.post(server.url(f"{REGIONS}/region/none/unregister")).status_code == 200
    assert httpx2.post(server.url(INFER), json=body(), headers=way).status_code == 200
    assert httpx2.post(server.url(f"{REGIONS}/region/r/unregister"), json={}).status_code == 200
    assert "register it first" in httpx2.post(server.url(INFER), json=body(), headers=way).json()["error"]


def test_cuda_shared_memory_is_refused_by_name(server: Process, call: Any) -> None:
    for path, method in (("/status", "GET"), ("/region/r/register", "POST"), ("/unregister", "POST")):
        answer = httpx2.request(method, server.url(f"/v2/cudasharedmemory{path}"))
        assert (answer.status_code, answer.json()["error"][:30]) == (501, "CUDA shared memory is not serv")
    for request in (pb.CudaSharedMemoryStatusRequest(), pb.CudaSharedMemoryRegisterRequest()):
        code, details = refused(call, request.DESCRIPTOR.name.removesuffix("Request"), request)
        assert (code, details[:30]) == ("UNIMPLEMENTED", "CUDA shared memory is not serv")


def test_regions_are_registered_on_the_administration_port_and_used_on_the_data_ports(
    serve: Callable[..., Any], double: Any, key: str
) -> None:
    with serve(double, "--shared-memory-bytes", "4096") as process:
        sent = {"key": key, "byte_size": SIZE}
        assert httpx2.post(process.url(f"{REGIONS}/region/r/register"), json=sent).status_code == 404
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client:
            with pytest.raises(triton_grpc.InferenceServerException, match="administration port"):
                client.register_system_shared_memory("r", key, SIZE)
            with triton_http.InferenceServerClient(f"127.0.0.1:{process.admin_port}") as administrator:
                administrator.register_system_shared_memory("r", key, SIZE)
            given = triton_grpc.InferInput("x", [2, 4], "FP32").set_shared_memory("r", 32)
            assert np.array_equal(client.infer("m", [given]).as_numpy("y"), ROWS * 2)
            assert "system_shared_memory" in client.get_server_metadata().extensions
        assert "system_shared_memory" in httpx2.get(process.url("/v2")).json()["extensions"]
        assert httpx2.post(process.url(INFER), json=body()).status_code == 200


def test_where_it_is_off_it_is_refused_by_name_and_not_announced(doubling: Process, way: dict[str, str]) -> None:
    answer = httpx2.post(doubling.url(INFER), json=body(), headers=way)
    assert answer.status_code == 400
    assert "start the server with --shared-memory-bytes" in answer.json()["error"]
    told = httpx2.get(doubling.admin_url(f"{REGIONS}/status"))
    assert (told.status_code, "--shared-memory-bytes" in told.json()["error"]) == (501, True)
    assert "system_shared_memory" not in httpx2.get(doubling.url("/v2")).json()["extensions"]
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{doubling.grpc_port}") as client:
        given = triton_grpc.InferInput("x", [2, 4], "FP32").set_shared_memory("r", 32)
        with pytest.raises(triton_grpc.InferenceServerException, match="--shared-memory-bytes"):
            client.infer("m", [given])
        assert "system_shared_memory" not in client.get_server_metadata().extensions
