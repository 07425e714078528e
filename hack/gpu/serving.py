"""The runtime as a process, asked over HTTP and gRPC, beside raw ONNX Runtime on the same device."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort

from gpu.finding import Finding
from gpu.load import Job
from gpu.subjects import benched
from tidegate_runtime.model.device import AS_IT_COMES, providers
from tidegate_runtime.rpc.protos import inference_pb2

HACK = Path(__file__).parents[1]
MAX_ROWS = 64
CONNECTIONS = 2 * MAX_ROWS
READY_SECONDS = 600.0
LEAST_SHARE = 0.95
"""Of raw ONNX Runtime's rows a second on its best batch."""
MOST_SERVICE_TIMES = 2.0
"""The p99 at 80 % load, in times of the best batch's run."""
DATATYPES = {"f": "FP32", "i": "INT64"}


def check(device: str, folder: Path, tokens: int, seconds: float) -> list[Finding]:
    """Findings for HTTP with binary tensors and for gRPC, one row a request, of a model that is work for a GPU."""
    name = "minilm"
    path, rows_of = benched(name, folder, tokens)
    best, service = _raw(device, path, rows_of, seconds)
    raw = best / service
    found = [
        Finding(f"raw ONNX Runtime: {name}", None, f"best batch {best}", {"rows/s": raw, "seconds a batch": service})
    ]
    feeds = rows_of(1)
    with running(path, device, "--max-batch-size", str(MAX_ROWS), "--queue-size", "4096") as ports:
        for protocol, port in zip(("http", "grpc"), ports, strict=True):
            body = folder / f"{name}.{protocol}"
            body.write_bytes(_http_request(path.stem, feeds) if protocol == "http" else _message(path.stem, feeds))
            found.append(_throughput(name, Job(protocol, port, str(body), CONNECTIONS, seconds), raw, service))
    return found


def _throughput(name: str, job: Job, raw: float, service: float) -> Finding:
    clients = max(1, len(os.sched_getaffinity(0)) // 2)
    most, _, failures = _asked(job, clients, 0.0)
    _, p99, late = _asked(job, clients, 0.8 * most)
    figures = {"rows/s": most, "share of raw": most / raw, "p99 at 80 %": p99, "in service times": p99 / service}
    passed = not failures and not late and most >= LEAST_SHARE * raw and p99 <= MOST_SERVICE_TIMES * service
    return Finding(f"{job.protocol}: {name}", passed, f"{failures + late} failures" if failures + late else "", figures)


def _asked(job: Job, clients: int, rate: float) -> tuple[float, float, int]:
    """Answers a second, the p99 of their latency, and how many weren't good."""
    share = Job(job.protocol, job.port, job.body, max(1, job.connections // clients), job.seconds, rate / clients)
    command = [sys.executable, "-m", "gpu.load", share.argument]
    with ThreadPoolExecutor(clients) as pool:
        told = list(pool.map(lambda _: json.loads(subprocess.check_output(command, cwd=HACK)), range(clients)))
    latencies = [latency for one in told for latency in one["latencies"]]
    answers = sum(len(one["latencies"]) / one["seconds"] for one in told)
    return answers, float(np.percentile(latencies, 99)), sum(one["failures"] for one in told)


def _raw(device: str, path: Path, rows_of: Any, seconds: float) -> tuple[int, float]:
    """The batch size of the most rows a second, and the seconds of a run of it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    told = providers(device, AS_IT_COMES, graphs=False)
    session = ort.InferenceSession(str(path), options, providers=told, enable_fallback=0)
    costs = {}
    rows = 1
    while rows <= MAX_ROWS:
        feeds = rows_of(rows)
        taken: list[float] = []
        end = time.perf_counter() + max(0.2, seconds / 8)
        while time.perf_counter() < end or len(taken) < 5:
            before = time.perf_counter()
            session.run(None, feeds)
            taken.append(time.perf_counter() - before)
        costs[rows] = median(taken[2:])
        rows *= 2
    best = max(costs, key=lambda size: size / costs[size])
    return best, costs[best]


@contextmanager
def running(path: Path, device: str, *options: str) -> Iterator[tuple[int, int]]:
    """A server of its own: the ports of its data over HTTP and gRPC, once it is ready."""
    command = [sys.executable, "-m", "tidegate_runtime", "serve", str(path), "--host", "127.0.0.1"]
    command += ["--port", "0", "--grpc-port", "0", "--admin-port", "0", "--drain-seconds", "0", "--device", device]
    log = path.with_suffix(".log")
    with log.open("wb") as file:
        server = subprocess.Popen([*command, "--isolate", *options], stdout=file, stderr=subprocess.STDOUT)
    try:
        yield _ready(server, log)
    finally:
        server.terminate()
        server.wait()


def _ready(server: "subprocess.Popen[bytes]", log: Path) -> tuple[int, int]:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        said = {line["message"]: line for line in lines}
        if {"ready", "listening", "listening for gRPC"} <= said.keys():
            return said["listening"]["data"], said["listening for gRPC"]["data"]
        time.sleep(0.05)
    raise RuntimeError(f"the server isn't ready; its code {server.poll()}, its log:\n{log.read_text()[-2000:]}")


def post(port: int, model: str, feeds: Mapping[str, Any]) -> int:
    """The status of one request with binary tensors."""
    head, body = _parts(feeds)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/{model}/infer", head + body, method="POST")
    request.add_header("Content-Type", "application/octet-stream")
    request.add_header("Inference-Header-Content-Length", str(len(head)))
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _parts(feeds: Mapping[str, Any]) -> tuple[bytes, bytes]:
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": DATATYPES[array.dtype.kind],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in feeds.items()
    ]
    whole = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    return json.dumps(whole).encode(), b"".join(array.tobytes() for array in feeds.values())


def _http_request(model: str, feeds: Mapping[str, Any]) -> bytes:
    head, body = _parts(feeds)
    lines = (
        f"POST /v2/models/{model}/infer HTTP/1.1",
        "Host: 127.0.0.1",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + head + body


def _message(model: str, feeds: Mapping[str, Any]) -> bytes:
    request = inference_pb2.ModelInferRequest(model_name=model)
    for name, array in feeds.items():
        request.inputs.add(name=name, datatype=DATATYPES[array.dtype.kind], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return bytes(request.SerializeToString())
