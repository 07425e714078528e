import pytest

from tidegate_operator.adapter.label_selectors import InvalidSelector, label_selector, matches, parse

LABELS = {"tidegate.dev/revision": "churn-6f3c9d1a", "tier": "web", "level": "7", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("tier=web", True),
        ("tier==web", True),
        ("tier = web", True),
        ("tier=api", False),
        ("missing=web", False),
        ("tier!=api", True),
        ("tier!=web", False),
        ("missing!=web", True),
        ("tier", True),
        ("missing", False),
        ("!missing", True),
        ("! missing", True),
        ("!tier", False),
        ("tier in (web,api)", True),
        ("tier in ( web , api )", True),
        ("tier in(api)", False),
        ("missing in (web)", False),
        ("tier notin (web,api)", False),
        ("tier notin (api)", True),
        ("missing notin (web)", True),
        ("level>6", True),
        ("level > 7", False),
        ("level<8", True),
        ("tier>6", False),
        ("missing<6", False),
        ("empty=", True),
        ("tier=", False),
        ("empty in ()", True),
        ("tier=web,tidegate.dev/revision=churn-6f3c9d1a", True),
        ("tier in (web,api),level=7,!missing", True),
        ("tier=web, level=8", False),
        ("in=web", False),
        ("in in (in)", False),
    ],
)
def test_selector_matches_as_kubernetes_does(text: str, expected: bool) -> None:
    assert matches(parse(text), LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [",", "tier=web,", ",tier=web", "tier=web;x", "=web", "tier in web", "tier in (web", "a b", "-a=b", "a=b=c", "a>b",
     "a>", "!a=b", "tier=we$b", "a//b=c", "!!a"],
)  # fmt: skip
def test_selector_that_kubernetes_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidSelector):
        parse(text)


def test_error_says_where_and_what_to_write() -> None:
    with pytest.raises(InvalidSelector, match=r"'tier=web,\?\?' at '\?\?': write requirements such as tier=web"):
        parse("tier=web,??")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a=b", {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}),
        (
            "a!=b,!c,d",
            {
                "matchExpressions": [
                    {"key": "a", "operator": "NotIn", "values": ["b"]},
                    {"key": "c", "operator": "DoesNotExist"},
                    {"key": "d", "operator": "Exists"},
                ]
            },
        ),
        ("a>5", None),
    ],
)
def test_selector_is_written_as_a_label_selector(text: str, expected: object) -> None:
    assert label_selector(parse(text)) == expected
