"""What is compared in turn: sides that are all up at once and loaded one after the other, many times. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from bench.plan import Choice, Point
from bench.servers import OURS

ALONE = "onnxruntime"
"""In a record, the server of a side that is none: ONNX Runtime in a loop."""
CPU, RATE, P99 = "cpu", "rate", "p99"


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        name: within its comparison.
        server: one of `SERVERS`, or `ALONE`.
        point: how it is loaded; of `ALONE` the model counts.
        follows: the side whose figures of the same turn this one needs, so that it is measured right after it: twice
            its rate for `overload`, four fifths of it for `best`, its mean batch, rounded, for `ALONE`. Without it
            `ALONE` runs at the batch size that costs least.
    """

    name: str
    server: str
    point: Point
    follows: str = ""


@dataclass(frozen=True)
class Comparison:
    """Sides that are compared, the one that is judged first.

    Attributes:
        name: in results and on the page.
        sides: two at least.
        seconds: a turn of each side.
        by: which figure its ratios are of: `CPU` of an answer, `RATE`, or the latencies' `P99`.
        one_in: of so many turns that are asked for one is made, as each is long.
        floor: the sides whose figures together are what the first is held against, if those are several.
    """

    name: str
    sides: tuple[Side, ...]
    seconds: float = 1.0
    by: str = CPU
    one_in: int = 1
    floor: tuple[str, ...] = ()

    def turns(self, asked: int) -> int:
        """How many are made, at least one."""
        return max(1, asked // self.one_in)

    def order(self, turn: int) -> list[Side]:
        """The sides of a turn, the other way round in every second one; who follows a side comes right behind it."""
        ordered = self.sides if turn % 2 == 0 else self.sides[::-1]
        return [
            side
            for leader in ordered
            if not leader.follows
            for side in (leader, *(one for one in ordered if one.follows == leader.name))
        ]

    def only(self, taken: Callable[[Side], bool]) -> "Comparison | None":
        """With some of its sides; None if the first isn't among them, or nobody else is."""
        sides = tuple(side for side in self.sides if taken(side))
        names = {side.name for side in sides}
        sides = tuple(side for side in sides if not side.follows or side.follows in names)
        return replace(self, sides=sides) if len(sides) > 1 and sides[0] == self.sides[0] else None


def chosen(comparisons: Iterable[Comparison], choice: Choice) -> list[Comparison]:
    """Those with the sides that a command line chose; ONNX Runtime alone is taken wherever we are."""

    def taken(side: Side) -> bool:
        return choice.takes(OURS if side.server == ALONE else side.server, side.point)

    return [one for one in (comparison.only(taken) for comparison in comparisons) if one]


def _each(point: Point, *servers: str) -> tuple[Side, ...]:
    return tuple(Side(server, server, point) for server in servers)


def _ours(name: str, point: Point, follows: str = "") -> Side:
    return Side(name, OURS, point, follows)


def _at_its_best(server: str, follows: str) -> Side:
    return Side(server, server, Point("tabular", "json", "best"), follows)


def _alone(model: str, protocol: str, follows: str = "") -> Side:
    return Side("ONNX Runtime", ALONE, Point(model, protocol, "alone", 1), follows)


TABULAR_JSON, TABULAR_BINARY, TABULAR_GRPC = "tabular JSON", "tabular binary", "tabular gRPC"
ONE_CLIENT = "tabular JSON, one client"
IMAGE_JSON, IMAGE_BINARY, TRANSFORMER = "image JSON", "image binary", "transformer"
REFUSALS, SHAPES, CONNECTIONS, OVERLOAD = "refusals", "shapes A,B,A,B", "connections", "overload"
TAIL = "tabular JSON at 80 % of mosec's rate"

_TINY = Point("tabular", "json", connections=32)
_WORDS = Point("minilm", "json", connections=32)
# A thousand connections take a tenth of a second to open, which is part of the turn; a slow model needs longer for
# as many answers. Open loops are as long as in rounds: a queue takes its time to grow, and of an overload the last
# batch, of a tenth of a second, isn't over when the turn is.
_CROWD_SECONDS, _SLOW_SECONDS, _TAIL_SECONDS, _OVERLOAD_SECONDS = 4.0, 3.0, 4.0, 10.0
_CLOSED = "mosec, 128 clients"

COMPARISONS = (
    Comparison(TABULAR_JSON, _each(_TINY, OURS, "mosec")),
    Comparison(TABULAR_BINARY, _each(replace(_TINY, protocol="binary"), OURS, "mosec")),
    Comparison(ONE_CLIENT, _each(replace(_TINY, connections=1), OURS, "mosec", "naive", "limit-socket"), by=RATE),
    Comparison(IMAGE_JSON, _each(Point("cnn", "json", connections=32), OURS, "naive", "mosec"), seconds=_SLOW_SECONDS),
    Comparison(
        IMAGE_BINARY,
        (*_each(Point("cnn", "binary", connections=32), OURS, "limit-http"), _alone("cnn", "binary")),
        seconds=_SLOW_SECONDS,
        floor=("ONNX Runtime", "limit-http"),
    ),
    Comparison(TRANSFORMER, (*_each(_WORDS, OURS), _alone("minilm", "json", OURS)), seconds=_SLOW_SECONDS),
    Comparison(TABULAR_GRPC, _each(replace(_TINY, protocol="grpc"), OURS, "pytriton")),
    Comparison(
        REFUSALS,
        (
            _ours("a refusal", Point("tabular", "json", "refusal", 32)),
            _ours("an answer", _TINY),
            *_each(_TINY, "limit-socket"),
        ),
    ),
    Comparison(
        SHAPES,
        (_ours("two shapes", replace(_WORDS, model="minilm-mixed")), _ours("one shape", _WORDS)),
        seconds=_SLOW_SECONDS,
        by=RATE,
    ),
    Comparison(
        CONNECTIONS,
        (
            _ours("1,000 connections", replace(_TINY, connections=1000)),
            _ours("8 connections", replace(_TINY, connections=8)),
        ),
        seconds=_CROWD_SECONDS,
    ),
    Comparison(
        OVERLOAD,
        (
            _ours("twice the rate", Point("minilm", "json", "overload"), follows="32 clients"),
            _ours("32 clients", _WORDS),
        ),
        seconds=_OVERLOAD_SECONDS,
        by=RATE,
        one_in=3,
    ),
    Comparison(
        TAIL,
        (
            _at_its_best(OURS, _CLOSED),
            _at_its_best("mosec", _CLOSED),
            Side(_CLOSED, "mosec", replace(_TINY, connections=128)),
        ),
        seconds=_TAIL_SECONDS,
        by=P99,
    ),
)
CATALOGUE: Mapping[str, Comparison] = {one.name: one for one in COMPARISONS}
