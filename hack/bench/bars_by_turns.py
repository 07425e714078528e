"""Bars as turns judge them: by the median over turns of a ratio within each; None where there are no turns. Pure."""

import statistics

from bench import comparisons
from bench.bars_by_rounds import Found
from bench.ratios import Compared, Ratio
from bench.servers import OURS
from bench.summary import LOOP, Summary, is_peer


def against(summary: Summary, comparison: str, bound: float) -> Found | None:
    """CPU for an answer, ours over that of the cheapest peer in the comparison."""
    one = summary.turns.get(comparison)
    peers = _peers(one)
    if one is None or not peers:
        return None
    best = max(peers, key=lambda name: peers[name].median)
    ratio = peers[best]
    return _found(one, f"{_ours(one, best):,.1f} µs, {ratio.median:.2f} × {best} {ratio.told}", ratio.median <= bound)


def one_client(summary: Summary) -> Found | None:
    """Our rate over that of the fastest peer."""
    one = summary.turns.get(comparisons.ONE_CLIENT)
    peers = _peers(one)
    if one is None or not peers:
        return None
    best = min(peers, key=lambda name: peers[name].median)
    ratio = peers[best]
    found = f"{_ours(one, best):,.0f}/s, {ratio.median:.2f} × {best} {ratio.told}"
    if alone := one.median(LOOP):
        found += f"; kernel and event loop alone {alone:,.0f}/s"
    return _found(one, found, ratio.median >= 1.8)


def image_binary(summary: Summary) -> Found | None:
    """CPU for an answer, ours over that of the model and an echo together."""
    one = summary.turns.get(comparisons.IMAGE_BINARY)
    floor = one.comparison.floor if one else ()
    ratio = one.ratio(_first(one), *floor) if one else None
    if one is None or ratio is None:
        return None
    ours = _ours(one, *floor)
    both = sum(one.median(side, _first(one), *floor) or 0.0 for side in floor)
    return _found(one, f"{ours:,.0f} µs, {ratio.median:.2f} × {both:,.0f} {ratio.told}", ratio.median <= 1.1)


def transformer(summary: Summary) -> Found | None:
    """CPU for an answer, ours over that of the model at the batch sizes that ours had."""
    one, ratio = _pair(summary, comparisons.TRANSFORMER)
    if one is None or ratio is None:
        return None
    alone = one.comparison.sides[1].name
    turns, _ = one.used(_first(one), alone)
    size = statistics.median(turn[alone]["batch"] for turn in turns)
    found = f"{_ours(one, alone):,.0f} µs, {ratio.median:.2f} × {alone} {ratio.told}, batches of {size:g}"
    return _found(one, found, ratio.median <= 1.10)


def tail(summary: Summary) -> Found | None:
    """Our p99 over that of the peer at whose pace both are asked."""
    one, ratio = _pair(summary, comparisons.TAIL)
    if one is None or ratio is None:
        return None
    ours, theirs = _both(one)
    peer = one.comparison.sides[1].name
    found = f"{ours:.2f} ms, {ratio.median:.3f} × {peer}'s {theirs:.1f} ms {ratio.told}"
    return _found(one, found, ratio.median <= 0.2)


def overload(summary: Summary) -> Found | None:
    """What came in time over what a closed loop got in the same turn, and how the rest was told."""
    one, ratio = _pair(summary, comparisons.OVERLOAD)
    if one is None or ratio is None:
        return None
    turns, _ = one.used(*(side.name for side in one.comparison.sides))
    results = [turn[_first(one)]["result"] for turn in turns]
    slowest = max(result["refusal_ms"]["max"] for result in results)
    refused = [result["refused"] for result in results]
    # Who is let in and then told that time is over was let in all the same.
    let_in = sum(result["good"] + result["expired"] for result in results)
    timely = sum(result["timely"] for result in results) / let_in if let_in else 0.0
    tail = statistics.median(result["latency_ms"]["p99"] for result in results)
    found = (
        f"{ratio.median:.0%} {ratio.told}, slowest of {sum(refused):,} refusals {slowest:.1f} ms, "
        f"{timely:.1%} of those let in within it, p99 of answers {tail:.0f} ms"
    )
    kept = ratio.median >= 0.95 and slowest <= 5 and timely >= 0.99 and statistics.median(refused) > 0
    return _found(one, found, kept)


def refusal(summary: Summary) -> Found | None:
    """CPU of a refusal over that of an answer."""
    one, ratio = _pair(summary, comparisons.REFUSALS)
    if one is None or ratio is None:
        return None
    cost, answer = _both(one)
    found = f"{cost:.1f} µs, {ratio.median:.2f} × {answer:.1f} {ratio.told}"
    if alone := one.median(LOOP):
        found += f"; kernel and event loop alone {alone:.1f} µs"
    return _found(one, found, ratio.median <= 0.5)


def mixed(summary: Summary) -> Found | None:
    """The rate with two shapes over that with one."""
    one, ratio = _pair(summary, comparisons.SHAPES)
    if one is None or ratio is None:
        return None
    return _found(one, f"{ratio.median:.0%} {ratio.told}", ratio.median >= 0.9)


def connections(summary: Summary) -> Found | None:
    """CPU for an answer with many connections over that with few."""
    one, ratio = _pair(summary, comparisons.CONNECTIONS)
    if one is None or ratio is None:
        return None
    many, few = _both(one)
    return _found(one, f"{few:.1f} → {many:.1f} µs ({ratio.median - 1:+.0%}) {ratio.told}", ratio.median <= 1.15)


def _found(one: Compared, text: str, kept: bool) -> Found:
    """Any turn's wrong answer counts, a disturbed one's too."""
    return Found.of(text, kept, sum(one.errors(side.name) for side in one.comparison.sides if side.server == OURS))


def _first(one: Compared) -> str:
    return one.comparison.sides[0].name


def _pair(summary: Summary, comparison: str) -> tuple[Compared | None, Ratio | None]:
    """A comparison, and the ratio of its first side to its second."""
    one = summary.turns.get(comparison)
    return one, one.ratio(_first(one), one.comparison.sides[1].name) if one else None


def _peers(one: Compared | None) -> dict[str, Ratio]:
    """Ours over each peer that there are turns of."""
    if one is None:
        return {}
    names = [name for name in one.sides() if is_peer(name)]
    return {name: ratio for name in names if (ratio := one.ratio(_first(one), name))}


def _ours(one: Compared, *beside: str) -> float:
    return one.median(_first(one), *beside) or 0.0


def _both(one: Compared) -> tuple[float, float]:
    """The figures of a comparison's first two sides."""
    first, second = (side.name for side in one.comparison.sides[:2])
    return one.median(first, second) or 0.0, one.median(second, first) or 0.0
