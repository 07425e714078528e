"""Bars as rounds judge them: each a pure function of the figures; what wasn't measured says so."""

import statistics
from dataclasses import dataclass

from bench.servers import OURS, SERVERS
from bench.summary import LOOP, Summary, is_peer

SOAKED = 10_000_000


@dataclass(frozen=True)
class Found:
    """What was found of a bar; `passed` is None if it couldn't be judged."""

    text: str
    passed: bool | None

    @classmethod
    def of(cls, text: str, kept: bool, errors: int) -> "Found":
        """A bar that is kept is passed if none of our answers was wrong or missing; how many were is told."""
        return cls(f"{text}; {errors:,} of our answers wrong or missing" if errors else text, kept and not errors)


def _unknown(why: str = "not measured") -> Found:
    return Found(why, None)


def against(summary: Summary, model: str, protocol: str, bound: float, peer: str | None = None) -> Found:
    """CPU for an answer, ours over a peer's (the best one's, if none is named)."""
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
        if ours is None and not tried:
            return _unknown()
        return Found(f"{missing} has no good answer", False if ours is None else None)
    ratio = ours / best[1]
    errors = summary.errors(OURS, model, protocol)
    return Found.of(f"{ours:,.1f} µs, {ratio:.2f} × {best[0]}", ratio <= bound, errors)


def one_client(summary: Summary) -> Found:
    """Our rate over that of the fastest peer."""
    measured = {name: summary.point(name, "tabular", "json", "closed", 1) for name in SERVERS}
    points = {name: one for name, one in measured.items() if one}
    rates = {name: one.median("rate") for name, one in points.items()}
    peers = {name: rate for name, rate in rates.items() if is_peer(name)}
    if OURS not in rates or not any(peers.values()):
        return _unknown()
    best = max(peers, key=lambda name: peers[name])
    ratio = rates[OURS] / peers[best]
    found = f"{rates[OURS]:,.0f}/s, {ratio:.2f} × {best}"
    if LOOP in rates:
        found += f"; kernel and event loop alone {rates[LOOP]:,.0f}/s"
    return Found.of(found, ratio >= 1.8, points[OURS].errors)


def image_binary(summary: Summary) -> Found:
    """CPU for an answer, ours over that of the model and an echo together."""
    ours, echo = summary.cheapest(OURS, "cnn", "binary"), summary.cheapest("limit-http", "cnn", "binary")
    compute = summary.compute.get("cnn")
    if ours is None or echo is None or compute is None:
        return _unknown()
    floor = compute.best + echo
    errors = summary.errors(OURS, "cnn", "binary")
    return Found.of(f"{ours:,.0f} µs, {ours / floor:.2f} × {floor:,.0f}", ours <= 1.1 * floor, errors)


def transformer(summary: Summary) -> Found:
    """CPU for an answer, ours over that of the model at our mean batch."""
    point, compute = summary.point(OURS, "minilm", "json", "closed", 32), summary.compute.get("minilm")
    ours = point.cpu_us() if point else None
    sizes = [one["mean_batch"] for one in point.records if one["mean_batch"]] if point else []
    if point is None or ours is None or compute is None or not sizes:
        return _unknown()
    size = sum(sizes) / len(sizes)
    floor = compute.at(size)
    found = f"{ours:,.0f} µs, {ours / floor:.2f} × {floor:,.0f} at a mean batch of {size:.1f}"
    return Found.of(found, ours <= 1.10 * floor, point.errors)


def tail(summary: Summary) -> Found:
    """Our p99 over that of the peer which answers most."""
    points = {name: summary.point(name, "tabular", "json", "best", 1024) for name in SERVERS}
    best = _fastest_peer(summary)
    ours, theirs = points[OURS], points.get(best or "")
    if ours is None or theirs is None:
        return _unknown()
    tails = ours.median("latency_ms", "p99"), theirs.median("latency_ms", "p99")
    rate = theirs.records[-1]["rate_asked"]
    found = f"{tails[0]:.2f} ms against {best}'s {tails[1]:.2f} ms at {rate:,.0f}/s"
    return Found.of(found, tails[0] <= tails[1] / 5, ours.errors)


def _fastest_peer(summary: Summary) -> str | None:
    rates = {
        key[0]: one.median("rate")
        for key, one in sorted(summary.points.items(), key=lambda item: item[1].median("rate"))
        if key[1:4] == ("tabular", "json", "closed") and is_peer(key[0])
    }
    return max(rates, key=lambda name: rates[name], default=None)


def overload(summary: Summary) -> Found:
    """What came in time over our best rate, and how the rest was told."""
    point = summary.point(OURS, "minilm", "json", "overload", 1024)
    if point is None:
        return _unknown()
    best = point.records[-1]["rate_asked"] / 2
    goodput = point.median("timely_inside") / point.median("seconds") / best
    slowest, refused = max(point.values("refusal_ms", "max")), point.values("refused")
    # Who is let in and then told that time is over was let in all the same.
    let_in = point.median("good") + point.median("expired")
    timely = point.median("timely") / let_in if let_in else 0.0
    found = (
        f"{goodput:.0%}, slowest of {sum(refused):,.0f} refusals {slowest:.1f} ms, "
        f"{timely:.1%} of those let in within it, p99 of answers {point.median('latency_ms', 'p99'):.0f} ms"
    )
    kept = goodput >= 0.95 and slowest <= 5 and timely >= 0.99 and point.median("refused") > 0
    return Found.of(found, kept, point.errors)


def refusal(summary: Summary) -> Found:
    """CPU of a refusal over that of an answer."""
    point, answer = summary.point(OURS, "tabular", "json", "refusal", 32), summary.cheapest(OURS, "tabular", "json")
    # Nothing can be done in their time; which of the two words says so is all the same here.
    refused = point.median("refused") + point.median("expired") if point is not None else 0.0
    if point is None or answer is None:
        return _unknown()
    if not refused:
        return _unknown("no request was refused")
    cost = point.median("cpu_seconds") / refused * 1e6
    found = f"{cost:.1f} µs against {answer:.1f} µs"
    alone = summary.cheapest(LOOP, "tabular", "json")
    if alone is not None:
        found += f"; kernel and event loop alone {alone:.1f} µs"
    return Found.of(found, cost <= answer / 2, point.errors + summary.errors(OURS, "tabular", "json"))


def mixed(summary: Summary) -> Found:
    """The rate with two shapes over that with one."""
    one = summary.point(OURS, "minilm", "json", "closed", 32)
    both = summary.point(OURS, "minilm-mixed", "json", "closed", 32)
    if one is None or both is None or not one.median("rate"):
        return _unknown()
    share = both.median("rate") / one.median("rate")
    return Found.of(f"{share:.0%}", share >= 0.9, one.errors + both.errors)


def connections(summary: Summary) -> Found:
    """CPU for an answer with many connections over that with few."""
    few, many = (summary.point(OURS, "tabular", "json", "closed", count) for count in (8, 1000))
    costs = few and few.cpu_us(), many and many.cpu_us()
    if not few or not many or not costs[0] or not costs[1]:
        return _unknown()
    found = f"{costs[0]:.1f} → {costs[1]:.1f} µs ({costs[1] / costs[0] - 1:+.0%})"
    return Found.of(found, costs[1] <= 1.15 * costs[0], few.errors + many.errors)


def memory(summary: Summary) -> Found:
    """What we hold beyond a process that has the model loaded and nothing else."""
    held, compute = summary.memory.get((OURS, "tabular")), summary.compute.get("tabular")
    if held is None or compute is None:
        return _unknown()
    beyond = (held[0] - compute.rss_mib) * 2**20 / 1e6
    return Found(f"{beyond:.0f} MB", beyond <= 120)


def soak(summary: Summary) -> Found:
    """By what our memory's median was more in the second half of many answers than in the first."""
    if summary.soak is None:
        return _unknown("run with --soak 10000000")
    held, good = summary.soak["rss_mib"], summary.soak["good"]
    middle = len(held) // 2
    first, last = statistics.median(held[:middle]), statistics.median(held[middle:])
    found = f"{first:.1f} → {last:.1f} MiB over {good:,} answers"
    found += f", {min(held):.1f} to {max(held):.1f} MiB in {len(held)} looks"
    return Found(found, last - first <= 1 if good >= SOAKED else None)


def metrics(summary: Summary) -> Found:
    """What counting takes of a request without sockets: of many in a turn of the loop and of one, whichever is more."""
    if not {"json", "json-uncounted", "json-alone", "json-alone-uncounted"} <= summary.inside.keys():
        return _unknown()
    many, one = (summary.inside[kind] - summary.inside[f"{kind}-uncounted"] for kind in ("json", "json-alone"))
    of_many, of_one = summary.inside["json"], summary.inside["json-alone"]
    found = f"{many:.1f} µs of {of_many:.1f} in turns of many, {one:.1f} of {of_one:.1f} alone"
    return Found(f"{found}; in process, without sockets", max(many, one) <= 2)
