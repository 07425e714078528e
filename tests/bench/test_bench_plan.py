import random

import pytest

from bench.plan import Choice, Point, points_of, visits
from bench.servers import OURS, SERVERS

MODELS = ("tabular", "gbdt", "minilm", "cnn")


def test_words_choose_models_protocols_and_servers() -> None:
    choice = Choice.of(["tabular", "json", "mosec", "tidegate"], MODELS)
    found = [(visit.server, visit.model) for visit in visits(choice, random.Random(1))]
    assert sorted(found) == [("mosec", "tabular"), ("tidegate", "tabular")]
    assert all(point.protocol == "json" for point in points_of("mosec", choice))


def test_an_unknown_word_is_named_with_what_there_is() -> None:
    with pytest.raises(
        ValueError,
        match=r"'jsn' is no model, protocol or server, nor a part.*protocols: binary, grpc, json.*parts: turns",
    ):
        Choice.of(["jsn"], MODELS)


def test_a_round_visits_every_server_of_a_model_once_in_an_order_of_its_own() -> None:
    shuffle = random.Random(3)
    orders = [[visit.server for visit in visits(Choice(), shuffle) if visit.model == "tabular"] for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(SERVERS)
    assert orders[0] != orders[1]


def test_a_thousand_connections_are_ours_alone() -> None:
    alone = Point("tabular", "json", "closed", 1000)
    assert [name for name in SERVERS if alone in points_of(name, Choice())] == [OURS]


def test_no_server_is_asked_over_a_protocol_that_it_lacks() -> None:
    assert {point.protocol for point in points_of("bentoml", Choice())} == {"json"}
    assert {point.protocol for point in points_of("limit-grpc", Choice())} == {"grpc"}


def test_rates_that_follow_are_run_afterwards() -> None:
    first = {point.kind for visit in visits(Choice(), random.Random(1)) for point in visit.points}
    after = {point.kind for visit in visits(Choice(), random.Random(1), later=True) for point in visit.points}
    assert (first, after) == ({"closed", "fixed"}, {"best", "overload", "refusal"})
