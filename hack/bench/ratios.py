"""What turns say: the ratio within each, and the median of those. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.comparisons import CATALOGUE, CPU, P99, RATE, Comparison
from bench.results import Record, quiet

Turn = Mapping[str, Record]
"""The records of one turn by their sides."""


@dataclass(frozen=True)
class Ratio:
    """The median over turns of a ratio within each, its quartiles, and how many turns there were."""

    median: float
    low: float
    high: float
    turns: int
    noisy: bool
    """No turn was quiet, so that all were used."""

    @property
    def told(self) -> str:
        """`in 15 turns`, with what is to be said of them."""
        counted = f"in {self.turns} turn{'s' if self.turns > 1 else ''}"
        return f"{counted}, none quiet" if self.noisy else counted


@dataclass(frozen=True)
class Compared:
    """A comparison's turns, in the order in which they were made."""

    comparison: Comparison
    turns: Sequence[Turn]
    steal_bound: float

    def used(self, side: str, *beside: str) -> tuple[list[Turn], bool]:
        """The turns in which a side has a figure and those beside it have one that isn't 0.

        Of those the ones in which all of these sides were quiet; or all of them, where none was, and True.
        """
        whole = [
            turn
            for turn in self.turns
            if self._figure(turn, side) is not None and all(self._figure(turn, one) for one in beside)
        ]
        calm = [turn for turn in whole if all(undisturbed(turn[one], self.steal_bound) for one in (side, *beside))]
        return calm or whole, not calm

    def ratio(self, over: str, *under: str) -> Ratio | None:
        """One side's figure over another's, or over the sum of several; None without a turn that has all of them."""
        turns, noisy = self.used(over, *under)
        found = [(self._figure(turn, over) or 0) / sum(self._figure(turn, one) or 0 for one in under) for turn in turns]
        if not found:
            return None
        low, _, high = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
        return Ratio(statistics.median(found), low, high, len(found), noisy)

    def median(self, side: str, *beside: str, by: str | None = None) -> float | None:
        """The middle of a side's own figures in the turns that are used for it and the sides beside it."""
        turns, _ = self.used(side, *beside)
        found = [value for turn in turns if (value := figure(turn[side], by or self.comparison.by)) is not None]
        return statistics.median(found) if found else None

    def errors(self, side: str) -> int:
        """Answers that were wrong or missing, in all turns."""
        results = [turn[side].get("result", {}) for turn in self.turns if side in turn]
        return sum(sum(result.get("errors", {}).values()) for result in results)

    def sides(self) -> list[str]:
        """Those with a record, in the comparison's order."""
        return [side.name for side in self.comparison.sides if any(side.name in turn for turn in self.turns)]

    def servers(self) -> set[str]:
        """Those with a record."""
        return {record["server"] for turn in self.turns for record in turn.values()}

    def _figure(self, turn: Turn, side: str) -> float | None:
        return figure(turn[side], self.comparison.by) if side in turn else None


def figure(record: Record, by: str) -> float | None:
    """CPU microseconds of the server for an answer, answers a second, or p99 in ms; None without answers, or a server.

    Of a refusal the answers are those that say so; of overload a second has the ones that came within their deadline
    and while requests were sent: what waits then and is answered later is no part of a second's work.
    """
    if "result" not in record:
        return record["cpu_us"] if by == CPU else None
    result = record["result"]
    refused = result["refused"] + result["expired"]
    if by == P99:
        return float(result["latency_ms"]["p99"]) if result["good"] else None
    if by == RATE:
        match record["load"]:
            case "refusal":
                return float(refused / result["seconds"])
            case "overload":
                return float(result["timely_inside"] / result["seconds"])
        return float(result["rate"])
    answers = refused if record["load"] == "refusal" else result["good"]
    return result["cpu_seconds"] / answers * 1e6 if answers else None


def undisturbed(record: Record, steal_bound: float) -> bool:
    """Whether a side's turn was quiet, by the rule for points; where there was no generator it wasn't late."""
    return quiet(record, steal_bound) if "result" in record else bool(record["steal"] <= steal_bound)


def compared(records: Iterable[Record], steal_bound: float) -> dict[str, Compared]:
    """By comparison, of those in the catalogue; turns of several runs are put after one another."""
    found: dict[str, dict[tuple[int, int], dict[str, Record]]] = {}
    run = 0
    for record in records:
        if record["kind"] == "machine":
            run += 1
        elif record["kind"] == "turn" and record["comparison"] in CATALOGUE:
            turns = found.setdefault(record["comparison"], {})
            turns.setdefault((run, record["turn"]), {})[record["side"]] = record
    return {
        name: Compared(one, tuple(found[name].values()), steal_bound)
        for name, one in CATALOGUE.items()
        if name in found
    }
