"""What is counted of one model's requests that are handed over: plain numbers, which `web.handover_exposition` has."""

from tidegate_runtime.naming import HandoverOutcome, HandoverReason


class HandoverFigures:
    """Of one model version, whose requests go to the canary of that revision. Each of them has one outcome."""

    def __init__(self, model: str, version: str, canary: str, fallbacks: dict[int, int] | None = None) -> None:
        """`fallbacks` are those so far, in the stead of whatever canary."""
        self.model = model
        self.version = version
        self.canary = canary
        self.outcomes: dict[tuple[HandoverReason, HandoverOutcome], int] = {
            (reason, outcome): 0 for reason in HandoverReason for outcome in HandoverOutcome
        }
        self.fallbacks: dict[int, int] = {} if fallbacks is None else fallbacks
        """What was answered in a canary's stead since the process started, by status. It names none, so it goes on when
        another one comes: what it is taken from, the requests that were answered here, does so, too."""

    def count(self, reason: HandoverReason, outcome: HandoverOutcome) -> None:
        """Counts a request that was handed over."""
        self.outcomes[reason, outcome] += 1

    def fell_back(self, code: int) -> None:
        """Counts an answer in the canary's stead."""
        self.fallbacks[code] = self.fallbacks.get(code, 0) + 1
