from dataclasses import replace

import pytest

from bench import comparisons
from bench.comparisons import ALONE, CATALOGUE, COMPARISONS, chosen
from bench.models import MODELS
from bench.plan import Choice
from bench.servers import OURS, SERVERS


def names(*words: str) -> list[str]:
    return [one.name for one in chosen(COMPARISONS, Choice.of(words, MODELS))]


def sides(comparison: str, *words: str) -> list[str]:
    found = {one.name: one for one in chosen(COMPARISONS, Choice.of(words, MODELS))}
    return [side.name for side in found[comparison].sides]


def test_without_words_all_is_compared() -> None:
    assert chosen(COMPARISONS, Choice.of(["turns"], MODELS)) == list(COMPARISONS)


def test_words_leave_out_comparisons_of_other_models_and_protocols() -> None:
    assert names("turns", "tabular", "json") == [
        *(comparisons.TABULAR_JSON, comparisons.ONE_CLIENT),
        *(comparisons.REFUSALS, comparisons.CONNECTIONS, comparisons.TAIL),
    ]
    assert names("cnn") == [comparisons.IMAGE_JSON, comparisons.IMAGE_BINARY]
    assert names("minilm", "binary") == []


def test_sides_of_servers_that_arent_chosen_are_left_out() -> None:
    assert sides(comparisons.ONE_CLIENT, OURS, "naive") == [OURS, "naive"]
    assert names("mosec", "naive") == []


def test_onnx_runtime_alone_needs_no_word() -> None:
    assert sides(comparisons.TRANSFORMER, OURS) == [OURS, "ONNX Runtime"]


def test_a_comparison_of_one_side_is_none() -> None:
    assert names(OURS, "tabular", "grpc") == []


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda one: one.name)
def test_every_side_can_be_measured_and_what_it_follows_is_there(comparison: comparisons.Comparison) -> None:
    every = [side.name for side in comparison.sides]
    assert len(set(every)) == len(every) > 1
    assert {side.follows for side in comparison.sides} - {""} <= set(every)
    assert set(comparison.floor) <= set(every)
    assert CATALOGUE[comparison.name] is comparison
    for side in comparison.sides:
        if side.server != ALONE:
            assert SERVERS[side.server].form(side.point.model, side.point.protocol) is not None


def test_every_other_turn_is_the_other_way_round() -> None:
    one = CATALOGUE[comparisons.ONE_CLIENT]
    there = [OURS, "mosec", "naive", "limit-socket"]
    assert [[side.name for side in one.order(turn)] for turn in range(3)] == [there, there[::-1], there]


@pytest.mark.parametrize("turn", [0, 1])
def test_who_needs_anothers_figures_comes_right_after_it_in_either_order(turn: int) -> None:
    one = CATALOGUE[comparisons.OVERLOAD]
    assert [side.name for side in one.order(turn)] == ["32 clients", "twice the rate"]


@pytest.mark.parametrize(("turn", "servers"), [(0, [OURS, "mosec"]), (1, ["mosec", OURS])])
def test_tails_are_compared_at_the_pace_that_the_peer_has_just_had(turn: int, servers: list[str]) -> None:
    leader, *others = CATALOGUE[comparisons.TAIL].order(turn)
    assert (leader.server, leader.point.kind) == ("mosec", "closed")
    assert [(side.server, side.point.kind) for side in others] == [(server, "best") for server in servers]


def test_who_follows_a_side_that_failed_is_left_out_with_it() -> None:
    one = CATALOGUE[comparisons.TRANSFORMER]
    first, alone = one.sides
    three = replace(one, sides=(first, replace(first, name="other"), replace(alone, follows="other")))
    left = three.only(lambda side: side.name != "ONNX Runtime")
    assert left is not None
    assert [side.name for side in left.sides] == [OURS, "other"]
    assert three.only(lambda side: side.name != "other") is None


def test_long_turns_are_fewer_but_one_at_least() -> None:
    overload, tabular = CATALOGUE[comparisons.OVERLOAD], CATALOGUE[comparisons.TABULAR_JSON]
    assert [overload.turns(asked) for asked in (15, 3, 1)] == [5, 1, 1]
    assert tabular.turns(15) == 15
