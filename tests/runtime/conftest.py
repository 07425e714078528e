"""Builders of small ONNX models, and a runtime serving one of them."""

import asyncio
import importlib.resources
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from localcluster.ports import free_ports

from .stored_models import Repository, times

Build = Callable[..., onnx.ModelProto]
READY_SECONDS = 60.0


def build_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, Any] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    def declared(tensors: dict[str, tuple[int, list[Any]]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", declared(inputs), declared(outputs), initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def build_double() -> onnx.ModelProto:
    """y = x + x on rows of four numbers."""
    return build_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", 4])},
        {"y": (TensorProto.FLOAT, ["N", 4])},
    )


@dataclass(frozen=True)
class Process:
    """A `tidegate-runtime serve` process that is listening."""

    popen: "subprocess.Popen[bytes]"
    port: int
    grpc_port: int
    admin_port: int
    log: Path
    termination_log: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def admin_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.admin_port}{path}"


@contextmanager
def serving(
    folder: Path, model: onnx.ModelProto | Path, *options: str, wait: bool = True, within: Sequence[str] = ()
) -> Iterator[Process]:
    """The process, ready unless `wait` is false; killed at the end if it still runs.

    `within` is a command that goes on with that of its arguments.
    """
    path = model if isinstance(model, Path) else folder / "model.onnx"
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, path)
    port, grpc_port, admin_port = free_ports(3)
    log, termination_log = folder / "log", folder / "termination"
    termination_log.touch()
    command = [*within, sys.executable, "-m", "tidegate_runtime", "serve", str(path), "--host", "127.0.0.1"]
    command += ["--name", "m"] if path.is_file() or list(path.glob("*.onnx")) or not path.exists() else []
    command += ["--port", str(port), "--grpc-port", str(grpc_port), "--admin-port", str(admin_port), *options]
    environment = os.environ | {"TIDEGATE_TERMINATION_LOG": str(termination_log)}
    with log.open("wb") as output, subprocess.Popen(command, stderr=output, env=environment) as popen:
        process = Process(popen, port, grpc_port, admin_port, log, termination_log)
        try:
            if wait:
                wait_until_ready(process)
            yield process
        finally:
            popen.kill()


def wait_until_ready(process: Process) -> None:
    """Polls readiness; fails with the log once the process has ended or `READY_SECONDS` are over."""
    transport = httpx2.HTTPTransport(retries=0)
    with httpx2.Client(transport=transport, timeout=5) as client:
        for _ in range(int(READY_SECONDS / 0.05)):
            try:
                if client.get(process.admin_url("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            try:
                process.popen.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
    pytest.fail(f"not ready; log:\n{process.log.read_text()}")


@pytest.fixture(scope="session", autouse=True)
def _main_loop() -> Iterator[None]:
    """A loop for pytest-asyncio to put back after each test; else it makes one itself and never closes it."""
    with closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        yield
        asyncio.set_event_loop(None)


@pytest.fixture
def model() -> Build:
    """Builds an ONNX model from nodes, inputs, outputs and constants."""
    return build_model


@pytest.fixture
def double() -> onnx.ModelProto:
    """A model that doubles rows of four numbers."""
    return build_double()


def build_loop(*, bounded: bool) -> onnx.ModelProto:
    """Counts to n if it is bounded, else for ever, though its graph alone doesn't show that."""
    body = helper.make_graph(
        [
            helper.make_node("Less", ["count", "most"], ["go_on"]),
            helper.make_node("Add", ["count", "step"], ["counted"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("counted", TensorProto.FLOAT, []),
        ],
    )
    trips = "n" if bounded else ""
    return build_model(
        [helper.make_node("Loop", [trips, "true", "start"], ["y"], body=body)],
        {"n": (TensorProto.INT64, [])},
        {"y": (TensorProto.FLOAT, [])},
        {"true": np.array(True), "start": np.array(0, np.float32), "step": np.array(1, np.float32)}
        | {"most": np.array(np.inf, np.float32)},
    )


@pytest.fixture
def slow() -> onnx.ModelProto:
    """Counts to its input, about a million a second."""
    return build_loop(bounded=True)


@pytest.fixture
def endless() -> onnx.ModelProto:
    """Never ends a run by itself."""
    return build_loop(bounded=False)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., AbstractContextManager[Process]]:
    """Starts a runtime on a model: `with serve(model, "--option", "value") as process`."""

    def start(
        model: onnx.ModelProto | Path, *options: str, wait: bool = True, within: Sequence[str] = ()
    ) -> AbstractContextManager[Process]:
        return serving(tmp_path, model, *options, wait=wait, within=within)

    return start


@pytest.fixture(scope="module", params=["hot", "cold"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    """Headers for each way through the server: with `TE` a request goes through ASGI, else, where it can, below it."""
    return {"te": "trailers"} if request.param == "cold" else {}


DOUBLING = ("--model-version", "7", "--max-batch-size", "8", "--max-body-bytes", "65536")


@pytest.fixture(scope="session")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A runtime that serves the doubling model as "m", version "7", at most 8 rows, bodies of at most 64 KiB."""
    with serving(tmp_path_factory.mktemp("doubling"), build_double(), *DOUBLING) as process:
        yield process


@pytest.fixture(scope="session")
def doubling_grpcio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The same, but for what carries its gRPC."""
    folder = tmp_path_factory.mktemp("doubling")
    with serving(folder, build_double(), *DOUBLING, "--grpc-transport", "grpcio") as process:
        yield process


@pytest.fixture(scope="session")
def magika_path() -> Path:
    """The file-type classifier of the `magika` wheel."""
    models = importlib.resources.files("magika") / "models"
    return next(path for folder in models.iterdir() for path in [Path(str(folder)) / "model.onnx"] if path.exists())


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With "double" in version 1 and "triple" in version 3."""
    stored = Repository(tmp_path / "models")
    stored.put("double", 1, times(2))
    stored.put("triple", 3, times(3))
    return stored


@pytest.fixture
def hosted(serve: Callable[..., Any], repository: Repository) -> Callable[..., Any]:
    """Starts a runtime on the repository."""

    @contextmanager
    def start(*options: str, wait: bool = True) -> Iterator[Process]:
        with serve(repository.root, "--no-vetting", *options, wait=wait) as process:
            yield process

    return start
