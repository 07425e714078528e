"""The paths of both HTTP ports, with what each takes and all that it answers."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from tidegate_runtime import __version__
from tidegate_runtime.naming import (
    ADMIN_PORT,
    DATA_PORT,
    EVIDENCE_PATH,
    LIVE_PATH,
    METRICS_PATH,
    READY_PATH,
    REFUSED_HEADER,
)
from tidegate_runtime.protocol.compression import Encoding
from tidegate_runtime.rpc.handed_call import MEDIA_TYPE, TIMEOUT_HEADER
from tidegate_runtime.rpc.handed_call import PATH as MESSAGE_PATH
from tidegate_runtime.web.body import BINARY, JSON, JSON_LENGTH_HEADER
from tidegate_runtime.web.openapi.schemas import COUNT, SCHEMAS, STRING, Schema, ref

Operation = dict[str, Any]
Paths = dict[str, dict[str, Any]]

BODY: Final = (400, 408, 413)
TENANTS: Final = (401, 403)
"""What is asked of callers with `--tenants-file`."""
INFERENCE: Final = (*BODY, *TENANTS, 404, 415, 429, 500, 503, 504)
"""What a request with a body, and one for an inference, may be refused with."""

_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
_NAMES: Final = ("name", "version", "repository", "region")

_MEANINGS: Final[Mapping[int, str]] = {
    400: "not a request that can be answered; the message names the place, what was found, and the limit",
    401: "the caller shows no token that is good here; with tenants alone",
    403: "its token isn't for that model, whether or not there is one; with tenants alone",
    404: "no such model or version",
    408: "the request did not arrive in time",
    413: "the body is over the server's bound, packed or not",
    415: "the body's type or encoding is none that is served",
    429: "the load of the moment forbids it, or the tenant has sent as much as it may",
    501: "this server doesn't serve it; the message says how it would",
    500: "the engine failed, or a bug; the server's log says more",
    503: "the model is loading or was unloaded, or the server is shutting down",
    504: "no answer within the request's time",
}
_RETRY: Final = {"Retry-After": {"schema": COUNT, "description": "seconds", "required": True}}
_CHALLENGE: Final = {"WWW-Authenticate": {"schema": STRING, "required": True}}
_REFUSED: Final = {REFUSED_HEADER: {"schema": STRING, "description": "why, in one word", "required": True}}


def document() -> dict[str, Any]:
    """The document, OpenAPI 3.1. It is of both ports: an operation's `servers` say by which it is had."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate runtime",
            "version": __version__,
            "summary": "Open Inference Protocol V2 with Triton's extensions, V1, and administration",
            "description": "Any path may also be answered with 431 or 414 for a head that is too large, and with 400 "
            "for one that isn't HTTP/1.1.",
        },
        "servers": [_server("data", DATA_PORT)],
        "paths": dict(sorted((_data() | _administration()).items())),
        "components": {"schemas": SCHEMAS},
    }


def _data() -> Paths:
    data, both = _server("data", DATA_PORT), [_server("data", DATA_PORT), _server("administration", ADMIN_PORT)]
    paths = {
        LIVE_PATH: {"get": _answers("Whether the process runs", "Live")},
        READY_PATH: {"get": _answers("Whether to send requests here", "Ready", 503)},
        "/v2": {"get": _answers("The server's name, version and extensions", "ServerMetadata")},
        "/v1/models": {"get": _answers("The names of all models", "Names")},
        "/v1/models/{name}": {"get": _v1_ready()},
        MESSAGE_PATH: {"post": _message()},
    }
    for prefix in (_MODEL, _VERSION):
        paths[f"{prefix}/ready"] = {"get": _answers("Whether the model is ready", "ModelReady", 404, 503)}
        paths[f"{prefix}/infer"] = {"post": _infer()}
    for prefix in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        paths[f"{prefix}:predict"] = {"post": _predict()}
    for prefix in (_MODEL, _VERSION):
        paths[prefix] = {"get": _answers("The model's inputs and outputs", "ModelMetadata", 404, 503)}
        paths[f"{prefix}/config"] = {"get": _answers("Its configuration, in Triton's form", "ModelConfig", 404, 503)}
        paths[f"{prefix}/stats"] = {"get": _answers("Its statistics", "ModelStatistics", 404, 503)}
    paths["/v2/models"] = {"get": _answers("The names of all models", "Names")}
    paths["/v2/models/stats"] = {"get": _answers("The statistics of all models", "ModelStatistics")}
    for path, item in paths.items():
        if path not in {LIVE_PATH, READY_PATH}:
            for operation in item.values():
                operation["responses"] = dict(map(_refusal, TENANTS)) | operation["responses"]
        facts = path.endswith(("/config", "/stats")) or path in {_MODEL, _VERSION, "/v2/models"}
        _complete(path, item, both if facts else [data])
    return paths


def _administration() -> Paths:
    paths: Paths = {
        METRICS_PATH: {"get": _bare("Metrics, in Prometheus' form", "text/plain")},
        EVIDENCE_PATH: {"get": _bare("What a canary is judged by, in the same form", "text/plain")},
        "/openapi.json": {"get": _bare("This document", JSON)},
        "/healthz": {"get": _bare("Whether the process runs")},
        "/readyz": {"get": _bare("Whether all models are there and the process isn't leaving", None, 503)},
        "/v2/logging": {
            "get": _answers("What is logged", "LogSettings"),
            "post": _answers("Changes what is logged", "LogSettings", *BODY) | _json("LogChange", required=False),
        },
    }
    for prefix, whose, missing in (("/v2", "all models", ()), (_MODEL, "one model", (400,))):
        paths[f"{prefix}/trace/setting"] = {
            "get": _answers(f"The trace settings for {whose}", "TraceSettings", *missing),
            "post": _answers(f"Changes what is recorded of {whose}", "TraceSettings", *BODY)
            | _json("TraceChange", required=False),
        }
    for prefix in ("/v2/repository", "/v2/repository/{repository}"):
        paths[f"{prefix}/index"] = {
            "post": _answers("All versions and their states", "Index", *BODY) | _json("IndexRequest", required=False)
        }
        for verb, what in (("load", "Reads a model's directory anew"), ("unload", "Takes a model out of service")):
            paths[f"{prefix}/models/{{name}}/{verb}"] = {
                "post": _bare(what, None, *BODY, 404) | _json(f"{verb.title()}Request", required=False)
            }
    paths |= _shared_memory()
    for path, item in paths.items():
        _complete(path, item, [_server("administration", ADMIN_PORT)])
    return paths


def _shared_memory() -> Paths:
    """System shared memory, which is served on demand, and CUDA's, which isn't."""
    paths: Paths = {}
    for path in ("/v2/systemsharedmemory", "/v2/systemsharedmemory/region/{region}"):
        missing = (404,) if path.endswith("}") else ()
        paths[f"{path}/status"] = {"get": _answers("Regions that are registered", "Regions", *missing, 501)}
        paths[f"{path}/unregister"] = {"post": _bare("Forgets the region, or all of them", None, *BODY, 501)}
    one = _bare("Registers a region", None, *BODY, 501) | _json("RegionToRegister")
    paths["/v2/systemsharedmemory/region/{region}/register"] = {"post": one}
    for path in ("/v2/cudasharedmemory", "/v2/cudasharedmemory/region/{region}"):
        paths[f"{path}/status"] = {"get": _bare("Not served", None, 501)}
        paths[f"{path}/unregister"] = {"post": _bare("Not served", None, 501)}
    paths["/v2/cudasharedmemory/region/{region}/register"] = {"post": _bare("Not served", None, 501)}
    return paths


def _server(which: str, port: int) -> dict[str, Any]:
    return {
        "url": "http://{host}:{port}",
        "description": f"the {which} port",
        "variables": {"host": {"default": "localhost"}, "port": {"default": str(port)}},
    }


def _complete(path: str, item: dict[str, Any], servers: list[dict[str, Any]]) -> None:
    """Adds what follows from the path, and each operation's name."""
    named = [name for name in _NAMES if f"{{{name}}}" in path]
    for verb, operation in item.items():
        operation["operationId"] = verb + "".join(_words(path))
        operation["servers"] = servers
    if named:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": STRING | {"minLength": 1}} for name in named
        ]


def _words(path: str) -> Iterator[str]:
    for word in path.translate(str.maketrans("/{}:._", "      ")).split():
        yield word.title()


def _answers(summary: str, schema: str, *refusals: int) -> Operation:
    """Answers 200 with that JSON."""
    return {"summary": summary, "responses": {"200": _of({JSON: ref(schema)}), **dict(map(_refusal, refusals))}}


def _bare(summary: str, media: str | None = None, *refusals: int) -> Operation:
    """Answers 200 with no body, or one that has no schema."""
    content: Operation = {} if media is None else {"content": {media: {}}}
    return {
        "summary": summary,
        "responses": {"200": {"description": "OK", **content}, **dict(map(_refusal, refusals))},
    }


def _json(schema: str, *, required: bool = True) -> Operation:
    return {"requestBody": {"required": required, "content": {JSON: {"schema": ref(schema)}}}}


def _of(content: Mapping[str, Schema]) -> Operation:
    return {"description": "OK", "content": {media: {"schema": schema} for media, schema in content.items()}}


def _refusal(status: int) -> tuple[str, Operation]:
    """The answer of that status: always the same JSON; for load and absence with when to come back."""
    described = {
        "description": _MEANINGS.get(status, HTTPStatus(status).phrase),
        "content": {JSON: {"schema": ref("Error")}},
    }
    headers = _RETRY | _REFUSED if status == 429 else _CHALLENGE if status == 401 else {}
    return str(status), described | ({"headers": headers} if headers else {})


def _packed() -> list[dict[str, Any]]:
    encodings = {"enum": [encoding.value for encoding in Encoding]}
    return [
        {"name": "Content-Encoding", "in": "header", "schema": encodings},
        {"name": "Accept-Encoding", "in": "header", "schema": STRING},
    ]


def _infer() -> Operation:
    binary = STRING | {"description": "the JSON, as long as the header says, and the tensors' bytes behind it"}
    length = {
        "name": JSON_LENGTH_HEADER,
        "in": "header",
        "description": "how many of the body's bytes are JSON; left out: all; 0: none, the body is one tensor",
        "schema": COUNT,
    }
    answered = _of({JSON: ref("InferResponse"), BINARY: binary})
    answered["headers"] = {JSON_LENGTH_HEADER: {"schema": COUNT, "description": "of a binary answer"}}
    return {
        "summary": "An inference",
        "parameters": [length, *_packed()],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": ref("InferRequest")}, BINARY: {"schema": binary}},
        },
        "responses": {"200": answered, **dict(map(_refusal, INFERENCE))},
    }


def _predict() -> Operation:
    predicted = _answers("An inference by V1", "PredictResponse", *INFERENCE) | _json("PredictRequest")
    return predicted | {"parameters": _packed()}


def _message() -> Operation:
    """Connect's unary form; what its connection refuses before anybody looks at it is told as elsewhere."""
    message = {MEDIA_TYPE: {"schema": STRING | {"description": "a serialized message"}}}
    timeout = {
        "name": TIMEOUT_HEADER,
        "in": "header",
        "description": "milliseconds that the client gives it",
        "schema": COUNT,
    }
    refused = {JSON: {"oneOf": [ref("ConnectError"), ref("Error")]}}
    refusals = {
        str(status): _of(refused) | {"description": _MEANINGS.get(status, HTTPStatus(status).phrase)}
        for status in INFERENCE
    }
    return {
        "summary": "An inference, as ModelInfer of the gRPC service, by the unary form of the Connect protocol",
        "parameters": [timeout, *_packed()],
        "requestBody": {"required": True, "content": message},
        "responses": {"200": {"description": "OK", "content": message}, **refusals},
    }


def _v1_ready() -> Operation:
    ready = _answers("Whether the model is ready", "V1Ready", 404)
    absent = {"oneOf": [ref("V1Ready"), ref("Error")]}
    ready["responses"]["503"] = _of({JSON: absent}) | {"description": "the server is shutting down, or as elsewhere"}
    return ready
