"""One load on one running server: the job, the form its requests have, and what is kept of what it brought."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import usage
from bench.bodies import Form
from bench.plan import OVERLOAD_DEADLINE_SECONDS, Point
from bench.process import LOAD_CPU, SERVER_CPU, Running
from bench.results import Record

# gRPC's UNAVAILABLE and RESOURCE_EXHAUSTED, and DEADLINE_EXCEEDED; HTTP's own.
REFUSALS: Mapping[str, list[int]] = {"http": [429, 503], "grpc": [14, 8]}
EXPIRIES: Mapping[str, list[int]] = {"http": [504], "grpc": [4]}


def job(point: Point, form: Form, *, seconds: float, seed: int, rate: float = 0.0) -> dict[str, Any]:
    """What the load generator is told of a point; `rate` of an open loop, 0 for a closed one."""
    told: dict[str, Any] = {"connections": point.connections, "seconds": seconds, "seed": seed}
    told |= {"refusals": REFUSALS[form.transport], "expiries": EXPIRIES[form.transport]}
    if rate:
        told["rate"] = rate
    if point.kind == "overload":
        told["deadline_seconds"] = OVERLOAD_DEADLINE_SECONDS
    return told


def asked(form: Form, point: Point) -> Form:
    """The form with the deadline that a point's requests carry: V2's `timeout` parameter, in microseconds."""
    match point.kind:
        case "overload":
            return replace(form, parameters={"timeout": round(OVERLOAD_DEADLINE_SECONDS * 1e6)})
        case "refusal":
            return replace(form, parameters={"timeout": 1})
    return form


def measured(running: Running, point: Point, form: Form, told: Mapping[str, Any]) -> Record:
    """What a job brought and what disturbed it; which round or turn it was of, the caller adds."""
    with Watch() as steal:
        before = running.batches()
        result = running.send(form, **told)
        after = running.batches()
    return {
        **place(running.server.name, point),
        "rate_asked": told.get("rate", 0.0),
        "steal": steal(),
        "cpu_by": running.account.how,
        "mean_batch": mean_batch(before, after),
        "result": result,
    }


def place(server: str, point: Point) -> Record:
    """What a record is a measurement of."""
    return {
        "server": server,
        "model": point.model,
        "protocol": point.protocol,
        "load": point.kind,
        "connections": point.connections,
    }


def mean_batch(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    """Rows a batch between two readings of (batches, rows)."""
    if before is None or after is None or after[0] <= before[0]:
        return None
    return (after[1] - before[1]) / (after[0] - before[0])


class Watch:
    """The share of time that was stolen from either core inside the block."""

    def __enter__(self) -> Callable[[], float]:
        self._before = self._read()
        self._after: list[tuple[int, int]] | None = None
        return lambda: usage.stolen_share(self._before, self._after or self._read())

    def __exit__(self, *_: object) -> None:
        self._after = self._read()

    @staticmethod
    def _read() -> list[tuple[int, int]]:
        return usage.stolen(Path("/proc/stat").read_text(), (SERVER_CPU, LOAD_CPU))


def summed_up(result: Mapping[str, Any]) -> str:
    """A result in a line of progress."""
    answers = result["good"] or result["refused"] + result["expired"] or 1
    cpu = result["cpu_seconds"] / answers * 1e6
    line = f"{result['rate']:,.0f}/s, {cpu:,.1f} µs CPU, p99 {result['latency_ms']['p99']:.2f} ms"
    for kind in ("refused", "expired"):
        if result[kind]:
            line += f", {result[kind]} {kind}"
    return f"{line}, errors {result['errors']}: {result.get('first_error')}" if result["errors"] else line


def say(line: str) -> None:
    """A line of progress, with the seconds since the run began."""
    print(f"[{time.monotonic() - _BEGUN:6.0f} s] {line}", file=sys.stderr, flush=True)


_BEGUN = time.monotonic()
