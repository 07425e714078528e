"""A server whose cgroup has a limit on memory, as a pod's container: what doesn't fit fails, and the server lives."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tidegate_runtime import answer_room
from tidegate_runtime.answer_room import as_text, plain_answers, text_bytes
from tidegate_runtime.errors import OutOfDeviceMemory
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.tensors import Datatype, InferRequest, RequestedOutput, Tensor, TensorSpec

from .stored_models import until

pytestmark = pytest.mark.integration

MIB = 1 << 20
LIMIT = 600 * MIB
HIERARCHIES = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),  # version 1
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@pytest.fixture
def limited() -> Iterator[Sequence[str]]:
    """A command that goes on with its arguments in a cgroup of `LIMIT` bytes, which it sees as a container does."""
    place, name = next((pair for pair in HIERARCHIES if (pair[0] / "cgroup.procs").exists()), HIERARCHIES[0])
    group = place / f"tidegate-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not (group / name).exists() or shutil.which("unshare") is None:
            pytest.skip("no limit on memory can be set here")
        (group / name).write_text(str(LIMIT))
        seen = f'echo $$ > {group}/cgroup.procs && mount --bind {group} {place} && exec "$@"'
        yield ("unshare", "--mount", "sh", "-c", seen, "sh")
    finally:
        until(partial(emptied, group))


def emptied(group: Path) -> bool:
    """Whether the cgroup could be removed: the processes in it have ended."""
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arrays", "size"),
    [
        pytest.param([np.zeros(1000, np.float32)], 16_384, id="16,000 characters"),
        pytest.param([np.zeros(1000, np.float64), np.zeros(100, np.bool_)], 32_768, id="32,600 characters"),
        pytest.param([np.zeros(1024, np.float32)], 32_768, id="a buffer that is just full"),
        pytest.param([], 0, id="none"),
    ],
)
def test_the_text_of_numbers_takes_at_most(arrays: list[Any], size: int) -> None:
    assert text_bytes(arrays) == size


def test_in_binary_or_as_classes_no_output_is_text() -> None:
    y, z = (Tensor(name, Datatype.FP32, np.zeros(1000, np.float32)) for name in "yz")
    wanted = RequestedOutput("y", classes=2), RequestedOutput("z")
    assert as_text(InferRequest(()), [y, z]) == [y, z]
    assert as_text(InferRequest((), binary=True), [y, z]) == []
    assert as_text(InferRequest((), wanted), [y, z]) == [z]
    assert as_text(InferRequest((), wanted, binary=True), [y, z]) == []
    assert as_text(InferRequest((), (RequestedOutput("y", binary=False),), binary=True), [y]) == [y]


def test_plain_answers_are_looked_at_if_they_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = TensorSpec("x", Datatype.FP32, ("N", 1)), TensorSpec("y", Datatype.FP32, ("N", "M"))
    text, binary = PlainJson.of("m", "1", [x], [y]), PlainBinary.of("m", "1", [x], [y])
    assert text is not None
    assert binary is not None
    outputs = [np.zeros((2, MIB // 4), np.float32)]
    for left in (None, 16 * MIB):
        monkeypatch.setattr(answer_room, "limit_leaves", lambda left=left: left)
        assert len(plain_answers(text, outputs, 2).pieces) == 2
    monkeypatch.setattr(answer_room, "limit_leaves", lambda: 16 * MIB - 1)
    with pytest.raises(OutOfDeviceMemory, match=r"the answer may take 16777216 bytes .* and 16777215 are left"):
        plain_answers(text, outputs, 2)
    assert len(plain_answers(binary, outputs, 2).pieces) == 2


def expanding(output: str, shape: list[Any]) -> onnx.ModelProto:
    """z is the number x, `size` times, and y the largest of them."""
    nodes = [
        helper.make_node("Expand", ["x", "size"], ["z"]),
        helper.make_node("ReduceMax", ["z"], ["y"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    inputs.append(helper.make_tensor_value_info("size", TensorProto.INT64, [1]))
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes if output == "y" else nodes[:1], "graph", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def asking(size: int, *, binary: bool) -> dict[str, Any]:
    x = {"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}
    many = {"name": "size", "shape": [1], "datatype": "INT64", "data": [size]}
    return {"inputs": [x, many], "parameters": {"binary_data_output": binary}}


@pytest.mark.parametrize("options", [(), ("--isolate",)], ids=["in the server", "in a process of its own"])
def test_row_11_a_request_that_needs_more_memory_than_the_pod_has_gets_503_and_the_server_lives(
    options: tuple[str, ...], serve: Callable[..., Any], limited: Sequence[str]
) -> None:
    with serve(expanding("y", []), *options, within=limited) as process, httpx2.Client(timeout=60) as client:
        for mib, code in [(1, 200), (2000, 503), (700, 503), (100, 200), (150, 200), (700, 503), (250, 200)] * 2:
            answer = client.post(process.url("/v2/models/m/infer"), json=asking(mib * MIB // 4, binary=False))
            assert answer.status_code == code, (mib, answer.text)
            if code == 503:
                assert answer.headers["retry-after"] == "1"
                assert f"a buffer of {mib * MIB} bytes can't be had" in answer.text
        assert process.popen.poll() is None
        assert "tidegate_engine_restarts_total 0.0" in client.get(process.admin_url("/metrics")).text or not options


@pytest.mark.parametrize(
    ("binary", "asked"),
    [
        # In ONNX Runtime's memory and in numpy's.
        pytest.param(True, [(1, 200), (20, 200), (1000, 503), (300, 503), (100, 200), (1, 200)], id="binary"),
        # And as text.
        pytest.param(False, [(1, 200), (20, 200), (1000, 503), (100, 503), (30, 200), (1, 200)], id="JSON"),
    ],
)
def test_row_11_an_answer_that_needs_more_memory_than_the_pod_has_gets_503_and_the_server_lives(
    binary: bool, asked: list[tuple[int, int]], serve: Callable[..., Any], limited: Sequence[str]
) -> None:
    with serve(expanding("z", ["M"]), within=limited) as process, httpx2.Client(timeout=60) as client:
        for mib, code in asked:
            answer = client.post(process.url("/v2/models/m/infer"), json=asking(mib * MIB // 4, binary=binary))
            assert answer.status_code == code, (mib, answer.text[:200])
        assert process.popen.poll() is None


@pytest.mark.parametrize(("binary", "code"), [(False, 503), (True, 200)], ids=["JSON", "binary"])
def test_row_11_an_answer_of_the_hot_way_that_memory_does_not_hold_as_text_gets_503_and_the_server_lives(
    binary: bool, code: int, serve: Callable[..., Any], limited: Sequence[str]
) -> None:
    size = helper.make_tensor("size", TensorProto.INT64, [2], [1, 110 * MIB // 4])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "M"])
    graph = helper.make_graph([helper.make_node("Expand", ["x", "size"], ["y"])], "graph", [x], [y], [size])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    body: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [2.5]}]}
    if binary:
        body["parameters"] = {"binary_data_output": True}
    with serve(model, "--max-batch-size", "1", within=limited) as process, httpx2.Client(timeout=60) as client:
        for _ in range(3):
            answer = client.post(process.url("/v2/models/m/infer"), json=body)
            assert answer.status_code == code, answer.text[:200]
            assert code == 200 or "bytes while it is written as JSON" in answer.text
        assert process.popen.poll() is None
