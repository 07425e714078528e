"""How far the adapter has come, and whether it is well, for the kubelet."""

from dataclasses import dataclass

from tidegate_operator.adapter.scraper import PERIOD_SECONDS, Scraper

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


def readiness(state: State, rounds: int) -> tuple[bool, str]:
    """Whether the adapter may be asked after `rounds` rounds of scrapes, and each check as a line of text.

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
    return all(passed for _, passed, _ in checks), "\n".join(lines) + "\n"


def liveness(scraper: Scraper, now: float) -> tuple[bool, str]:
    """Whether rounds of scrapes still end, if any has begun."""
    if scraper.last_round is not None and now - scraper.last_round > STALLED_SECONDS:
        return False, f"no round of scrapes for {STALLED_SECONDS:g} s\n"
    return True, "ok\n"
