"""What this runtime has to reach, each bar a pure function of the figures; what wasn't measured says so."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.servers import OURS, SERVERS
from bench.summary import Summary, is_peer

SOAKED = 10_000_000
_LOOP = "limit-socket"
"""What no server under this event loop can be cheaper than."""


@dataclass(frozen=True)
class Verdict:
    """One bar: what was found beside what was asked. `passed` is None if it couldn't be judged."""

    what: str
    bar: str
    found: str
    passed: bool | None


def judged(summary: Summary) -> list[Verdict]:
    """All bars, in the order of their table."""
    return [bar(summary) for bar in _BARS]


def _unknown(what: str, bar: str, why: str) -> Verdict:
    return Verdict(what, bar, why, None)


def _against(summary: Summary, what: str, model: str, protocol: str, bound: float, peer: str | None = None) -> Verdict:
    """CPU for an answer, ours over a peer's (the best one's, if none is named)."""
    bar = f"≤ {bound:g} × {peer or 'the best peer'}"
    ours = summary.cheapest(OURS, model, protocol)
    costs = {name: summary.cheapest(name, model, protocol) for name in SERVERS}
    best = (peer, costs[peer]) if peer else summary.best_peer(costs)
    if ours is None or best is None or best[1] is None:
        missing = OURS if ours is None else peer or "any peer"
        # A protocol that was tried and not answered is a bar missed; one that wasn't chosen is unknown.
        tried = any(
            (one["server"], one["model"]) == (OURS, model) and one["protocol"] in ("", protocol)
            for one in summary.failures
        )
        return Verdict(what, bar, f"{missing} has no good answer", False if ours is None and tried else None)
    ratio = ours / best[1]
    return Verdict(what, bar, f"{ours:,.1f} µs, {ratio:.2f} × {best[0]}", ratio <= bound)


def _one_client(summary: Summary) -> Verdict:
    what, bar = "tabular JSON, one client, rate", "≥ 1.8 × the best peer"
    points = {name: summary.point(name, "tabular", "json", "closed", 1) for name in SERVERS}
    rates = {name: one.median("rate") for name, one in points.items() if one}
    peers = {name: rate for name, rate in rates.items() if is_peer(name)}
    if OURS not in rates or not any(peers.values()):
        return _unknown(what, bar, "not measured")
    best = max(peers, key=lambda name: peers[name])
    ratio = rates[OURS] / peers[best]
    found = f"{rates[OURS]:,.0f}/s, {ratio:.2f} × {best}"
    if _LOOP in rates:
        found += f"; kernel and event loop alone {rates[_LOOP]:,.0f}/s"
    return Verdict(what, bar, found, ratio >= 1.8)


def _image_binary(summary: Summary) -> Verdict:
    what, bar = "image, binary, CPU", "≤ 1.1 × (ONNX Runtime + ASGI echo)"
    ours, echo = summary.cheapest(OURS, "cnn", "binary"), summary.cheapest("limit-http", "cnn", "binary")
    compute = summary.compute.get("cnn")
    if ours is None or echo is None or compute is None:
        return _unknown(what, bar, "not measured")
    floor = compute.best + echo
    return Verdict(what, bar, f"{ours:,.0f} µs, {ours / floor:.2f} × {floor:,.0f}", ours <= 1.1 * floor)


def _transformer(summary: Summary) -> Verdict:
    what, bar = "transformer, 32 clients, CPU", "≤ 1.10 × ONNX Runtime at the same batch sizes"
    point, compute = summary.point(OURS, "minilm", "json", "closed", 32), summary.compute.get("minilm")
    ours = point.cpu_us() if point else None
    sizes = [one["mean_batch"] for one in point.records if one["mean_batch"]] if point else []
    if ours is None or compute is None or not sizes:
        return _unknown(what, bar, "not measured")
    size = sum(sizes) / len(sizes)
    floor = compute.at(size)
    found = f"{ours:,.0f} µs, {ours / floor:.2f} × {floor:,.0f} at a mean batch of {size:.1f}"
    return Verdict(what, bar, found, ours <= 1.10 * floor)


def _tail(summary: Summary) -> Verdict:
    what, bar = "tabular JSON, p99 at 80 % of the best peer's best rate", "≤ 1/5 of that peer's"
    points = {name: summary.point(name, "tabular", "json", "best", 1024) for name in SERVERS}
    best = _fastest_peer(summary)
    ours, theirs = points[OURS], points.get(best or "")
    if ours is None or theirs is None:
        return _unknown(what, bar, "not measured")
    tails = ours.median("latency_ms", "p99"), theirs.median("latency_ms", "p99")
    rate = theirs.records[-1]["rate_asked"]
    found = f"{tails[0]:.2f} ms against {best}'s {tails[1]:.2f} ms at {rate:,.0f}/s"
    return Verdict(what, bar, found, tails[0] <= tails[1] / 5 and not ours.errors())


def _fastest_peer(summary: Summary) -> str | None:
    rates = {
        key[0]: one.median("rate")
        for key, one in sorted(summary.points.items(), key=lambda item: item[1].median("rate"))
        if key[1:4] == ("tabular", "json", "closed") and is_peer(key[0])
    }
    return max(rates, key=lambda name: rates[name], default=None)


def _overload(summary: Summary) -> Verdict:
    what = "transformer at twice the best rate"
    bar = "goodput ≥ 95 % of best, refusals ≤ 5 ms, p99 of those let in within the deadline"
    point = summary.point(OURS, "minilm", "json", "overload", 1024)
    if point is None:
        return _unknown(what, bar, "not measured")
    best = point.records[-1]["rate_asked"] / 2
    goodput = point.median("timely") / point.median("seconds") / best
    refusal, refused = point.median("refusal_ms", "max"), point.median("refused")
    # Who is let in and then told that time is over was let in all the same.
    let_in = point.median("good") + point.median("expired")
    timely = point.median("timely") / let_in if let_in else 0.0
    found = (
        f"{goodput:.0%}, slowest of {refused:,.0f} refusals {refusal:.1f} ms, {timely:.1%} of those let in within it, "
        f"p99 of answers {point.median('latency_ms', 'p99'):.0f} ms"
    )
    kept = goodput >= 0.95 and refusal <= 5 and timely >= 0.99 and refused > 0
    return Verdict(what, bar, found, kept and not point.errors())


def _refusal(summary: Summary) -> Verdict:
    what, bar = "tabular JSON, CPU of a refusal", "≤ half of an answer"
    point, answer = summary.point(OURS, "tabular", "json", "refusal", 32), summary.cheapest(OURS, "tabular", "json")
    # Nothing can be done in their time; which of the two words says so is all the same here.
    refused = point.median("refused") + point.median("expired") if point is not None else 0.0
    if point is None or answer is None or not refused:
        return _unknown(what, bar, "no request was refused")
    cost = point.median("cpu_seconds") / refused * 1e6
    found = f"{cost:.1f} µs against {answer:.1f} µs"
    alone = summary.cheapest(_LOOP, "tabular", "json")
    if alone is not None:
        found += f"; kernel and event loop alone {alone:.1f} µs"
    return Verdict(what, bar, found, cost <= answer / 2)


def _mixed(summary: Summary) -> Verdict:
    what, bar = "transformer, shapes A,B,A,B, rate", "≥ 90 % of one shape"
    one = summary.point(OURS, "minilm", "json", "closed", 32)
    both = summary.point(OURS, "minilm-mixed", "json", "closed", 32)
    if one is None or both is None or not one.median("rate"):
        return _unknown(what, bar, "not measured")
    share = both.median("rate") / one.median("rate")
    return Verdict(what, bar, f"{share:.0%}", share >= 0.9)


def _connections(summary: Summary) -> Verdict:
    what, bar = "tabular JSON, CPU at 1,000 connections against 8", "within 15 %"
    few, many = (summary.point(OURS, "tabular", "json", "closed", count) for count in (8, 1000))
    costs = few and few.cpu_us(), many and many.cpu_us()
    if not costs[0] or not costs[1]:
        return _unknown(what, bar, "not measured")
    found = f"{costs[0]:.1f} → {costs[1]:.1f} µs ({costs[1] / costs[0] - 1:+.0%})"
    return Verdict(what, bar, found, costs[1] <= 1.15 * costs[0])


def _memory(summary: Summary) -> Verdict:
    what, bar = "resident memory beyond model and ONNX Runtime", "≤ 120 MB"
    held, compute = summary.memory.get((OURS, "tabular")), summary.compute.get("tabular")
    if held is None or compute is None:
        return _unknown(what, bar, "not measured")
    beyond = (held[0] - compute.rss_mib) * 2**20 / 1e6
    return Verdict(what, bar, f"{beyond:.0f} MB", beyond <= 120)


def _soak(summary: Summary) -> Verdict:
    what, bar = "resident memory over 10 M requests", "grows by at most 1 MiB after the first tenth"
    if summary.soak is None:
        return _unknown(what, bar, "run with --soak 10000000")
    first, last = summary.soak["rss_mib"]
    good = summary.soak["good"]
    found = f"{first:.1f} → {last:.1f} MiB over {good:,} answers"
    return Verdict(what, bar, found, last - first <= 1 if good >= SOAKED else None)


def _metrics(summary: Summary) -> Verdict:
    what, bar = "tabular JSON, CPU of all metrics on against off", "≤ 2 µs a request"
    counted, uncounted = summary.inside.get("json"), summary.inside.get("json-uncounted")
    if counted is None or uncounted is None:
        return _unknown(what, bar, "not measured")
    cost = counted - uncounted
    return Verdict(what, bar, f"{cost:.1f} µs of {counted:.1f} in process, without sockets", cost <= 2)


_BARS: tuple[Callable[[Summary], Verdict], ...] = (
    lambda summary: _against(summary, "tabular JSON, CPU", "tabular", "json", 0.45, "mosec"),
    lambda summary: _against(summary, "tabular binary, CPU", "tabular", "binary", 0.6, "mosec"),
    _one_client,
    lambda summary: _against(summary, "image JSON, CPU", "cnn", "json", 0.35),
    _image_binary,
    _transformer,
    lambda summary: _against(summary, "tabular gRPC, CPU", "tabular", "grpc", 0.35, "pytriton"),
    _tail,
    _overload,
    _refusal,
    _mixed,
    _connections,
    _metrics,
    _memory,
    _soak,
)
