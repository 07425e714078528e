"""What kubelets and Prometheus ask the adapter on its administration port."""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidegate_operator.adapter.scraper import PERIOD_SECONDS, Clock, Scraper

STALLED_SECONDS = 15 * PERIOD_SECONDS
"""Without a round of scrapes for this long, the process is restarted."""
NEEDED_ROUNDS = 3
"""Rounds of scrapes from when all pods are known: one may have begun before, and a p95 takes two readings."""


@dataclass
class State:
    """How far the adapter has come.

    `known_at_round`: rounds of scrapes done when every pod and InferenceService was first known. `provider` describes
    who else has the metrics API, None if nobody has.
    """

    known_at_round: int | None = None
    draining: bool = False
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the adapter may be asked, and each check as a line of text."""

    ready: bool
    report: str


def readiness(state: State, rounds: int) -> Readiness:
    """The readiness after `rounds` rounds of scrapes.

    A metrics API that another provider has is told but no reason to be unready: the rest of the install works.
    """
    done = 0 if state.known_at_round is None else rounds - state.known_at_round
    checks = [
        ("watch", state.known_at_round is not None, "not every pod and InferenceService is known yet"),
        ("scrapes", done >= NEEDED_ROUNDS, f"{done} of {NEEDED_ROUNDS} rounds done"),
        ("serving", not state.draining, "shutting down"),
    ]
    lines = [f"[+]{name} ok" if passed else f"[-]{name} failed: {reason}" for name, passed, reason in checks]
    if state.provider is not None:
        lines.append(f"[!]apiservice: custom.metrics.k8s.io belongs to {state.provider}, left as it is")
    return Readiness(all(passed for _, passed, _ in checks), "\n".join(lines) + "\n")


def stalled(scraper: Scraper, now: float) -> bool:
    """Whether rounds of scrapes have begun, and none has ended for too long."""
    return scraper.last_round is not None and now - scraper.last_round > STALLED_SECONDS


def administration(state: State, scraper: Scraper, registry: CollectorRegistry, clock: Clock) -> FastAPI:
    """`/healthz`, `/livez`, `/readyz` and `/metrics`."""
    app = FastAPI(openapi_url=None)

    @app.get("/healthz")
    @app.get("/livez")
    async def healthy() -> Response:
        if stalled(scraper, clock()):
            return PlainTextResponse(f"no round of scrapes for {STALLED_SECONDS:g} s\n", status_code=503)
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> Response:
        now = readiness(state, scraper.rounds)
        return PlainTextResponse(now.report, status_code=200 if now.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
