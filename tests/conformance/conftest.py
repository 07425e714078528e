"""A small server that answers rightly, by numpy, unless a test gives it a mistake to make."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
import pytest

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import WrongBytes
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.rpc.messages import CLASSES, message
from tidegate_conformance.rpc.schema import SERVICE
from tidegate_conformance.target import Endpoint

from .sharing import PATH as SHARING
from .sharing import Sharing, Wrong


class Refused(Exception):
    """What the client must mend."""


@dataclass(frozen=True)
class Reply:
    """An answer before it is written. `path` and `request` are what it answers."""

    path: str
    request: Any
    status: int = 200
    document: Any = None
    blobs: list[bytes] = field(default_factory=list)
    content_type: str = "application/json"
    text: bytes | None = None
    """The JSON's bytes where a mistake makes them otherwise."""
    drop: bool = False

    def changed(self, **members: Any) -> "Reply":
        return replace(self, document=self.document | members)


Mistake = Callable[[Reply], Reply]


def infer(model: KnownModel, request: Any, blobs: bytes = b"") -> tuple[dict[str, Any], list[bytes]]:
    """The answer's JSON and its blobs. Raises `Refused`."""
    if not isinstance(request, dict) or not request.get("inputs"):
        raise Refused("no inputs")
    feeds: Feeds = {}
    for entry in request["inputs"]:
        spec = next((spec for spec in model.inputs if spec.name == entry.get("name")), None)
        if spec is None or spec.name in feeds or entry.get("datatype") != spec.datatype:
            raise Refused("an input is unknown, given twice or of a wrong datatype")
        shape = tuple(entry["shape"])
        if len(shape) != len(spec.shape) or any(w not in (-1, g) for w, g in zip(spec.shape, shape, strict=True)):
            raise Refused("an input has a wrong shape")
        size = entry.get("parameters", {}).get("binary_data_size")
        try:
            if size is None:
                feeds[spec.name] = datatypes.from_json(entry["data"], spec.datatype, shape)
            else:
                feeds[spec.name] = datatypes.from_bytes(blobs[:size], spec.datatype, shape)
                blobs = blobs[size:]
        except WrongBytes as error:
            raise Refused(str(error)) from None
    return answered(model, request, feeds)


def answered(model: KnownModel, request: Any, feeds: Feeds) -> tuple[dict[str, Any], list[bytes]]:
    results = model.answer(feeds)
    wanted = request.get("outputs") or [{"name": name} for name in results]
    if any(entry["name"] not in results for entry in wanted):
        raise Refused("an output is unknown")
    all_binary = request.get("parameters", {}).get("binary_data_output", False)
    outputs, out_blobs = [], []
    for entry in wanted:
        spec = next(spec for spec in model.outputs if spec.name == entry["name"])
        array = np.asarray(results[spec.name])
        output: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype.value, "shape": list(array.shape)}
        if entry.get("parameters", {}).get("binary_data", all_binary):
            out_blobs.append(datatypes.to_bytes(array, spec.datatype))
            output["parameters"] = {"binary_data_size": len(out_blobs[-1])}
        else:
            output["data"] = datatypes.to_json(array, spec.datatype)
        outputs.append(output)
    document = {"model_name": model.name, "model_version": model.latest, "outputs": outputs}
    return document | ({"id": request["id"]} if "id" in request else {}), out_blobs


def metadata(model: KnownModel) -> dict[str, Any]:
    def tensors(specs: Any) -> list[dict[str, Any]]:
        return [{"name": spec.name, "datatype": spec.datatype.value, "shape": list(spec.shape)} for spec in specs]

    return {
        "name": model.name,
        "versions": [model.latest],
        "platform": "numpy",
        "inputs": tensors(model.inputs),
        "outputs": tensors(model.outputs),
    }


def reply(path: str, body: bytes, header_length: str | None, sharing: Sharing | None = None) -> Reply:
    """The right answer to a request."""
    shared = ["system_shared_memory"] if sharing is not None else []
    fixed: dict[str, Any] = {
        "/v2": {"name": "right", "version": "1", "extensions": ["binary_tensor_data", *shared]},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
    }
    if path in fixed:
        return Reply(path, None, document=fixed[path])
    if sharing is not None and path.startswith(SHARING):
        try:
            return Reply(path, None, document=sharing.administer(path, body))
        except Wrong as error:
            return Reply(path, None, 400, {"error": str(error)})
    words = path.split("/")
    model = KNOWN.get(words[3]) if words[:3] == ["", "v2", "models"] and len(words) < 6 else None
    if model is None:
        return Reply(path, None, 404, {"error": "no such model"})
    if len(words) == 4:
        return Reply(path, None, document=metadata(model))
    if words[4] == "ready":
        return Reply(path, None, document={"name": model.name, "ready": True})
    size = len(body) if header_length is None else int(header_length)
    try:
        request = json.loads(body[:size])
        if sharing is not None and sharing.shares(request):
            document, blobs = sharing.infer(request, partial(infer, model))
        else:
            document, blobs = infer(model, request, body[size:])
    except (Refused, Wrong, ValueError) as error:
        return Reply(path, None, 400, {"error": str(error) or "not JSON"})
    return Reply(path, request, document=document, blobs=blobs)


@contextmanager
def serving(mistake: Mistake = lambda found: found, sharing: Sharing | None = None) -> Iterator[Endpoint]:
    """The server's address, while it makes `mistake` in each answer. With `sharing`, it has shared memory, too."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def _answer(self, body: bytes) -> None:
            found = mistake(reply(self.path, body, self.headers.get("Inference-Header-Content-Length"), sharing))
            if found.drop:
                self.close_connection = True
                return
            text = json.dumps(found.document, ensure_ascii=False).encode() if found.text is None else found.text
            self.send_response(found.status)
            if found.blobs:
                self.send_header("Inference-Header-Content-Length", str(len(text)))
            kind = "application/octet-stream" if found.blobs else found.content_type
            self.send_header("Content-Type", kind)
            whole = text + b"".join(found.blobs)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # all clients of the concurrency checks connect at once

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            yield Endpoint(url, admin=url if sharing is not None else "")
        finally:
            server.shutdown()
            thread.join()


RpcMistake = Callable[[str, Any], Any]


@contextmanager
def serving_grpc(
    mistake: RpcMistake = lambda method, answer: answer, refusal: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
) -> Iterator[Endpoint]:
    """A server with gRPC as well; `mistake` changes its answers, `refusal` is the code of what isn't honoured."""

    def answer(method: str, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return mistake(method, _rpc_answer(method, request, context))
        except Refused as error:
            context.abort(refusal, str(error))

    def handler(name: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: answer(name, request, context),
            request_deserializer=CLASSES[f"inference.{name}Request"].FromString,
            response_serializer=lambda found: found.SerializeToString(),
        )

    methods = {name: handler(name) for name in ("ServerLive", "ModelMetadata", "ModelInfer", "ModelReady")}
    with serving() as rest, ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield Endpoint(rest.rest, f"127.0.0.1:{port}")
        finally:
            server.stop(None).wait()


def _rpc_answer(method: str, request: Any, context: grpc.ServicerContext) -> Any:
    if method == "ServerLive":
        return message("inference.ServerLiveResponse", live=True)
    name = request.model_name if method == "ModelInfer" else request.name
    if name not in KNOWN:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    model = KNOWN[name]
    if method == "ModelReady":
        return message("inference.ModelReadyResponse", ready=True)
    if method == "ModelMetadata":
        found = metadata(model)
        for side in ("inputs", "outputs"):
            found[side] = [message("inference.TensorMetadata", **tensor) for tensor in found[side]]
        return message("inference.ModelMetadataResponse", **found)
    return _rpc_infer(model, request)


def _rpc_infer(model: KnownModel, request: Any) -> Any:
    document = {
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(blob)},
            }
            for tensor, blob in zip(request.inputs, request.raw_input_contents, strict=True)
        ],
        "outputs": [{"name": output.name} for output in request.outputs],
        "parameters": {"binary_data_output": True},
    }
    found, blobs = infer(model, document, b"".join(request.raw_input_contents))
    outputs = [
        message("inference.InferTensor", name=output["name"], datatype=output["datatype"], shape=output["shape"])
        for output in found["outputs"]
    ]
    return message(
        "inference.ModelInferResponse",
        model_name=model.name,
        model_version=model.latest,
        id=request.id,
        outputs=outputs,
        raw_output_contents=blobs,
    )


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Starts the server: `with serve(mistake) as endpoint`."""
    return serving


@pytest.fixture
def serve_grpc() -> Callable[..., Any]:
    """Starts the server with gRPC: `with serve_grpc(mistake) as endpoint`."""
    return serving_grpc
