"""Label selectors as the Kubernetes API writes them in queries (apimachinery, pkg/labels). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEY = r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:"
    rf"!\s*(?P<absent>{_KEY})"
    rf"|(?P<member>{_KEY})\s+(?P<set>in|notin)\s*\((?P<values>\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*)\)"
    rf"|(?P<key>{_KEY})\s*(?P<comparison>==|=|!=|<|>)\s*(?P<value>{_VALUE})"
    rf"|(?P<present>{_KEY})"
    rf")\s*(?:,(?=.)|$)"
)


class InvalidSelector(ValueError):
    """A selector that the API server would refuse as well."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it. As in Kubernetes, NotIn holds for a label that is absent."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                if value is None or re.fullmatch(r"-?\d+", value) is None:
                    return False
                difference = int(value) - int(self.values[0])
                return difference > 0 if self.operator == "Gt" else difference < 0


Selector = tuple[Requirement, ...]
"""Requirements that must all hold; none: everything."""


def parse(text: str) -> Selector:
    """The selector that `text` stands for, equality-based or set-based; raises InvalidSelector."""
    requirements = []
    position = 0
    while position < len(text.rstrip()):
        found = _REQUIREMENT.match(text, position)
        if found is None:
            raise InvalidSelector(
                f"unable to parse label selector {text[:200]!r} at {text[position : position + 40]!r}:"
                " write requirements such as tier=web, tier in (web,api) or !tier, separated by commas"
            )
        requirements.append(_requirement(found))
        position = found.end()
    return tuple(requirements)


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether labels meet all requirements."""
    return all(requirement.holds(labels) for requirement in selector)


def label_selector(selector: Selector) -> dict[str, Any] | None:
    """The `metav1.LabelSelector` that says the same; None for the empty one. It has no word for Gt and Lt."""
    expressions: list[dict[str, Any]] = []
    for requirement in selector:
        expression: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
        if requirement.values:
            expression["values"] = list(requirement.values)
        if requirement.operator not in ("Gt", "Lt"):
            expressions.append(expression)
    return {"matchExpressions": expressions} if expressions else None


def _requirement(found: re.Match[str]) -> Requirement:
    if key := found["absent"]:
        return Requirement(key, "DoesNotExist")
    if key := found["present"]:
        return Requirement(key, "Exists")
    if key := found["member"]:
        values = tuple(value.strip() for value in found["values"].split(","))
        return Requirement(key, "In" if found["set"] == "in" else "NotIn", values)
    operator = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}[found["comparison"]]
    value = found["value"]
    if operator in ("Gt", "Lt") and re.fullmatch(r"\d+", value) is None:
        raise InvalidSelector(f"label {found['key']} is compared by {found['comparison']} with {value!r}, not a number")
    return Requirement(found["key"], operator, (value,))
