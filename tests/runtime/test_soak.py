"""The soak's judges: they take the answer to a request and no other; and a short soak."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from soak.asking import LAYOUTS, Asked, alike, draw, packed, spell
from soak.exchanges import BINARY, LENGTH, Answer, Exchange, make
from soak.page import Ways

HEADERS = {"date": "now", "content-type": "application/json", "content-length": "1"}


def exchanges(kind: str, count: int) -> list[tuple[Asked, Exchange]]:
    """The first of that kind, each with what it asks for."""
    found = []
    for number in range(10_000):
        asked, exchange = draw(Random(number), number), make(Random(number), number)
        if exchange.kind == kind:
            found.append((asked, exchange))
    return found[:count]


def answer(asked: Asked, **members: Any) -> Answer:
    output = {"name": "y", "datatype": asked.model.datatype, "shape": asked.shape, "data": asked.expected}
    document = {"model_name": asked.model.name, "model_version": "1", "outputs": [output]}
    named = {"id": asked.id} if asked.id else {}
    return Answer(200, HEADERS, orjson.dumps(document | named | members))


def binary_answer(asked: Asked) -> Answer:
    blob = packed(asked.expected, asked.model.datatype)
    output = {"name": "y", "shape": asked.shape, "parameters": {"binary_data_size": len(blob)}}
    text = orjson.dumps({"model_name": asked.model.name, "outputs": [output]})
    return Answer(200, HEADERS | {"content-type": BINARY, LENGTH: str(len(text))}, text + blob)


@pytest.mark.parametrize("kind", ["hot", "cold", "chunked"])
def test_a_judge_takes_the_answer_to_its_request_and_no_other(kind: str) -> None:
    several = exchanges(kind, 20)
    assert len(several) == 20
    for asked, exchange in several:
        assert [other.id for other, _ in several if exchange.right(answer(other))] == [asked.id]


@pytest.mark.parametrize(("kind", "given"), [("alike", answer), ("alike binary", binary_answer)])
def test_a_judge_takes_the_answer_to_its_request_without_id_and_no_other(kind: str, given: Any) -> None:
    spells = [(number, spell(number)) for number in range(10_000)]
    asked = {number: alike(number, at.http) for number, at in spells if at is not None and at.http == LAYOUTS[0]}
    judged = {number: make(Random(number), number) for number in asked}
    several = [number for number in asked if judged[number].kind == kind][:20]
    for number in several:
        exchange = judged[number]
        assert b'"id"' not in exchange.sent
        assert [other for other in several if exchange.right(given(asked[other]))] == [number]


def test_most_requests_come_in_spells_without_ids_and_differ_in_their_numbers_alone() -> None:
    spells = [spell(number) for number in range(4800)]
    assert sum(at is None for at in spells) == 1200
    assert {(at.http, at.http == at.grpc, at.binary) for at in spells if at is not None} == {
        (layout, same, binary) for layout in LAYOUTS for same in (False, True) for binary in (False, True)
    }
    values = [value for number in range(0, 4800) for value in alike(number, LAYOUTS[1]).values]
    assert len(set(values)) == len(values)


def test_what_a_page_of_metrics_says_of_the_ways_of_answers() -> None:
    told = [
        ('tidegate_requests_total{code="200",model="a",version="1"}', 7.0),
        ('tidegate_requests_total{code="400",model="a",version="1"}', 9.0),
        ('tidegate_requests_total{code="200",model="b",version="1"}', 5.0),
        ('tidegate_answers_together_total{model="a",version="1"}', 4.0),
        ('tidegate_requests_unqueued_total{model="b",version="1"}', 3.0),
    ]
    assert Ways.of(told) == Ways(good=12, together=4, unqueued=3)
    assert Ways(12, 4, 3).missing([]) == []
    assert Ways(12, 0, 3).missing([]) == ["no answer was written together with others"]
    assert Ways(12, 4, 0).missing([]) == ["no request ran past the queue"]
    assert Ways(12, 4, 0).missing(["--workers=2"]) == []


def test_a_judge_takes_no_answer_with_anothers_id_or_headers() -> None:
    asked, exchange = exchanges("hot", 1)[0]
    right = answer(asked)
    assert exchange.right(right)
    assert not exchange.right(answer(asked, id="another"))
    assert not exchange.right(right._replace(headers=HEADERS | {"inference-header-content-length": "9"}))
    assert not exchange.right(right._replace(headers=HEADERS | {"content-type": "application/octet-stream"}))
    assert not exchange.right(right._replace(status=201))


def test_a_judge_takes_no_refusal_that_names_anothers_input() -> None:
    (first, judged), (second, _) = exchanges("misnamed", 2)
    assert judged.right(Answer(400, HEADERS, orjson.dumps({"error": f'unknown "q{first.id}"'})))
    assert not judged.right(Answer(400, HEADERS, orjson.dumps({"error": f'unknown "q{second.id}"'})))


def soaked(*further: str) -> str:
    """What a short soak says in the end; all its answers were right."""
    words = [sys.executable, "-m", "soak", "--count", "3000", *further]
    hack = Path(__file__).parents[2] / "hack"
    done = subprocess.run(words, cwd=hack, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.integration
@pytest.mark.parametrize(
    "further",
    [["--", "--grpc-transport", "grpcio"], ["--", "--isolate"], ["--", "--workers", "2"], ["--handover", "50", "--"]],
    ids=["grpcio", "isolated", "front ends", "handed over"],
)
def test_every_answer_of_a_short_soak_is_right(further: list[str]) -> None:
    soaked(*further)


@pytest.mark.integration
def test_a_soak_has_requests_that_are_known_by_their_bytes() -> None:
    said = re.search(r"wrote ([\d,]+) together with others of the same run, and ran ([\d,]+) requests past", soaked())
    assert said is not None
    together, unqueued = (int(figure.replace(",", "")) for figure in said.groups())
    assert together > 20
    assert unqueued > 0
