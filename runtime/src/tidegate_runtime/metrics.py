"""What is counted about a model, as plain numbers: a hot path can't afford a metrics library's microsecond a call.

`web.exposition` renders them on scrape. Everything is written from the event loop's thread alone.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import copy
from math import inf
from typing import Final, NamedTuple

from tidegate_runtime.histogram import ASIDE, Histogram
from tidegate_runtime.naming import BATCH_ROWS_BOUNDS, DURATION_BOUNDS, EVIDENCE_BOUNDS, REFUSALS
from tidegate_runtime.window import SlidingSum

UTILIZATION_SECONDS: Final = 10.0


class CostFigure(NamedTuple):
    """What a run of `rows` rows of a shape costs, in seconds. `shape` is what tells shapes apart."""

    shape: Hashable
    rows: int
    mean: float
    p99: float


class Batches:
    """Runs of one size: how many, with how many requests in them, and their seconds."""

    __slots__ = ("requests", "runs", "seconds")

    def __init__(self) -> None:
        self.runs = 0
        self.requests = 0
        self.seconds = 0.0


class ModelMetrics:
    """One model's numbers; the names are those of docs/api.md without the prefix. Durations are in seconds.

    `codes` counts answers by HTTP status; 499 stands for a client that was gone before its answer.
    """

    def __init__(self, model: str, version: str, device: str) -> None:
        self.model = model
        self.version = version
        self.device = device
        self.batched = False
        self.reason = "loading"
        self.graphs = 0
        """Batch sizes that have a CUDA graph."""
        self.graphs_reason = ""
        self.queue_depth = 0
        self.inflight = 0
        self.codes: dict[int, int] = {}
        self.request_duration = Histogram(DURATION_BOUNDS, self._count_served)
        self.failed_duration: dict[int, Histogram] = {}
        """By code, the time of answers that are no 200, where it is known."""
        self.parse_seconds = Histogram(DURATION_BOUNDS, self._count_served)
        self.queue_seconds = Histogram(DURATION_BOUNDS, self._count_passed)
        self.assemble_seconds = Histogram(DURATION_BOUNDS, self._count_passed)
        self.compute_seconds = Histogram(DURATION_BOUNDS, self._count_passed)
        self.encode_seconds = Histogram(DURATION_BOUNDS, self._count_served)
        self.evidence_seconds = Histogram(EVIDENCE_BOUNDS, self._count_served)
        """Of each batch the time of one request alone: those of a batch share its fate, and would count it as often."""
        self.request_assemble_seconds = 0.0
        """A batch's assembly, counted once for each request in it."""
        self.costs: Callable[[], Iterable[CostFigure]] = tuple
        """The cost table's figures of the moment."""
        self.margin: Callable[[], float] = float
        """What predictions are multiplied by, at the moment; 0 before there is anything to predict."""
        self.batch_rows = Histogram(BATCH_ROWS_BOUNDS, self._count_passed)
        self._request_compute_seconds = 0.0
        self._last_run = -inf
        self._batches: dict[int, Batches] = {}
        self.out_of_memory = 0
        """Batches that were more than the device's memory holds."""
        self.together = 0
        """Answers of 200 that were written with others of one run, to requests that differ in their numbers alone."""
        self.unqueued = 0
        """Requests that ran as they came, past the queue."""
        self.refused = dict.fromkeys(REFUSALS, 0)
        self._served: list[tuple[float, float, float, float, bool]] = []
        self._passed: list[tuple[int, int, float, float]] = []
        self._offered = SlidingSum(UTILIZATION_SECONDS)

    def apart(self) -> "ModelMetrics":
        """What was counted until now, for somebody who adds to it."""
        self._count_served()
        self._count_passed()
        other = copy(self)
        other._served, other._passed = [], []
        other._batches = {rows: copy(batches) for rows, batches in self._batches.items()}
        other.codes, other.refused = dict(self.codes), dict(self.refused)
        other.failed_duration = {code: histogram.apart() for code, histogram in self.failed_duration.items()}
        # Without where they lay values aside, or all of these metrics would go with them to another process.
        for name, value in vars(self).items():
            if isinstance(value, Histogram):
                setattr(other, name, value.apart())
        return other

    def detach(self) -> None:
        """Reads nothing of a scheduler any more, so that it can go, or this be sent to a process. Counts stay."""
        self.costs, self.margin = tuple, float

    def answered(self, code: int, seconds: float | None = None) -> None:
        """Counts an answer, and how long it took if it failed and that is known. What 200s took `served` counts."""
        self.codes[code] = self.codes.get(code, 0) + 1
        if code != 200 and seconds is not None:
            self.failed(code).observe(seconds)

    def answered_all(self, code: int, seconds: Sequence[float]) -> None:
        """Counts answers that failed together, and how long each took."""
        self.codes[code] = self.codes.get(code, 0) + len(seconds)
        self.failed(code).observe_all(seconds)

    @property
    def batches(self) -> dict[int, Batches]:
        """Runs that gave answers, by their rows."""
        self._count_passed()
        return self._batches

    @property
    def request_compute_seconds(self) -> float:
        """The run's seconds, counted once for each request in it."""
        self._count_passed()
        return self._request_compute_seconds

    @property
    def last_run(self) -> float | None:
        """When the last run that gave answers ended, by the scheduler's clock; None before."""
        self._count_passed()
        return self._last_run if self._last_run > -inf else None

    @property
    def failed_seconds(self) -> float:
        """How long the answers that failed took in all."""
        return sum(histogram.total for histogram in self.failed_duration.values())

    def failed(self, code: int) -> Histogram:
        """The times of answers with that code, which is none of a good answer."""
        histogram = self.failed_duration.get(code)
        if histogram is None:
            histogram = self.failed_duration[code] = Histogram(DURATION_BOUNDS)
        return histogram

    def ran(self, rows: int, requests: int, seconds: float, now: float) -> None:
        """Counts a run that gave answers."""
        self.compute_seconds.observe(seconds)
        self._ran(rows, requests, seconds)
        self._last_run = now

    def passed(self, rows: int, requests: int, seconds: float, now: float) -> None:
        """Counts what `cut`, `assembled` and `ran` do of a batch of requests that haven't waited."""
        self.unqueued += requests
        passed = self._passed
        passed.append((rows, requests, seconds, now))
        if len(passed) >= ASIDE:
            self._count_passed()

    def _ran(self, rows: int, requests: int, seconds: float) -> None:
        self._request_compute_seconds += requests * seconds
        batches = self._batches.get(rows)
        if batches is None:
            batches = self._batches[rows] = Batches()
        batches.runs += 1
        batches.requests += requests
        batches.seconds += seconds

    def served(self, received: float, parsed: float, delivered: float, written: float, *, leads: bool = False) -> None:
        """Counts the stages of a request that was answered 200, by the times at which each of them was over.

        `leads`: how long it took, from its last byte to its answer, stands for its whole batch.
        """
        served = self._served
        served.append((received, parsed, delivered, written, leads))
        if len(served) >= ASIDE:
            self._count_served()

    def served_all(
        self, times: Sequence[tuple[float, float]], delivered: float, written: float, *, leads: bool
    ) -> None:
        """Counts requests that were answered 200 together; `leads`: the first of them does.

        `times` are when each was received, and parsed.
        """
        count = len(times)
        if not count:
            return
        if count == 1:
            ((received, parsed),) = times
            self.served(received, parsed, delivered, written, leads=leads)
        else:
            if leads:
                self.evidence_seconds.observe(written - times[0][0])
            self.request_duration.observe_all([written - received for received, _ in times])
            self.parse_seconds.observe_all([parsed - received for received, parsed in times])
            self.encode_seconds.observe_alike(written - delivered, count)
            self.together += count
        self.codes[200] = self.codes.get(200, 0) + count

    def assembled(self, seconds: float, requests: int) -> None:
        """Counts a batch's tensors put together, for so many requests."""
        self.assemble_seconds.observe(seconds)
        self.request_assemble_seconds += seconds * requests

    def refuse(self, reason: str, count: int = 1) -> None:
        """Counts requests that were refused for load."""
        self.refused[reason] = self.refused.get(reason, 0) + count

    def cut(self, rows: int, waited: Sequence[float]) -> None:
        """Counts a batch, and how long each of its requests waited for it."""
        self.batch_rows.observe(rows)
        self.queue_seconds.observe_all(waited)

    def offer(self, seconds: float, now: float) -> None:
        """Notes the engine seconds of requests that have come since the last time, refused ones included."""
        self._offered.add(seconds, now)

    def utilization(self, now: float) -> float:
        """Engine seconds offered per second over the last ten: above 1, more comes than can be answered."""
        return self._offered.total(now) / UTILIZATION_SECONDS

    def _count_served(self) -> None:
        """Counts what `served` laid aside."""
        served, self._served = self._served, []
        self.request_duration.observe_all([written - received for received, _, _, written, _ in served])
        self.parse_seconds.observe_all([parsed - received for received, parsed, *_ in served])
        self.encode_seconds.observe_all([written - delivered for _, _, delivered, written, _ in served])
        self.evidence_seconds.observe_all([written - received for received, _, _, written, leads in served if leads])

    def _count_passed(self) -> None:
        """Counts what `passed` laid aside."""
        passed, self._passed = self._passed, []
        self.batch_rows.observe_all([rows for rows, *_ in passed])
        self.queue_seconds.observe_alike(0.0, sum(requests for _, requests, *_ in passed))
        self.assemble_seconds.observe_alike(0.0, len(passed))
        self.compute_seconds.observe_all([seconds for _, _, seconds, _ in passed])
        for rows, requests, seconds, now in passed:
            self._ran(rows, requests, seconds)
            self._last_run = max(now, self._last_run)
