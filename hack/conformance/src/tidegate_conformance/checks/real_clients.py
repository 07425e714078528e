"""Real clients: what people call the server with, each in a process of its own, where it is installed."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from tidegate_conformance import clients, sources
from tidegate_conformance.check import Level, Wire, check
from tidegate_conformance.checks.binary import EXTENSION
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.client import model_path
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.shared_memory import EXTENSION as SHARED_MEMORY
from tidegate_conformance.shared_memory import OTHER_HOST, on_this_host
from tidegate_conformance.subject import Subject

MODELS = ("add_sub", "rows", "identity_bytes")
NOT_INSTALLED = 3
CLIENT_SECONDS = 120
_SHOWN = 600


def _declare(name: str, script: str, mode: str, title: str, wire: Wire = Wire.REST, extension: str = "") -> None:
    def run(subject: Subject) -> None:
        if any(subject.rest.get(model_path(model)).status != 200 for model in MODELS):
            raise Skip(f"the clients need one server that has {', '.join(MODELS)}")
        endpoint = subject.endpoint
        if extension == SHARED_MEMORY and not on_this_host(endpoint.rest):
            raise Skip(OTHER_HOST)
        subject.forget()
        command = [subject.clients_python, str(Path(clients.__path__[0]) / script)]
        command += [endpoint.rest, endpoint.grpc, mode, endpoint.admin]
        try:
            done = subprocess.run(command, capture_output=True, timeout=CLIENT_SECONDS, check=False, text=True)
        except subprocess.TimeoutExpired:
            raise Mismatch(f"the client isn't done within {CLIENT_SECONDS} s") from None
        if done.returncode == NOT_INSTALLED:
            raise Skip(f"{name.partition('.')[0]} isn't installed: see --clients-python")
        if done.returncode != 0:
            raise Mismatch(f"the client fails: …{done.stderr.strip()[-_SHOWN:]}")

    check(
        f"client.{name}",
        "the client's own source",
        level=Level.EXTENSION,
        wire=wire,
        extension=extension,
        title=title,
    )(run)


_declare("tritonclient.http-json", "triton_http.py", "json", "tritonclient.http with tensors in JSON.")
_declare("tritonclient.http-binary", "triton_http.py", "binary", "tritonclient.http as it is by default: binary.",
         extension=EXTENSION)  # fmt: skip
_declare("tritonclient.http-aio", "triton_http_aio.py", "json", "tritonclient.http.aio with tensors in JSON.")
_declare("tritonclient.http-aio-binary", "triton_http_aio.py", "binary", "tritonclient.http.aio with binary tensors.",
         extension=EXTENSION)  # fmt: skip
_declare("tritonclient.grpc", "triton_grpc.py", "unary", "tritonclient.grpc.", Wire.GRPC)
_declare("tritonclient.grpc-stream", "triton_grpc.py", "stream", "tritonclient.grpc's streams.", Wire.GRPC)
_declare("tritonclient.grpc-aio", "triton_grpc_aio.py", "unary", "tritonclient.grpc.aio.", Wire.GRPC)
_declare("tritonclient.http-shared-memory", "triton_shared_memory.py", "http", "tritonclient.http with shared memory.",
         extension=SHARED_MEMORY)  # fmt: skip
_declare("tritonclient.grpc-shared-memory", "triton_shared_memory.py", "grpc", "tritonclient.grpc with shared memory.",
         Wire.GRPC, SHARED_MEMORY)  # fmt: skip
_declare("kserve.rest", "kserve_sdk.py", "rest", "kserve.InferenceRESTClient.")
_declare("kserve.grpc", "kserve_sdk.py", "grpc", "kserve.InferenceGRPCClient.", Wire.GRPC)


def _curl(subject: Subject, *options: str, seed: int = 0) -> None:
    """Raises `Mismatch` unless curl with these options gets the right answer."""
    curl = shutil.which("curl")
    if curl is None:
        raise Skip("curl isn't installed")
    feeds = subject.model.example(seed, free=32)
    with tempfile.NamedTemporaryFile(suffix=".json") as body:
        body.write(json.dumps(document(subject.model, feeds)).encode())
        body.flush()
        command = [curl, "--silent", "--show-error", "--fail-with-body", "--max-time", "15", *options]
        command += ["--header", "Content-Type: application/json", "--data-binary", f"@{body.name}"]
        done = subprocess.run([*command, subject.rest.base + subject.infer_path], capture_output=True, check=False)
    if done.returncode != 0:
        raise Mismatch(f"curl fails: {done.stderr.decode(errors='replace')}{done.stdout[:_SHOWN]!r}")
    answer = Answer(200, (("content-type", "application/json"),), done.stdout)
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("client.curl.plain", sources.HTTP, model="rows")
def curl_plain(subject: Subject) -> None:
    """Curl with a file as body."""
    _curl(subject)


@check("client.curl.compressed", sources.HTTP, model="rows")
def curl_compressed(subject: Subject) -> None:
    """Curl that offers all compressions it knows."""
    _curl(subject, "--compressed", seed=1)


@check("client.curl.expect", sources.HTTP, model="rows")
def curl_expect(subject: Subject) -> None:
    """Curl that waits for 100 before it sends the body."""
    _curl(subject, "--header", "Expect: 100-continue", "--expect100-timeout", "10", seed=2)


@check("client.curl.chunked", sources.HTTP, model="rows")
def curl_chunked(subject: Subject) -> None:
    """Curl that sends the body in chunks."""
    _curl(subject, "--header", "Transfer-Encoding: chunked", seed=3)


@check("client.curl.http-1-0", sources.HTTP, model="rows")
def curl_1_0(subject: Subject) -> None:
    """Curl that speaks HTTP/1.0."""
    _curl(subject, "--http1.0", seed=4)


@check("client.curl.offers-http-2", sources.HTTP, level=Level.ROBUSTNESS, model="rows")
def curl_2(subject: Subject) -> None:
    """Curl that offers an upgrade to h2c gets its answer: an upgrade that is passed over keeps its body."""
    _curl(subject, "--http2", seed=5)
