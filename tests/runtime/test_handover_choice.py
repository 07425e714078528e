"""Which requests are handed over: by chance, by what they are, and by whose they are."""

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.handover.choice import MAX_COOKIES, Choice, cookies_of, place_of
from tidegate_runtime.naming import HandoverReason
from tidegate_runtime.share.document import Handover, Key, Match

NOTHING: dict[str, str] = {}
WEIGHT, MATCH = HandoverReason.WEIGHT, HandoverReason.MATCH


def drawing(number: float) -> Callable[[], float]:
    return lambda: number


@pytest.mark.parametrize(
    ("percent", "drawn", "reason"),
    [(0, 0.0, None), (10, 0.0999, WEIGHT), (10, 0.1, None), (100, 0.999999, WEIGHT), (0.5, 0.0049, WEIGHT)],
)
def test_a_request_is_handed_over_by_chance(percent: float, drawn: float, reason: HandoverReason | None) -> None:
    assert Choice(Handover(percent, "2"), drawing(drawn)).of(NOTHING.get) is reason


BETA = Match(headers=(("x-beta", "1"), ("x-team", "a b")))
COOKIE = Match(cookies=(("tried", "new"),))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-beta": "1", "x-team": "a b"}, MATCH),
        ({"x-beta": "1"}, None),
        ({"x-beta": "1", "x-team": "a"}, None),
        ({"cookie": "tried=new"}, MATCH),
        ({"cookie": 'a=b; tried="new" ; c'}, MATCH),
        ({"cookie": "a=tried; tried=old"}, None),
        ({"cookie": "tried"}, None),
        ({}, None),
    ],
)
def test_a_request_that_fits_a_match_is_handed_over_whatever_the_share(
    headers: Mapping[str, str], reason: HandoverReason | None
) -> None:
    choice = Choice(Handover(0, "2", matches=(BETA, COOKIE)), drawing(0.0))
    assert choice.of(headers.get) is reason


@pytest.mark.parametrize("key", [Key("x-user"), Key("user", cookie=True)])
def test_all_requests_of_a_caller_go_the_same_way_and_stay_when_the_share_grows(key: Key) -> None:
    draw = random.Random(7).random

    def takes(percent: float, user: int) -> bool:
        headers = {"cookie": f"user=u-{user}"} if key.cookie else {"x-user": f"u-{user}"}
        choice = Choice(Handover(percent, "2", sticky=key), draw)
        (answer,) = {choice.of(headers.get) for _ in range(5)}
        return answer is WEIGHT

    taken = [{user for user in range(2000) if takes(percent, user)} for percent in (0, 5, 20, 100)]
    assert taken[0] < taken[1] < taken[2] < taken[3] == set(range(2000))
    # 2,000 callers at 20 %: 400, by a standard deviation of 18.
    assert abs(len(taken[2]) - 400) < 90


def test_a_request_that_doesnt_say_whose_it_is_goes_by_chance() -> None:
    handover = Handover(10, "2", sticky=Key("x-user"))
    assert Choice(handover, drawing(0.05)).of(NOTHING.get) is WEIGHT
    assert Choice(handover, drawing(0.5)).of({"x-user": ""}.get) is None


def place(user: str) -> float | None:
    header = {"x-user": user}.get
    return place_of(Key("x-user"), header, cookies_of(header))


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_callers_place_is_the_same_in_every_process(one: str, other: str) -> None:
    found = place(one)
    assert found is not None
    assert 0 <= found < 1
    assert (place(other) == found) is (one == other)


def test_the_place_of_a_known_caller() -> None:
    # `printf u-1 | b2sum -l 64`.
    assert place("u-1") == pytest.approx(0x2809D284FB93FE69 / 2**64)


def test_a_request_of_many_cookies_has_them_read_once_for_all_matches() -> None:
    asked: list[str] = []

    def header(name: str) -> str | None:
        asked.append(name)
        return ";".join(f"c{number}=1" for number in range(8000)) if name == "cookie" else None

    matches = tuple(Match(cookies=(("c7", str(number)),)) for number in range(2, 102))
    choice = Choice(Handover(0, "2", matches=matches, sticky=Key("c8", cookie=True)), drawing(0.0))
    assert choice.of(header) is None
    assert asked == ["cookie"]


def test_a_request_without_a_match_by_cookies_has_none_read() -> None:
    asked: list[str] = []

    def header(name: str) -> str | None:
        asked.append(name)
        return None

    assert Choice(Handover(0, "2", matches=(BETA,)), drawing(0.5)).of(header) is None
    assert "cookie" not in asked


def test_of_cookies_of_one_name_the_first_counts_and_of_all_the_first_512() -> None:
    def told(text: str) -> dict[str, str]:
        return dict(cookies_of({"cookie": text}.get)())

    assert told('a=1; b; a=2; c="3"; d=x=y') == {"a": "1", "c": "3", "d": "x=y"}
    assert list(told(";".join(f"{number}=" for number in range(600)))) == [str(number) for number in range(MAX_COOKIES)]
