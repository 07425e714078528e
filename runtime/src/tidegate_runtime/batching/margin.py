"""How much room predictions are given, learnt from what became of those who were let in by them. Pure.

    margin += GAIN · (e - RATE),   e = 1 if a run's most urgent request was late, or if since the last run told
                                   somebody was given up or had the deadline come, waiting or not; else 0

Who waits until the deadline, or is given up before, is in no run that could tell. One run tells of all of them, since a
stall that makes ten late is one.

A quantile tracked by what is seen, which holds RATE over time however the errors come about: a host that slows down for
a second makes fifty runs longer at once, which no sum of their own scatter foretells (Gibbs and Candès, "Adaptive
Conformal Inference Under Distribution Shift", NeurIPS 2021).
"""

from typing import Final

from tidegate_runtime.batching.policy import MARGIN

MOST: Final = 1.2
"""What is late for its own run's sake, as of a host that stops for a moment, is late by any margin, and a shorter queue
makes smaller batches: where deadlines are as short as two of them, that costs what would have been in time."""

RATE: Final = 0.004
"""Of so many runs the most urgent request may be late: a p99 within the deadline wants fewer than 0.01 of requests."""

GAIN: Final = 0.02
"""How far one that is late widens the margin; 250 in time take it back."""

TIGHT: Final = 0.5
"""A prediction of less than so much of a request's time tells nothing: it would have been let in by any margin."""


class Margin:
    """What predicted seconds are multiplied by before a request is let in: `value`, from `MARGIN` to `MOST`."""

    __slots__ = ("missed", "value")

    def __init__(self) -> None:
        self.value = MARGIN
        self.missed = False
        """Whether, since a run told, a deadline couldn't be met that was predicted to leave little time to spare."""

    def told(self, *, late: bool) -> None:
        """A run has ended whose most urgent request was predicted to have little time to spare, or with one `missed`.

        That counts as `late`, too.
        """
        self.value = min(MOST, max(MARGIN, self.value + GAIN * ((late or self.missed) - RATE)))
        self.missed = False
