"""What this runtime has to reach, judged by turns where it was compared in turn, else by rounds. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import bars_by_rounds as rounds
from bench import bars_by_turns as turns
from bench.bars_by_rounds import Found
from bench.comparisons import IMAGE_JSON, TABULAR_BINARY, TABULAR_GRPC, TABULAR_JSON
from bench.summary import Summary


@dataclass(frozen=True)
class Verdict:
    """One bar: what was found beside what was asked. `passed` is None if it couldn't be judged."""

    what: str
    bar: str
    found: str
    passed: bool | None


@dataclass(frozen=True)
class Bar:
    """How a bar is judged; `by_turns` gives None where it wasn't compared in turn."""

    what: str
    bar: str
    by_rounds: Callable[[Summary], Found]
    by_turns: Callable[[Summary], Found | None] = lambda _: None

    def judged(self, summary: Summary) -> Verdict:
        found = self.by_turns(summary) or self.by_rounds(summary)
        return Verdict(self.what, self.bar, found.text, found.passed)


def judged(summary: Summary) -> list[Verdict]:
    """All bars, in the order of their table."""
    return [bar.judged(summary) for bar in _BARS]


def _against(what: str, comparison: str, model: str, protocol: str, bound: float, peer: str | None = None) -> Bar:
    return Bar(
        f"{what}, CPU",
        f"≤ {bound:g} × {peer or 'the best peer'}",
        lambda summary: rounds.against(summary, model, protocol, bound, peer),
        lambda summary: turns.against(summary, comparison, bound),
    )


_BARS: tuple[Bar, ...] = (
    _against("tabular JSON", TABULAR_JSON, "tabular", "json", 0.45, "mosec"),
    _against("tabular binary", TABULAR_BINARY, "tabular", "binary", 0.6, "mosec"),
    Bar("tabular JSON, one client, rate", "≥ 1.8 × the best peer", rounds.one_client, turns.one_client),
    _against("image JSON", IMAGE_JSON, "cnn", "json", 0.35),
    Bar("image, binary, CPU", "≤ 1.1 × (ONNX Runtime + ASGI echo)", rounds.image_binary, turns.image_binary),
    Bar(
        "transformer, 32 clients, CPU",
        "≤ 1.10 × ONNX Runtime at the same batch sizes",
        rounds.transformer,
        turns.transformer,
    ),
    _against("tabular gRPC", TABULAR_GRPC, "tabular", "grpc", 0.35, "pytriton"),
    Bar("tabular JSON, p99 at 80 % of the best peer's best rate", "≤ 1/5 of that peer's", rounds.tail, turns.tail),
    Bar(
        "transformer at twice the best rate",
        "goodput ≥ 95 % of best, every refusal ≤ 5 ms, p99 of those let in within the deadline",
        rounds.overload,
        turns.overload,
    ),
    Bar("tabular JSON, CPU of a refusal", "≤ half of an answer", rounds.refusal, turns.refusal),
    Bar("transformer, shapes A,B,A,B, rate", "≥ 90 % of one shape", rounds.mixed, turns.mixed),
    Bar("tabular JSON, CPU at 1,000 connections against 8", "within 15 %", rounds.connections, turns.connections),
    Bar("tabular JSON, CPU of all metrics on against off", "≤ 2 µs a request", rounds.metrics),
    Bar("resident memory beyond model and ONNX Runtime", "≤ 120 MB", rounds.memory),
    Bar("resident memory over 10 M requests", "second half at most 1 MiB above the first, by medians", rounds.soak),
)
