"""What our hot way takes without sockets: connections over pipes of their own, the real loop, scheduler and model.

python -m bench.inside                  CPU µs a request, JSON, binary and refused, with metrics and without, as JSON

`json-alone`, `json-alone-uncounted` and so on are turns of the event loop that bring a single request; all others bring
one of each connection.
For profiles and comparisons of two checkouts: the kernel's part, and its noise, is left out. All kinds are taken in
turn, and the least of each counts, since on a shared machine the rest is somebody else's time.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import uvicorn
import uvloop
from uvicorn.server import ServerState

from bench.bodies import V2_BINARY, V2_JSON, Form, encoded, single_rows
from bench.environments import Unavailable, python_of
from bench.models import MODELS
from bench.process import SERVER_CPU
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.store import open_store
from tidegate_runtime.placing import Placement, Site
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.web.hot import protocol_class

MODEL = "tabular"
CONNECTIONS = 32
ROUNDS = 12
TURNS = 150
"""Requests of each connection in a round."""
TIMES, TIMES_ALONE = 2, 5
"""How often those of all connections, and of one, are sent in a round.

The first time pays for metrics switched on or off, and for what the scheduler has learned of another kind.
"""

FORMS = {"json": V2_JSON, "binary": V2_BINARY, "refusal": replace(V2_JSON, parameters={"timeout": 1})}
COUNTING = (
    *("served", "served_all", "answered", "answered_all", "ran", "assembled", "cut", "passed", "offer"),
    "refuse",
)
"""Of `ModelMetrics`, what does nothing where metrics are off."""


class Answers:
    """How many are still awaited."""

    def __init__(self) -> None:
        self.awaited = 0
        self.all = asyncio.Event()

    def one(self) -> None:
        self.awaited -= 1
        if not self.awaited:
            self.all.set()


class Pipe(asyncio.Transport):
    """Drops what is written; each write is an answer."""

    def __init__(self, answers: Answers) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._answers = answers

    def write(self, data: Any) -> None:
        self._answers.one()

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def measured() -> dict[str, float]:
    """CPU µs a request by kind, as `json`, `json-uncounted`, `json-alone` and so on, on the server's core.

    Raises:
        Unavailable: it failed.
    """
    words = ["taskset", "-c", str(SERVER_CPU), str(python_of("")), "-m", "bench.inside"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"our hot way in process: {done.stderr.strip()[-600:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def _compare() -> dict[str, float]:
    service = Service(Limits(CONNECTIONS, 0.005, 2048, 10 << 20, 60.0))
    site = Site(Placement("cpu", 1, False), service.limits, lambda: None, lambda closing: closing.close())
    loaded, limits = await site.bring(open_store(MODELS[MODEL].path(), MODEL, "1").all()[0])
    service.expect(MODEL, "1", "cpu")
    service.open(MODEL, "1", loaded, limits)
    answers = Answers()
    connections = _connected(service, answers)
    best: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for name, form in FORMS.items():
            requests = list(_requests(form))
            for kind, some, times in ((name, connections, TIMES), (f"{name}-alone", connections[:1], TIMES_ALONE)):
                for ending, without in (("", False), ("-uncounted", True)):
                    with _uncounted(without):
                        for _ in range(times):
                            _note(best, kind + ending, await _taken(some, answers, requests), number)
    await service.close()
    await site.close()
    return {kind: round(taken, 2) for kind, taken in best.items()}


def _note(best: dict[str, float], kind: str, taken: float, number: int) -> None:
    if number:  # The first round warms up.
        best[kind] = min(best.get(kind, taken), taken)


def _connected(service: Service, answers: Answers) -> list[Any]:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(f"not a hot request: {scope}")

    create: Any = protocol_class(service)
    config = uvicorn.Config(nothing, http=create, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    made = []
    for _ in range(CONNECTIONS):
        connection = create(config=config, server_state=state, app_state={}, _loop=asyncio.get_running_loop())
        connection.connection_made(Pipe(answers))
        made.append(connection)
    return made


def _requests(form: Form) -> Iterator[bytes]:
    for row in single_rows(MODELS[MODEL]):
        length, body = encoded(form, MODEL, row)
        lines = [b"POST /v2/models/%b/infer HTTP/1.1" % MODEL.encode(), b"Host: h"]
        if length:
            lines.append(b"Inference-Header-Content-Length: %d" % length)
        yield b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def _taken(connections: list[Any], answers: Answers, requests: list[bytes]) -> float:
    began = time.process_time()
    for turn in range(TURNS):
        answers.awaited = len(connections)
        answers.all.clear()
        for number, connection in enumerate(connections):
            connection.data_received(requests[(turn * len(connections) + number) % len(requests)])
        await answers.all.wait()
    return (time.process_time() - began) / (TURNS * len(connections)) * 1e6


@contextmanager
def _uncounted(without: bool) -> Iterator[None]:
    """Without metrics: what counts does nothing."""
    with ExitStack() as patches:
        for name in COUNTING if without else ():
            patches.enter_context(patch.object(ModelMetrics, name, lambda *_, **__: None))
        yield


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_compare())))
