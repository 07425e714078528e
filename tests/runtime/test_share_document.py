"""The document that tells a pod what share of its requests it copies."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.share.document import (
    Handover,
    Key,
    Match,
    Shadow,
    Share,
    Target,
    UnreadableShare,
    parse,
)

HANDOVER = {"percent": 10, "revision": "churn-a81e0213", "targets": ["10.0.0.5:8080"]}
SHADOW = {"percent": 20, "revision": "churn-a81e0213", "targets": ["10.0.0.5:8080"]}


def document(**fields: Any) -> bytes:
    return orjson.dumps({"version": 1, "revision": "7.abc"} | fields)


@pytest.mark.parametrize(
    ("fields", "shadow"),
    [
        ({}, None),
        ({"shadow": None}, None),
        ({"shadow": SHADOW}, Shadow(20, "churn-a81e0213", (Target("10.0.0.5", 8080),))),
        ({"shadow": SHADOW | {"percent": 0.5}}, Shadow(0.5, "churn-a81e0213", (Target("10.0.0.5", 8080),))),
        ({"shadow": SHADOW | {"targets": ["[fd00::5]:1"]}}, Shadow(20, "churn-a81e0213", (Target("fd00::5", 1),))),
        ({"shadow": SHADOW | {"targets": ["a:1", "a:1"]}}, Shadow(20, "churn-a81e0213", (Target("a", 1),))),
        # Nobody is there to get copies, or none are made.
        ({"shadow": SHADOW | {"targets": []}}, None),
        ({"shadow": SHADOW | {"percent": 0}}, None),
        # What a later release may add is passed over.
        ({"shadow": SHADOW | {"percent": 0, "mode": "new"}, "canary": {"percent": 5}}, None),
    ],
)
def test_a_document_tells_the_share(fields: dict[str, Any], shadow: Shadow | None) -> None:
    assert parse(document(**fields)) == Share("7.abc", shadow)


CANARY = "churn-a81e0213", (Target("10.0.0.5", 8080),)


@pytest.mark.parametrize(
    ("fields", "handover"),
    [
        ({}, None),
        ({"handover": None}, None),
        ({"handover": HANDOVER}, Handover(10, *CANARY)),
        ({"handover": HANDOVER | {"leaving": True, "mode": "new"}}, Handover(10, *CANARY, leaving=True)),
        # That nobody can be asked is to be seen of it, too.
        ({"handover": HANDOVER | {"percent": 0, "targets": []}}, Handover(0, CANARY[0], ())),
        (
            {
                "handover": HANDOVER
                | {"match": [{"header": {"X-A": "1"}, "cookie": {"B": "2"}}, {"cookie": {"c": "3"}}]}
            },
            Handover(
                10,
                *CANARY,
                matches=(Match((("x-a", "1"),), (("B", "2"),)), Match(cookies=(("c", "3"),))),
            ),
        ),
        ({"handover": HANDOVER | {"sticky": {"header": "X-User"}}}, Handover(10, *CANARY, sticky=Key("x-user"))),
        (
            {"handover": HANDOVER | {"sticky": {"cookie": "User"}}},
            Handover(10, *CANARY, sticky=Key("User", cookie=True)),
        ),
        ({"handover": HANDOVER | {"sticky": None, "match": []}}, Handover(10, *CANARY)),
        ({"handover": HANDOVER | {"timeoutSeconds": 60}}, Handover(10, *CANARY, timeout_seconds=60)),
    ],
)
def test_a_document_tells_what_is_handed_over(fields: dict[str, Any], handover: Handover | None) -> None:
    assert parse(document(**fields)) == Share("7.abc", handover=handover)


def test_a_document_tells_how_old_connections_get() -> None:
    assert parse(document(connectionSeconds=300)) == Share("7.abc", connection_seconds=300)
    assert parse(document(connectionSeconds=None)) == Share("7.abc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (document(version=2), '"version" is 2; this release reads 1'),
        (document(version=True), '"version" is True'),
        (b"{}", '"version" is None'),
        (b'{"version": 1}', '"revision"'),
        (document(revision=""), '"revision"'),
        (document(revision="a\r\nb"), '"revision"'),
        (document(shadow=[]), '"shadow" must be an object'),
        (document(handover=[]), '"handover" must be an object'),
        (document(handover=HANDOVER | {"percent": -1}), '"handover.percent"'),
        (document(handover=HANDOVER | {"revision": 5}), '"handover.revision"'),
        (document(handover=HANDOVER | {"targets": ["a"]}), '"handover.targets"'),
        (document(handover=HANDOVER | {"leaving": 1}), '"handover.leaving"'),
        (document(handover=HANDOVER | {"timeoutSeconds": 0}), '"handover.timeoutSeconds"'),
        (document(handover=HANDOVER | {"match": {}}), '"handover.match"'),
        (document(handover=HANDOVER | {"match": [{"cookie": {"a": "b"}}] * 101}), "at most 100"),
        (document(handover=HANDOVER | {"match": [[]]}), '"handover.match"'),
        (document(handover=HANDOVER | {"match": [{}]}), "every request"),
        (document(handover=HANDOVER | {"match": [{"header": {"a": 5}}]}), '"handover.match.header"'),
        (document(handover=HANDOVER | {"match": [{"cookie": [5]}]}), '"handover.match.cookie"'),
        (document(handover=HANDOVER | {"sticky": "x"}), '"sticky"'),
        (document(handover=HANDOVER | {"sticky": {}}), '"handover.sticky"'),
        (document(handover=HANDOVER | {"sticky": {"header": "a", "cookie": "b"}}), '"handover.sticky"'),
        (document(handover=HANDOVER | {"sticky": {"header": 5}}), '"handover.sticky.header"'),
        (document(connectionSeconds=0), '"connectionSeconds"'),
        (document(connectionSeconds=True), '"connectionSeconds"'),
        (document(connectionSeconds="300"), '"connectionSeconds"'),
        (document(shadow=SHADOW | {"percent": 101}), '"shadow.percent"'),
        (document(shadow=SHADOW | {"percent": True}), '"shadow.percent"'),
        (document(shadow=SHADOW | {"percent": "5"}), '"shadow.percent"'),
        (document(shadow=SHADOW | {"revision": None}), '"shadow.revision"'),
        (document(shadow=SHADOW | {"targets": "a:1"}), '"shadow.targets"'),
        (document(shadow=SHADOW | {"targets": ["a:1"] * 257}), "at most 256"),
        *[
            (document(shadow=SHADOW | {"targets": [bad]}), "no host:port")
            for bad in ("", "a", ":1", "a:", "a:0", "a:65536", "a:1x", "fd00::5:1", "[a]:1", "a b:1", "a/b:1", 5)
        ],
    ],
)
def test_a_document_that_cant_be_read_is_refused_by_the_field(text: bytes, said: str) -> None:
    with pytest.raises(UnreadableShare) as refused:
        parse(text)
    assert said in str(refused.value)


SCALARS = st.none() | st.booleans() | st.integers(-1, 200) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=8), SCALARS, max_size=3)


@given(
    st.fixed_dictionaries(
        {"version": st.just(1) | VALUES},
        optional={
            "revision": st.just("1") | VALUES,
            "shadow": VALUES
            | st.fixed_dictionaries(
                {}, optional={"percent": VALUES, "revision": VALUES, "targets": VALUES | st.lists(VALUES, max_size=3)}
            ),
            "handover": VALUES
            | st.fixed_dictionaries(
                {"percent": st.just(5) | VALUES, "revision": st.just("2"), "targets": st.just([])},
                optional={name: VALUES | st.lists(VALUES, max_size=3) for name in ("leaving", "match", "sticky")},
            ),
            "connectionSeconds": VALUES,
        },
    )
)
def test_whatever_is_told_is_read_or_refused(told: dict[str, Any]) -> None:
    try:
        share = parse(orjson.dumps(told))
    except (UnreadableShare, orjson.JSONEncodeError):
        return
    assert share.shadow is None or (0 < share.shadow.percent <= 100 and share.shadow.targets)
