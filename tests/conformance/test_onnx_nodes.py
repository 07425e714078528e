"""onnx's operator tests: which are chosen, how their rows are freed, and what counts as right where requests share a
batch."""

import shlex
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from localcluster.ports import free_ports
from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import Array, Datatype
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.models.known import Feeds
from tidegate_conformance.nodes.cases import Case, fitting, sample
from tidegate_conformance.nodes.direct import Direct, Unfit
from tidegate_conformance.nodes.hosts import LoadingServer, in_common
from tidegate_conformance.nodes.rows import REQUESTS, Together, arrangements, freed, supply, ways
from tidegate_conformance.nodes.together import Answers, in_batches
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.infer import Output
from tidegate_conformance.serving import Command, Server
from tidegate_conformance.subject import Subject
from tidegate_conformance.target import Endpoint

FLOAT, INT64, BFLOAT16 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BFLOAT16

X = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def model(nodes: list[onnx.NodeProto], inputs: dict[str, Array], kind: int = FLOAT, shape: Any = (3, 2)) -> Any:
    """A model of these nodes, the last of which gives its output `y`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, array.shape) for name, array in inputs.items()],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def a_test(name: str, proto: onnx.ModelProto, *inputs: Array) -> Any:
    return SimpleNamespace(name=name, model=proto, data_sets=[(list(inputs), [])])


def case(folder: Path, nodes: list[onnx.NodeProto], **inputs: Array) -> Case:
    (found,), unfit = fitting([a_test("test_it", model(nodes, inputs), *inputs.values())], folder)
    assert unfit == {}
    return found


def doubled(folder: Path) -> Together:
    found = case(folder, [helper.make_node("Add", ["x", "x"], ["y"])], x=X)
    return freed(found, ["x"], 1, folder)


def answers(*given: Feeds) -> list[dict[str, Output]]:
    return [{name: Output(Datatype.FP32, array, True) for name, array in feeds.items()} for feeds in given]


def test_a_sample_is_of_the_tests_that_differ_most() -> None:
    add = a_test("add", model([helper.make_node("Add", ["x", "z"], ["y"])], {"x": X, "z": X}))
    again = a_test("add_again", add.model)
    neg = a_test("neg", model([helper.make_node("Neg", ["x"], ["y"])], {"x": X}))
    integers = a_test("neg_int64", model([helper.make_node("Neg", ["x"], ["y"])], {"x": X}, INT64))
    tests = {test.name: test for test in (add, again, neg, integers)}
    assert sample(tests, 0) == ["add", "add_again", "neg", "neg_int64"]
    assert sample(tests, 2) == ["add", "neg_int64"]
    assert sample(tests, 9) == list(tests)


@pytest.mark.parametrize(
    ("reason", "common"),
    [
        ('failed to load "test-a": input "x" is 1', 'input "…" is 1'),
        ('Gather "y": picks rows by data', "picks rows by data"),
        ("control flow is not followed", "control flow is not followed"),
        ('output "y" is declared with shape [1, -2] but has []', 'output "…" is declared with shape […] but has […]'),
    ],
)
def test_reasons_are_told_without_what_is_one_model_s(reason: str, common: str) -> None:
    assert in_common(reason) == common


def test_bfloat16_goes_through_onnx_runtime_bit_by_bit() -> None:
    x = np.array([[1.5, -0.0], [np.inf, 2**-130], [3, 4]]).astype(Datatype.BF16.numpy)
    proto = model([helper.make_node("Identity", ["x"], ["y"])], {"x": x}, BFLOAT16)
    assert datatypes.same(Direct(proto.SerializeToString()).run({"x": x})["y"], x)


def test_rows_are_made_of_the_test_s_own() -> None:
    whole = np.array([[1, 2], [3, 4]])
    assert supply(whole, Datatype.INT64, 0, 5).tolist() == [[1, 2], [3, 4], [2, 1], [4, 3], [1, 2]]
    assert supply(whole, Datatype.INT64, 3, 1).tolist() == [[4, 3]]
    assert supply(np.array([[8.0]]), Datatype.FP64, 0, 3).tolist() == [[8.0], [7.0], [6.0]]


def test_rows_may_be_in_all_inputs_in_the_first_or_in_the_others() -> None:
    x, scalar = np.zeros((3, 2)), np.array(1.0)
    assert ways({"x": x}) == [("x",)]
    assert ways({"x": x, "y": x, "min": scalar}) == [("x", "y"), ("x",), ("y",)]
    assert ways({"min": scalar}) == []


def test_inputs_without_rows_become_constants(tmp_path: Path) -> None:
    z = np.array([10, 20], np.float32)
    found = case(tmp_path, [helper.make_node("Add", ["x", "z"], ["y"])], x=X, z=z)
    with pytest.raises(Unfit, match="ONNX Runtime doesn't run it"):
        freed(found, ["x", "z"], 1, tmp_path)
    together = freed(found, ["x"], 2, tmp_path)
    assert [spec.shape for spec in (*together.model.inputs, *together.model.outputs)] == [(-1, 2), (-1, 2)]
    assert [len(request["x"]) for request in together.requests] == list(REQUESTS)
    assert together.whole[1]["y"].tolist() == [[13, 24], [15, 26]]
    assert (together.by_company, together.by_order()) == (False, False)


def test_what_gives_no_row_for_each_row_is_left_out(tmp_path: Path) -> None:
    found = case(tmp_path, [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], x=X[:1].repeat(3, 0))
    with pytest.raises(Unfit, match="don't have a row for each row"):
        freed(found, ["x"], 1, tmp_path)


@pytest.mark.parametrize(
    ("rows", "batches", "expected"),
    [
        ([1, 2], [3], [((0, 1),), ((1, 0),)]),
        ([1, 2], [1, 2], [((0,), (1,))]),
        ([1, 1], [1, 1], [((0,), (1,)), ((1,), (0,))]),
        ([1, 2], [4], []),
        ([1, 2], [1], []),
    ],
)
def test_arrangements_are_all_orders_of_all_batches(rows: list[int], batches: list[int], expected: Any) -> None:
    assert list(arrangements(rows, batches)) == expected


def test_each_request_s_own_rows_are_right_in_whatever_batches(tmp_path: Path) -> None:
    found = doubled(tmp_path)
    for batches in ([7], [3, 4], [1, 1, 2, 3]):
        found.check(answers(*found.whole), batches)


def test_swapped_answers_changed_bits_and_batches_of_other_rows_are_found(tmp_path: Path) -> None:
    found = doubled(tmp_path)
    first, second, third, fourth = found.whole
    changed = {"y": np.nextafter(first["y"], np.float32(0))}
    for wrong in ((third, second, first, fourth), (changed, second, third, fourth)):
        with pytest.raises(Mismatch, match="in no order of requests in batches of 7 rows: data of output"):
            found.check(answers(*wrong), [7])
    with pytest.raises(Mismatch, match=r"in batches of 3 \+ 3 rows"):
        found.check(answers(*found.whole), [3, 3])


def test_rows_that_depend_on_each_other_must_not_share_batches(tmp_path: Path) -> None:
    """Though the answers are those of the batch."""
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1)
    proto = [mean, helper.make_node("Sub", ["x", "m"], ["y"])]
    old = model(proto, {"x": X})
    old.opset_import[0].version = 13
    (found,), _ = fitting([a_test("test_it", old, X)], tmp_path)
    together = freed(found, ["x"], 1, tmp_path)
    assert together.by_company
    with pytest.raises(Mismatch, match="though rows depend on each other"):
        together.check(answers(*together.whole), [7])


class Counting:
    """A server's statistics of batches: each time it is asked, it has run the next of `runs` more."""

    def __init__(self, *runs: Sequence[int]) -> None:
        self._runs = list(runs)
        self._counted: Counter[int] = Counter({7: 3})
        self._asked = 0

    def get(self, path: str) -> Answer:
        assert path == "/v2/models/m/stats"
        if self._asked % 2:
            self._counted.update(self._runs.pop(0) if len(self._runs) > 1 else self._runs[0])
        self._asked += 1
        batches = [
            f'{{"batch_size":{rows},"compute_infer":{{"count":{count}}}}}' for rows, count in self._counted.items()
        ]
        body = f'{{"model_stats":[{{"batch_stats":[{",".join(batches)}]}}]}}'.encode()
        return Answer(200, (("content-type", "application/json"),), body)


def subject(*runs: Sequence[int]) -> Subject:
    return cast(Subject, SimpleNamespace(rest=Counting(*runs), model=SimpleNamespace(name="m")))


def nothing() -> Answers:
    return [{}, {}, {}, {}]


def test_requests_are_sent_again_until_they_share_one_batch() -> None:
    assert in_batches(subject([1, 2, 1, 3], [3, 4], [7]), 7, nothing) == (nothing(), [7])


def test_what_shares_several_batches_will_do_in_the_end_but_none_won_t() -> None:
    assert in_batches(subject([3, 4], [1, 2, 1, 3]), 7, nothing) == (nothing(), [3, 4])
    with pytest.raises(Skip, match="each of its requests by itself"):
        in_batches(subject([1, 2, 1, 3]), 7, nothing)
    with pytest.raises(Skip, match="each of its requests by itself"):
        in_batches(subject([7, 7]), 7, nothing)


class Loading(LoadingServer):
    """A server that is asked for nothing: it refuses files that hold "bad", and notes what the others are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Command("serve {repository}"), folder)
        self.folder = folder
        self.told: list[str] = []

    def _start(self, places: dict[str, str]) -> Endpoint:
        self._running = cast(Server, SimpleNamespace(endpoint=Endpoint("http://data", admin="http://admin")))
        return self._running.endpoint

    def _ask(self, endpoint: Endpoint, model: str, what: str) -> None:
        assert endpoint.admin == "http://admin"
        file = self.folder / "repository" / model / "1" / "model.onnx"
        content = file.read_text() if file.exists() else "no file"
        self.told.append(f"{what} {model}: {content}")
        if content == "bad":
            raise Skip("it is bad")


def test_one_server_has_one_model_after_another_from_the_first_file_that_it_takes(tmp_path: Path) -> None:
    for name in ("bad", "good", "other"):
        (tmp_path / name).write_text(name)
    host = Loading(tmp_path)
    host.paths |= {"a": (tmp_path / "bad", tmp_path / "good"), "b": (tmp_path / "bad",), "c": (tmp_path / "other",)}
    assert host.endpoint("a").rest == "http://data"
    with pytest.raises(Skip, match="it is bad"):
        host.endpoint("b")
    host.endpoint("c")
    assert host.told == ["load a: bad", "load a: good", "unload a: no file", "load b: bad", "load c: other"]
    assert sorted(path.name for path in (tmp_path / "repository").iterdir()) == ["c", "rows"]


ECHO = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        peer, _ = server.accept()
        with peer:
            peer.send(peer.recv(9))
"""


@pytest.mark.integration
def test_a_paused_server_answers_when_it_goes_on(tmp_path: Path) -> None:
    command = Command(f"{shlex.quote(sys.executable)} -c {shlex.quote(ECHO)} {{port}}")
    (port,) = free_ports(1)
    with Server(command, {}, tmp_path / "log", lambda count: [port] * count) as server:
        with _connected(port) as peer:
            peer.send(b"before")
            assert peer.recv(9) == b"before"
        with _connected(port) as peer:
            with server.paused():
                peer.send(b"after")
                peer.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    peer.recv(9)
            peer.settimeout(10)
            assert peer.recv(9) == b"after"


def _connected(port: int) -> socket.socket:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("it doesn't start")
