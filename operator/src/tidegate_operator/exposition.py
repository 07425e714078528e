"""Pages in Prometheus' text format, as far as whoever reads them needs them. Pure.

Only the families that are asked for are parsed: a page is mostly others, and reading all of it by
`prometheus_client.parser` costs ten times as much, for each pod every other second.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

MAX_VALUE = 2.0**53
"""Numbers above this aren't exact, and no honest page has them."""
MAX_SAMPLES = 1000
"""Samples of the families asked for that a page may have."""


class Malformed(ValueError):
    """A page that isn't the one it should be."""


class Sample(NamedTuple):
    """One line: what is counted, of whom, and how many."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(page: str, names: Iterable[str]) -> Iterator[Sample]:
    """The page's samples that are called by one of `names`, in its order.

    Raises Malformed where a value isn't a number from 0 to 2^53, or where they are more than `MAX_SAMPLES`.
    """
    for count, (name, labels, text) in enumerate(_pattern(tuple(names)).findall(page)):
        if count > MAX_SAMPLES:
            raise Malformed(f"more than {MAX_SAMPLES} samples")
        yield Sample(name, dict(_LABEL.findall(labels)), _number(name, text))


def histograms(buckets: Iterable[Sample]) -> list[dict[float, int]]:
    """Of `_bucket` samples, each labels' cumulative counts by upper bound, in rising order.

    Raises Malformed where a bound isn't a positive number, or counts fall from one to the next.
    """
    found: dict[tuple[tuple[str, str], ...], dict[float, int]] = {}
    for name, labels, value in buckets:
        others = tuple(sorted((label, text) for label, text in labels.items() if label != "le"))
        found.setdefault(others, {})[_bound(name, labels.get("le", ""))] = int(value)
    rising = [dict(sorted(series.items())) for series in found.values()]
    for series in rising:
        below = 0
        for upper, count in series.items():
            if count < below:
                raise Malformed(f"a histogram falls from {below} to {count} at le={upper:g}")
            below = count
    return rising


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"^({'|'.join(names)})(?:\{{(.*)\}})?[ \t]+(\S+)(?:[ \t]+\S+)?[ \t]*$", re.M)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_VALUE:
        raise Malformed(f"{name} is {text[:40]!r}, not a number from 0 to 2^53")
    return value


def _bound(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise Malformed(f"{name} has le={text[:40]!r}, not a positive number")
    return value
