"""What a soak prints: a line now and then, a table at the end. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from soak.tally import Tally

MIB: Final = 2**20
ROWS: Final = 12
"""Of the table of memory."""


class Sample(NamedTuple):
    """Seconds since the beginning, requests that have ended by then, and the server's resident bytes."""

    seconds: float
    done: int
    rss: int


def line(samples: Sequence[Sample], count: int, tally: Tally) -> str:
    """How far it is."""
    before, at = samples[-2], samples[-1]
    rate = (at.done - before.done) / (at.seconds - before.seconds)
    wrong = sum(tally.wrong.values())
    return (
        f"{at.seconds:6.0f} s {at.done:>10,} of {count:,} {rate:>7,.0f}/s  RSS {at.rss / MIB:6.1f} MiB  wrong {wrong}"
    )


def table(samples: Sequence[Sample], tally: Tally) -> str:
    """What came of it, in Markdown."""
    kinds = sorted({*tally.good, *tally.refused, *tally.wrong})
    rows = ["", "| kind | right | refused (429) | wrong |", "| --- | ---: | ---: | ---: |"]
    rows += [f"| {kind} | {tally.good[kind]:,} | {tally.refused[kind]:,} | {tally.wrong[kind]:,} |" for kind in kinds]
    rows += [f"| left by its client: {kind} | {count:,} | | |" for kind, count in sorted(tally.left.items())]
    good, refused, wrong = (sum(counter.values()) for counter in (tally.good, tally.refused, tally.wrong))
    rows += [f"| all {tally.done:,} | {good + sum(tally.left.values()):,} | {refused:,} | {wrong:,} |", ""]
    rows += ["| seconds | requests | RSS, MiB |", "| ---: | ---: | ---: |"]
    last = len(samples) - 1
    chosen = sorted({round(index * last / (ROWS - 1)) for index in range(ROWS)})
    rows += [f"| {at.seconds:.0f} | {at.done:,} | {at.rss / MIB:.1f} |" for at in (samples[index] for index in chosen)]
    return "\n".join([*rows, *(["", *tally.shown] if tally.shown else [])])
