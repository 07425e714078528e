"""What is measured: the points, which of them a command line chose, and in which order they are run. Pure."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.servers import OURS, PROTOCOLS, SERVERS

# Rates that no server is favoured by, for the open loop that ranks all of them.
FIXED_RATES: Mapping[str, float] = {"tabular": 400.0, "minilm": 40.0}
# Of the best peer's best rate: where p99 is compared.
SHARE_OF_BEST = 0.8
OVERLOAD = 2.0
# Of an overloaded request, so that waiting in a queue for ever isn't an answer.
OVERLOAD_DEADLINE_SECONDS = 0.5
# A part of a run that a word can ask for by itself: the comparisons in turn.
TURNS = "turns"
QUICK_SERVERS = (OURS, "mosec", "naive", "limit-socket", "limit-http")


@dataclass(frozen=True, order=True)
class Point:
    """One load on one model over one protocol.

    Attributes:
        model: its name.
        protocol: json, binary or grpc.
        kind: `closed`; `fixed`, an open loop at `rate`; `best`, one at a share of the best peer's best rate;
            `overload`, one at twice our own best rate, with deadlines; `refusal`, a closed loop of requests that
            can't be answered in time; `alone`, no load at all, but ONNX Runtime in a loop.
        connections: always in use in a closed loop, at most in an open one.
        rate: requests a second, for `fixed`.
    """

    model: str
    protocol: str
    kind: str = "closed"
    connections: int = 1024
    rate: float = 0.0

    @property
    def name(self) -> str:
        """Short, and the same in results, tables and progress."""
        load = {"closed": f"c={self.connections}", "fixed": f"{self.rate:g}/s"}.get(self.kind, self.kind)
        return f"{self.model} {self.protocol} {load}"


def _closed(model: str, protocol: str, *connections: int) -> list[Point]:
    return [Point(model, protocol, "closed", count) for count in connections]


EVERYONE: tuple[Point, ...] = (
    *(point for protocol in PROTOCOLS for point in _closed("tabular", protocol, 1, 8, 32, 128)),
    Point("tabular", "json", "fixed", rate=FIXED_RATES["tabular"]),
    *_closed("gbdt", "json", 32),
    *_closed("minilm", "json", 1, 8, 32),
    *_closed("minilm", "grpc", 32),
    Point("minilm", "json", "fixed", rate=FIXED_RATES["minilm"]),
    *_closed("cnn", "json", 32),
    *_closed("cnn", "binary", 32),
    *_closed("cnn", "grpc", 32),
)
OURS_ALONE: tuple[Point, ...] = (*_closed("tabular", "json", 1000), *_closed("minilm-mixed", "json", 32))
# Their rates follow from the points above, so they are run after them.
LATER: tuple[Point, ...] = (Point("tabular", "json", "best"),)
LATER_OURS: tuple[Point, ...] = (Point("minilm", "json", "overload"), Point("tabular", "json", "refusal", 32))


@dataclass(frozen=True)
class Choice:
    """What a command line asked for; an empty set means all, but of `parts`, where `turns` is those alone."""

    models: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str], models: Iterable[str]) -> "Choice":
        """Sort the words into models, protocols, servers and parts of a run.

        Raises:
            ValueError: names the word that is none of them, and what there is.
        """
        known = {
            "models": frozenset(models),
            "protocols": frozenset(PROTOCOLS),
            "servers": frozenset(SERVERS),
            "parts": frozenset({TURNS}),
        }
        chosen: dict[str, set[str]] = {kind: set() for kind in known}
        for word in words:
            kinds = [kind for kind, names in known.items() if word in names]
            if not kinds:
                listed = "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in known.items())
                raise ValueError(f"{word!r} is no model, protocol or server, nor a part of a run. {listed}")
            chosen[kinds[0]].add(word)
        return cls(**{kind: frozenset(names) for kind, names in chosen.items()})

    def takes(self, server: str, point: Point) -> bool:
        """Whether a server is to be measured at a point."""
        return (
            (not self.models or point.model in self.models)
            and (not self.protocols or point.protocol in self.protocols)
            and (not self.servers or server in self.servers)
        )


def points_of(server: str, choice: Choice, *, later: bool = False) -> list[Point]:
    """A server's points that can be tried, in order; `later` for those whose rates the others decide."""
    every, ours = (LATER, LATER_OURS) if later else (EVERYONE, OURS_ALONE)
    points = (*every, *ours) if server == OURS else every
    entry = SERVERS[server]
    limit = server.startswith("limit-")
    return [
        point
        for point in points
        if choice.takes(server, point)
        and entry.form(point.model, point.protocol) is not None
        # A limit answers no model: one body size per model is measured, one client alone and its best concurrency.
        and not (limit and (point.kind != "closed" or point.model not in ("tabular", "cnn") or point.connections == 8))
        # Raw bodies hold one tensor, and the transformer takes two.
        and not (point.model.startswith("minilm") and point.protocol == "binary")
    ]


@dataclass(frozen=True)
class Visit:
    """One start of a server in a round, and the points it is measured at."""

    server: str
    model: str
    points: tuple[Point, ...]


def visits(choice: Choice, shuffle: random.Random, *, later: bool = False) -> list[Visit]:
    """One round: every model in turn, all its servers in random order."""
    by_model: dict[str, dict[str, list[Point]]] = {}
    for server in SERVERS:
        for point in points_of(server, choice, later=later):
            by_model.setdefault(point.model, {}).setdefault(server, []).append(point)
    made = []
    for model, servers in by_model.items():
        names = list(servers)
        shuffle.shuffle(names)
        made += [Visit(name, model, tuple(servers[name])) for name in names]
    return made


def quick(points: Sequence[Point]) -> list[Point]:
    """The few points of `--quick`."""
    return [point for point in points if point.kind == "best" or point.connections in (1, 32)]
