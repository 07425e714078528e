"""What is counted about a model, as plain numbers: a hot path can't afford a metrics library's microsecond a call.

`web.exposition` renders them on scrape. Everything is written from the event loop's thread alone.
"""

from bisect import bisect_left
from collections.abc import Sequence

from tidegate_runtime.naming import BATCH_ROWS_BOUNDS, DURATION_BOUNDS


class Histogram:
    """Counts per bucket, not cumulative; the last bucket holds what is above every bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts `value` in the first bucket whose bound is at least as large."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


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
        self.grpc_transport = ""
        self.grpc_reason = ""
        self.queue_depth = 0
        self.inflight = 0
        self.codes: dict[int, int] = {}
        self.request_duration = Histogram(DURATION_BOUNDS)
        self.queue_seconds = Histogram(DURATION_BOUNDS)
        self.compute_seconds = Histogram(DURATION_BOUNDS)
        self.batch_rows = Histogram(BATCH_ROWS_BOUNDS)

    def answered(self, code: int) -> None:
        """Counts one answer."""
        self.codes[code] = self.codes.get(code, 0) + 1
