"""Requests torn and mangled: both ways agree with each other, with themselves however the bytes come, and with h11."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.connection import Server, believable
from tidegate_runtime.protocol.plain import Layout
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.protocol.v2_request import decode

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def body_of(values: Sequence[float]) -> bytes:
    tensor = {"name": "x", "shape": [len(values), 1], "datatype": "FP32", "data": list(values)}
    return json.dumps({"inputs": [tensor]}).encode()


HEADERS = st.sampled_from(
    [
        b"Content-Type: application/json",
        b"content-type: application/json; charset=utf-8",
        b"Content-Type: text/plain",
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"Connection: keep-alive",
        b"X-Long: " + b"x" * 500,
    ]
)


@st.composite
def requests(draw: st.DrawFn, *, extra: Sequence[bytes] = ()) -> bytes:
    """A request that is well-formed HTTP, mostly for the model, its body good or not."""
    values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
    body = draw(st.sampled_from([body_of(values), body_of(values)[:-3], b"{}", b"[" * 70, b"x"]))
    paths = [
        b"/v2/models/m/infer",
        b"/v2/models/m/versions/1/infer",
        b"/v2/models/m/versions/2/infer",
        b"/v2/models/n/infer",
    ]
    lines = [b"POST %b HTTP/1.1" % draw(st.sampled_from(paths)), b"Host: h", b"Content-Length: %d" % len(body)]
    lines += [*draw(st.lists(HEADERS, max_size=3)), *extra]
    return b"\r\n".join([*lines, b"", body])


@settings(SETTINGS, max_examples=100)
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_answers_do_not_depend_on_how_the_bytes_come(server: Server, wanted: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(wanted)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert server.answers(*pieces) == server.answers(stream)


@settings(SETTINGS, max_examples=100)
@given(st.lists(requests(), min_size=1, max_size=4))
def test_the_hot_way_answers_as_the_cold_way_does(server: Server, wanted: list[bytes]) -> None:
    cold = [request.replace(b"Host: h", b"Host: h\r\nTE: trailers", 1) for request in wanted]
    assert server.answers(*wanted) == server.answers(*cold)
    assert len(server.answers(*wanted)[0]) == len(wanted)


@settings(SETTINGS, max_examples=100)
@given(st.lists(requests(), min_size=1, max_size=6))
def test_a_head_that_was_seen_before_means_the_same_again(server: Server, wanted: list[bytes]) -> None:
    assert server.answers(*wanted, *wanted) == server.answers(b"".join(wanted) * 2)


@settings(SETTINGS, max_examples=100)
@given(st.lists(st.lists(requests(), min_size=1, max_size=3), min_size=2, max_size=5), st.data())
def test_connections_whose_requests_share_a_turn_get_the_answers_that_each_gets_alone(
    server: Server, wanted: list[list[bytes]], data: st.DataObject
) -> None:
    leave = data.draw(st.frozensets(st.integers(0, len(wanted) - 1), max_size=len(wanted) - 1))
    together = server.answers_of_each(*wanted, leave=leave)
    for number, (pieces, answers) in enumerate(zip(wanted, together, strict=True)):
        alone, _ = server.answers(*pieces)
        assert answers == (alone[:-1] if number in leave else alone)


@st.composite
def mangled_requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A request, and the same with a few bytes changed, put in or left out."""
    request = draw(requests())
    stream = bytearray(request)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(stream) - 1))
        match draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                stream[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                stream[place:place] = draw(st.sampled_from([b"\r\n", b" ", b"\0", b":", b"Content-Length: 5\r\n"]))
            case "delete":
                del stream[place : place + draw(st.integers(1, 8))]
    return request, bytes(stream)


@settings(SETTINGS, max_examples=500)
@given(mangled_requests())
def test_what_h11_refuses_is_never_answered_as_if_it_were_good(server: Server, both: tuple[bytes, bytes]) -> None:
    _, mangled = both
    answers, _ = server.answers(mangled)
    assert believable(answers, mangled)


@settings(SETTINGS, max_examples=200)
@given(mangled_requests(), st.integers(1, 5))
def test_what_a_connection_has_answered_changes_nothing_of_what_it_answers_next(
    server: Server, both: tuple[bytes, bytes], times: int
) -> None:
    request, mangled = both
    answers, closed = server.answers(*[request] * times, mangled)
    assert (answers[times:], closed) == server.answers(mangled)


def test_a_request_without_a_version_is_refused(server: Server) -> None:
    answers, closed = server.answers(b"GET /v2?HTTP/1.1\r\n\r\n")
    assert [status for status, _ in answers] == [400]
    assert closed


def test_a_request_that_asks_to_go_on_is_answered_once_its_body_is_there(server: Server) -> None:
    body = body_of([1.0])
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    assert server.answers(head, body[:9]) == ([], False)
    answers, _ = server.answers(head, body[:9], body[9:])
    assert [(status, answer["outputs"][0]["data"]) for status, answer in answers] == [(200, [2.0])]


def test_an_offer_to_upgrade_is_passed_over_with_a_body_and_without(server: Server) -> None:
    offer = b"Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    body = body_of([1])
    post = b"POST /v2/models/m/infer HTTP/1.1\r\n" + offer + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answers, closed = server.answers(post, b"GET /v2/models HTTP/1.1\r\n" + offer + b"\r\n", post)
    assert [status for status, _ in answers] == [200, 200, 200]
    assert [body["outputs"][0]["data"] for _, body in answers[::2]] == [[2], [2]]
    assert not closed


def test_an_empty_list_among_good_ones_of_the_same_turn_is_refused_and_they_are_answered(server: Server) -> None:
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    good, empty = (
        b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[%b]}]}' % data for data in (b"1", b"")
    )
    good, empty = head % len(good) + good, head % len(empty) + empty
    answers = server.answers_of_each([good, good], [good, empty], [good, good])
    assert [[status for status, _ in each] for each in answers] == [[200, 200], [200, 400], [200, 200]]


@pytest.mark.parametrize("count", [4, 30], ids=["few", "many"])
def test_of_a_turn_s_requests_only_the_bad_one_is_read_by_itself(
    server: Server, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(text: str) -> bytes:
        head = '{"inputs": [{"name": "x", "shape": [4, 1], "datatype": "FP32", "data": ['
        body = f"{head}{text}]}}]}}".encode()
        return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    texts = [f"{number}, 0, 1, 2" for number in range(count)]
    server.answers(request(texts[0]))  # Its layout is known from here on.
    read: list[bytes] = []
    together: list[int] = []

    def counted(body: bytes, *given: Any) -> Any:
        read.append(body)
        return decode(body, *given)

    def counting(codec: PlainJson, layout: Layout, numbers: Sequence[bytes]) -> Any:
        together.append(len(numbers))
        return read_together(codec, layout, numbers)

    read_together = PlainJson.read
    monkeypatch.setattr("tidegate_runtime.web.hot_call.decode", counted)
    monkeypatch.setattr(PlainJson, "read", counting)
    bad = texts[2].replace("2", "null", 1)
    answers = server.answers_of_each(*([request(text)] for text in [*texts[:2], bad, *texts[3:]]))
    refused = answers.pop(2)
    assert [(status, "data[0] is null" in body["error"]) for status, body in refused] == [(400, True)]
    doubled = [[(status, body["outputs"][0]["data"]) for status, body in each] for each in answers]
    assert doubled == [[(200, [2 * number, 0, 2, 4])] for number in range(count) if number != 2]
    assert [b"null" in body for body in read] == [True]
    assert together == [count, 1]


def test_whatever_fails_while_a_turn_is_taken_each_of_its_requests_is_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = body_of([1])
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    server.answers(request)  # Its layout is known from here on.

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tidegate_runtime.protocol.plain_json.PlainJson.read", broken)
    answers = server.answers_of_each([request, request], [request, request])
    assert [[status for status, _ in each] for each in answers] == [[500, 500], [500, 500]]
    monkeypatch.undo()
    assert [status for status, _ in server.answers(request, request)[0]] == [200, 200]


def test_a_request_that_was_refused_for_its_deadline_is_known_when_it_comes_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [3]}
    body = json.dumps({"inputs": [tensor], "parameters": {"timeout": 1}}).encode()
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    first, _ = server.answers(request)
    monkeypatch.setattr("tidegate_runtime.web.hot_call.decode", None)
    again, _ = server.answers(request, request)
    assert [status for status, _ in [*first, *again]] == [504, 504, 504]


def test_a_failure_after_a_request_was_queued_is_its_only_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [3]}
    body = json.dumps({"inputs": [tensor], "parameters": {"priority": 3}}).encode()
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tidegate_runtime.protocol.plain_json.PlainJson.learn", broken)
    answers, _ = server.answers(request, request)
    assert [status for status, _ in answers] == [500, 500]
    monkeypatch.undo()
    assert [status for status, _ in server.answers(request, request)[0]] == [200, 200]
