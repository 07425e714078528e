"""One server, started on a core of its own, asked until it answers right, measured, and ended with all it started."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bodies, generator, usage
from bench.bodies import Form
from bench.environments import Unavailable, python_of
from bench.models import MODELS
from bench.paths import PEERS, ROOT
from bench.servers import OURS, Server
from localcluster.ports import free_ports

SERVER_CPU, LOAD_CPU = 0, 1
# Some answer 404 or 503 until their model is loaded; one that still does so after this long won't change.
WRONG_SECONDS = 20.0
# Before every measurement: so many rows at once, each different, all answers compared.
VERIFIED = 64


@dataclass
class Running:
    """A server that listens; its forms by protocol are those that it was seen to answer right."""

    server: Server
    model: str
    ports: Mapping[str, int]
    account: usage.Account
    log: Path
    load: Path
    popen: "subprocess.Popen[bytes]"

    def job(self, form: Form, **settings: Any) -> dict[str, Any]:
        """A job for the load generator."""
        port = self.ports["grpc_port" if form.transport == "grpc" else "port"]
        workload = bodies.prepare(MODELS[self.model], form, self.model)
        return {"workload": str(workload), "address": f"127.0.0.1:{port}", **settings}

    def send(self, form: Form, **settings: Any) -> generator.Result:
        """What a job brought, with the server's CPU seconds beside it as `cpu_seconds`."""
        job = self.job(form, **settings)
        before = self.account.cpu_seconds()
        result = generator.send(self.load, job, LOAD_CPU)
        return {**result, "cpu_seconds": self.account.cpu_seconds() - before}

    def verify(self, form: Form, seconds: float) -> float:
        """Seconds until an answer was right; then 64 different ones at once have to be.

        Raises:
            Unavailable: the server ended, never answered, or answered wrong; says what was seen last.
        """
        begun = time.monotonic()
        answered: float | None = None
        while True:
            result = self.send(form, count=1, connections=1, seconds=10)
            if result["good"]:
                break
            now = time.monotonic()
            if answered is None and any(kind == "wrong" or "status" in kind for kind in result["errors"]):
                answered = now
            # Whoever wraps the command becomes it, so its end is the server's.
            gone = self.popen.poll() is not None
            if gone or now - begun > seconds or (answered and now - answered > WRONG_SECONDS):
                seen = f"{result.get('first_error')}; {self.last_words()}"
                raise Unavailable(f"no right answer in {now - begun:.0f} s: {seen}")
            time.sleep(0.05)
        taken = time.monotonic() - begun
        result = self.send(form, count=VERIFIED, connections=VERIFIED, seconds=60)
        if result["good"] != VERIFIED:
            raise Unavailable(f"{result['good']} of {VERIFIED} answers were right: {result.get('first_error')}")
        return taken

    def batches(self) -> tuple[float, float] | None:
        """Batches run so far and rows in them, by our own metrics; None for others."""
        if self.server.name != OURS:
            return None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin_port']}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None  # gone, which the load has seen as well
        counted, rows = (
            sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"tidegate_batch_rows_{what}"))
            for what in ("count", "sum")
        )
        return counted, rows

    def last_words(self) -> str:
        """The end of its log."""
        said = self.log.read_text(errors="replace").strip()
        return f"its log ends: {said[-500:]}" if said else "it logged nothing"


@contextlib.contextmanager
def started(server: Server, model: str, load: Path) -> Iterator[Running]:
    """The server's command, running on its core; all it has started is ended at the end.

    Raises:
        Unavailable: its environment or the model can't be had.
    """
    name = uuid.uuid4().hex[:12]
    ports = dict(zip(("port", "grpc_port", "admin_port"), free_ports(3), strict=True))
    python = python_of(server.peer, server.build)
    words = {
        **{key: str(port) for key, port in ports.items()},
        "python": str(python),
        "bin": str(python.parent),
        "here": str(PEERS / server.peer),
        "model": str(MODELS[model].path()),
        "name": model,
        "row": ",".join(map(str, next(iter(next(bodies.single_rows(MODELS[model], 1)).values())).shape)),
    }
    account = usage.account(name)
    log = ROOT / "artifacts" / "bench" / "logs" / f"{server.name}-{model}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = account.wrap(["taskset", "-c", str(SERVER_CPU), *(word.format(**words) for word in server.command)])
    environment = _environment(server, words)
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent, start_new_session=True
        )
    try:
        yield Running(server, model, ports, account, log, load, popen)
    finally:
        _end(popen, account)


def _environment(server: Server, words: Mapping[str, str]) -> dict[str, str]:
    told = {
        "BENCH_MODEL": words["model"],
        "BENCH_NAME": words["name"],
        "BENCH_ROW": words["row"],
        "BENCH_PORT": words["port"],
        "BENCH_GRPC_PORT": words["grpc_port"],
        "BENCH_BATCH": str(server.batch),
        "BENCH_WAIT_MS": str(server.wait_ms),
        # Thread pools beside ONNX Runtime's would fight over the one core.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = f"{words['bin']}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, **told, "PATH": path, **{key: value.format(**words) for key, value in server.environment.items()}}


def _end(popen: "subprocess.Popen[bytes]", account: usage.Account) -> None:
    """Ask once, wait a little, then kill: only what the account says was started by this command."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(popen.pid, signal.SIGTERM)
    for kill_after, wait in ((signal.SIGKILL, 3.0), (signal.SIGKILL, 3.0), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + wait
        while account.processes() and time.monotonic() < until:
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(0.05)
        for pid in account.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, kill_after)
    popen.wait(10)
    account.close()
