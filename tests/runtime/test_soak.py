"""The soak's judges: they take the answer to a request and no other; and a short soak."""

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from soak.asking import Asked, draw
from soak.exchanges import Answer, Exchange, make

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
    document = {"model_name": asked.model.name, "model_version": "1", "id": asked.id, "outputs": [output]}
    return Answer(200, HEADERS, orjson.dumps(document | members))


@pytest.mark.parametrize("kind", ["hot", "cold", "chunked"])
def test_a_judge_takes_the_answer_to_its_request_and_no_other(kind: str) -> None:
    several = exchanges(kind, 20)
    assert len(several) == 20
    for asked, exchange in several:
        assert [other.id for other, _ in several if exchange.right(answer(other))] == [asked.id]


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


@pytest.mark.integration
@pytest.mark.parametrize(
    "further",
    [["--"], ["--", "--grpc-transport", "grpcio"], ["--", "--isolate"], ["--handover", "50", "--"]],
    ids=["", "grpcio", "isolated", "handed over"],
)
def test_every_answer_of_a_short_soak_is_right(further: list[str]) -> None:
    words = [sys.executable, "-m", "soak", "--count", "3000", *further]
    hack = Path(__file__).parents[2] / "hack"
    done = subprocess.run(words, cwd=hack, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
