"""Every bar of answers, kept with room to spare, and then one wrong answer in a load that it is judged by."""

from typing import Any

import pytest

from bench import comparisons
from bench.bars import judged
from bench.summary import Summary

from .recorded import Record, alone, latency, point, turn

WRONG = {"wrong": 1}
TOLD = "1 of our answers wrong or missing"
Load = tuple[str, str, str, int]
"""Model, protocol, kind and connections of a point."""

TINY: Load = ("tabular", "json", "closed", 32)
LONE: Load = ("tabular", "json", "closed", 1)
WORDS: Load = ("minilm", "json", "closed", 32)
BY_ROUNDS: dict[str, list[Load]] = {
    "tabular JSON, CPU": [TINY, LONE],
    "tabular binary, CPU": [("tabular", "binary", "closed", 32)],
    "tabular JSON, one client, rate": [LONE],
    "image JSON, CPU": [("cnn", "json", "closed", 32)],
    "image, binary, CPU": [("cnn", "binary", "closed", 32)],
    "transformer, 32 clients, CPU": [WORDS],
    "tabular gRPC, CPU": [("tabular", "grpc", "closed", 32)],
    "tabular JSON, p99 at 80 % of the best peer's best rate": [("tabular", "json", "best", 1024)],
    "transformer at twice the best rate": [("minilm", "json", "overload", 1024)],
    "tabular JSON, CPU of a refusal": [("tabular", "json", "refusal", 32), TINY],
    "transformer, shapes A,B,A,B, rate": [("minilm-mixed", "json", "closed", 32), WORDS],
    "tabular JSON, CPU at 1,000 connections against 8": [
        ("tabular", "json", "closed", 1000),
        ("tabular", "json", "closed", 8),
    ],
}
BY_TURNS: dict[str, tuple[str, list[str]]] = {
    "tabular JSON, CPU": (comparisons.TABULAR_JSON, ["tidegate"]),
    "tabular binary, CPU": (comparisons.TABULAR_BINARY, ["tidegate"]),
    "tabular JSON, one client, rate": (comparisons.ONE_CLIENT, ["tidegate"]),
    "image JSON, CPU": (comparisons.IMAGE_JSON, ["tidegate"]),
    "image, binary, CPU": (comparisons.IMAGE_BINARY, ["tidegate"]),
    "transformer, 32 clients, CPU": (comparisons.TRANSFORMER, ["tidegate"]),
    "tabular gRPC, CPU": (comparisons.TABULAR_GRPC, ["tidegate"]),
    "tabular JSON, p99 at 80 % of the best peer's best rate": (comparisons.TAIL, ["tidegate"]),
    "transformer at twice the best rate": (comparisons.OVERLOAD, ["twice the rate", "32 clients"]),
    "tabular JSON, CPU of a refusal": (comparisons.REFUSALS, ["a refusal", "an answer"]),
    "transformer, shapes A,B,A,B, rate": (comparisons.SHAPES, ["two shapes", "one shape"]),
    "tabular JSON, CPU at 1,000 connections against 8": (
        comparisons.CONNECTIONS,
        ["1,000 connections", "8 connections"],
    ),
}


def answered(server: str, load: Load, **more: Any) -> Record:
    """Ours are a fifth as dear as others' and fifty times as fast; an overload is at twice the 1,000 that all get."""
    ours = server == "tidegate"
    told: dict[str, Any] = {"rate": 50_000.0 if ours else 1000.0, "cpu_us": 20.0 if ours else 100.0}
    told |= {"latency_ms": latency(1.0, 1.0 if ours else 10.0)}
    match load[2]:
        case "overload":
            told |= {"refused": 100}
        case "refusal":
            told |= {"good": 0, "refused": 1000, "cpu_seconds": 0.001}
    kept = point(server, model=load[0], protocol=load[1], load=load[2], connections=load[3], **{**told, **more})
    return {**kept, "mean_batch": 4.0, "rate_asked": 2000.0}


def found(what: str, records: list[Record]) -> tuple[bool | None, str]:
    [one] = [one for one in judged(Summary.of(records, 0.05)) if one.what == what]
    return one.passed, one.found


def rounds(wrong: Load | None = None) -> list[Record]:
    loads = dict.fromkeys(load for loads in BY_ROUNDS.values() for load in loads)
    peers = [answered(server, load) for server in ("mosec", "pytriton", "limit-http") for load in loads]
    models = [{**alone(100.0), "kind": "compute", "model": name, "rss_mib": 60.0} for name in ("cnn", "minilm")]
    return [*(answered("tidegate", load, errors=WRONG if load == wrong else {}) for load in loads), *peers, *models]


def turns_of(comparison: str, wrong: str = "") -> list[Record]:
    """Two turns, of which the second was disturbed and has the wrong answer."""
    made = []
    for side in comparisons.CATALOGUE[comparison].sides:
        load = (side.point.model, side.point.protocol, side.point.kind, side.point.connections)
        for number, steal in enumerate((0.0, 0.5)):
            errors = WRONG if side.name == wrong and number else {}
            # An overload has as much as the closed loop of ours that it is held against.
            record = answered(side.server, load, steal=steal, errors=errors, good=50_000)
            record = alone(100.0, steal=steal) if side.server == comparisons.ALONE else record
            made.append(turn(comparison, side.name, number, record))
    return made


@pytest.mark.parametrize(("what", "load"), [(what, load) for what, loads in BY_ROUNDS.items() for load in loads])
def test_no_bar_passes_with_a_wrong_answer_of_ours(what: str, load: Load) -> None:
    assert found(what, rounds())[0] is True
    passed, told = found(what, rounds(load))
    assert (passed, told.endswith(TOLD)) == (False, True)


@pytest.mark.parametrize(
    ("what", "comparison", "side"),
    [(what, comparison, side) for what, (comparison, sides) in BY_TURNS.items() for side in sides],
)
def test_no_bar_passes_with_a_wrong_answer_of_ours_in_any_turn(what: str, comparison: str, side: str) -> None:
    assert found(what, turns_of(comparison))[0] is True
    passed, told = found(what, turns_of(comparison, side))
    assert (passed, told.endswith(TOLD)) == (False, True)


def test_a_wrong_answer_of_a_peer_takes_no_bar_from_us() -> None:
    assert found("tabular JSON, CPU", turns_of(comparisons.TABULAR_JSON, "mosec"))[0] is True


def test_every_bar_of_answers_is_tried() -> None:
    measured_otherwise = {
        "tabular JSON, CPU of all metrics on against off",
        "resident memory beyond model and ONNX Runtime",
        "resident memory over 10 M requests",
    }
    assert {one.what for one in judged(Summary.of([], 0.05))} - measured_otherwise == BY_ROUNDS.keys()
