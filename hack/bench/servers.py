"""Who is compared: how each server is started, spoken to, and set. One entry a server; nothing here runs anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.bodies import V2_BINARY, V2_GRPC, V2_JSON, Form

OURS = "tidegate"
LIMITS = ("limit-socket", "limit-http", "limit-grpc")
PROTOCOLS = ("json", "binary", "grpc")


@dataclass(frozen=True)
class Server:
    """A server that can be measured.

    Attributes:
        name: in results and reports.
        peer: its folder in `hack/bench/peers`; empty for this checkout's own environment.
        command: words with `{python}`, `{bin}`, `{here}` (the peer's folder), `{model}`, `{name}` and ports to fill in.
        forms: how it is spoken to, by protocol; `{model: form}` in `special` goes before.
        settings: what was chosen, for the report.
        build: the Python of its environment; empty for the one that servers have in common.
        batch: the largest batch it may make.
        wait_ms: how long it may wait for one, if it takes such a setting.
        models: the only ones it can serve; empty for all.
        environment: what it is told besides.
    """

    name: str
    peer: str
    command: tuple[str, ...]
    forms: Mapping[str, Form]
    settings: str
    build: str = ""
    batch: int = 32
    wait_ms: int = 2
    special: Mapping[str, Form] = field(default_factory=dict)
    models: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)

    def form(self, model: str, protocol: str) -> Form | None:
        """How it is asked for a model over a protocol; None if it can't be."""
        if self.models and model not in self.models:
            return None
        if protocol == "json" and model in self.special:
            return self.special[model]
        return self.forms.get(protocol)


_SERVE = ("{python}", "{here}/serve.py")
_OWN_JSON = Form("http", "v2-json", "json", "/json")
_OWN_RAW = Form("http", "raw", "raw", "/raw")
_V2 = {"json": V2_JSON, "binary": V2_BINARY, "grpc": V2_GRPC}
_FLOATS = Form("http", "array", "array", "/floats")
_TOKENS = Form("http", "array", "array", "/tokens")

SERVERS: Mapping[str, Server] = {
    server.name: server
    for server in (
        Server(
            OURS,
            "",
            (
                *("{bin}/tidegate-runtime", "serve", "{model}", "--name", "{name}", "--host", "127.0.0.1"),
                *("--port", "{port}", "--admin-port", "{admin_port}", "--threads", "1", "--queue-size", "2048"),
            ),
            _V2,
            "as it comes, but for a queue of 2,048, so that 1,000 connections aren't refused",
            # An option that this checkout's runtime doesn't have is an unread variable, and not a failed start.
            environment={"TIDEGATE_GRPC_PORT": "{grpc_port}"},
        ),
        Server("naive", "naive", _SERVE, {"json": _OWN_JSON, "binary": _OWN_RAW}, "no batching, orjson, uvloop"),
        Server(
            "mosec",
            "mosec",
            (*_SERVE, "--address", "127.0.0.1", "--port", "{port}", "--timeout", "60000", "--capacity", "4096"),
            {"json": _OWN_JSON, "binary": _OWN_RAW},
            "batches of 32, 2 ms, a worker for each route",
        ),
        Server(
            "mosec-nobatch",
            "mosec",
            (*_SERVE, "--address", "127.0.0.1", "--port", "{port}", "--timeout", "60000", "--capacity", "4096"),
            {"json": _OWN_JSON, "binary": _OWN_RAW},
            "no batching, a worker for each route",
            batch=1,
            wait_ms=0,
            models=frozenset({"tabular"}),
        ),
        Server(
            "pytriton",
            "pytriton",
            _SERVE,
            _V2,
            "Triton's front ends and dynamic batcher (32, no delay) with a Python callable",
            # Its stub loads the system's libpython, which another build's standard library may not fit.
            build="/usr/bin/python3.11",
        ),
        Server("kserve", "kserve", _SERVE, _V2, "one process; the SDK doesn't batch"),
        Server(
            "mlserver",
            "mlserver",
            _SERVE,
            {"json": V2_JSON, "grpc": V2_GRPC},
            "adaptive batching 32, 2 ms, parallel_workers 0; it has no binary REST",
        ),
        Server(
            "bentoml",
            "bentoml",
            (
                *("{bin}/bentoml", "serve", "serve:Served", "--working-dir", "{here}"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            {"json": _FLOATS},
            "batchable, 32, its own dispatcher; arrays as JSON",
            special={"minilm": _TOKENS, "minilm-mixed": _TOKENS},
            environment={"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Server(
            "litserve",
            "litserve",
            _SERVE,
            {"json": replace(_OWN_JSON, path="/predict")},
            "batches of 32, 2 ms, fast_queue",
        ),
        Server(
            "ray",
            "ray",
            _SERVE,
            {"json": _OWN_JSON, "binary": _OWN_RAW},
            "one replica, serve.batch 32, 2 ms",
            # Its parts get half a minute to find one another, which nine processes on one busy core may not make.
            # And under `uv run`, as here, it would start its workers by the same command line.
            environment={
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_raylet_start_wait_time_s": "120",
                "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            },
        ),
        Server(
            "limit-socket",
            "limits",
            ("{python}", "{here}/socket_echo.py"),
            {
                "json": Form("http", "v2-json", "none", "/"),
                "binary": Form("http", "v2-binary", "none", "/"),
            },
            "uvloop alone: a ready answer of 16 bytes to whatever is read, so the kernel and an event loop",
            models=frozenset({"tabular"}),
        ),
        Server(
            "limit-http",
            "limits",
            ("{python}", "{here}/echo.py"),
            {
                "json": Form("http", "v2-json", "none", "/"),
                "binary": Form("http", "v2-binary", "none", "/"),
            },
            "a bare ASGI application under uvicorn that reads the body and answers 16 bytes",
        ),
        Server(
            "limit-grpc",
            "limits",
            ("{python}", "{here}/grpc_echo.py"),
            {"grpc": Form("grpc", "v2-grpc", "none", V2_GRPC.path)},
            "a grpc.aio method that doesn't parse its request",
        ),
    )
}
