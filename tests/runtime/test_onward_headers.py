"""What goes along with a request that is handed over, and comes back."""

import pytest

from tidegate_runtime.web.onward import back, onward, reader


@pytest.mark.parametrize(
    "name",
    [
        *("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"),
        *("expect", "content-encoding", "x-tidegate-hop", "x-tidegate-route"),
        *("proxy-authorization", "proxy-connection"),
    ],
)
def test_what_is_about_one_connection_or_said_by_us_stays(name: str) -> None:
    given = [(b"content-type", b"application/json"), (name.encode(), b"1"), (b"x-user", b"u")]
    assert onward(given) == [(b"content-type", b"application/json"), (b"x-user", b"u")]


def test_what_the_connections_own_header_names_stays() -> None:
    given = [(b"connection", b"keep-alive, X-Mine"), (b"x-mine", b"1"), (b"x-user", b"u")]
    assert onward(given) == [(b"x-user", b"u")]


def test_the_answer_says_which_revision_gave_it() -> None:
    given = {
        b"content-type": b"application/json",
        b"content-encoding": b"gzip",
        b"content-length": b"7",
        b"connection": b"close",
        b"date": b"now",
        b"server": b"it",
    }
    assert back(given, "churn-2") == [
        (b"content-type", b"application/json"),
        (b"content-encoding", b"gzip"),
        (b"x-tidegate-revision", b"churn-2"),
    ]


def test_what_an_answers_connection_names_and_what_a_proxy_asks_for_does_not_come_back() -> None:
    given = {
        b"connection": b"keep-alive, X-Mine,x-other",
        b"keep-alive": b"timeout=5",
        b"x-mine": b"1",
        b"x-other": b"2",
        b"proxy-authenticate": b"Basic",
        b"proxy-authentication-info": b"n",
        b"x-user": b"u",
    }
    assert back(given, "churn-2") == [(b"x-user", b"u"), (b"x-tidegate-revision", b"churn-2")]


def test_headers_that_are_given_twice_are_one_value() -> None:
    header = reader([(b"x-a", b"1"), (b"x-b", b"\xe9"), (b"x-a", b"2")])
    assert (header("x-a"), header("x-b"), header("x-c")) == ("1,2", "é", None)
