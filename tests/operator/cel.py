"""CEL as the API server evaluates it: the language by cel-python, and the functions that Kubernetes adds to it."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "m": 0.001, "": 1}
_ENVIRONMENT = celpy.Environment()


def holds(rule: str, value: Any) -> bool:
    """Whether a rule is true of `self`; an error while it is evaluated raises."""
    return _holds(rule, json.dumps(value))


@cache
def _holds(rule: str, value: str) -> bool:
    # Most of what tables of specs hold is equal, and an evaluation takes milliseconds.
    return bool(_program(rule).evaluate({"self": json_to_cel(json.loads(value))}))


@cache
def _program(rule: str) -> Any:
    return _ENVIRONMENT.program(_ENVIRONMENT.compile(rule), functions=_FUNCTIONS)


def _quantity(text: str) -> celtypes.IntType:
    unit = next(unit for unit in _UNITS if text.endswith(unit))
    return celtypes.IntType(round(int(text.removesuffix(unit)) * _UNITS[unit] * 1000))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": _quantity,
    "compareTo": lambda a, b: celtypes.IntType((a > b) - (a < b)),
    "isSorted": lambda items: celtypes.BoolType(list(items) == sorted(items)),
    "lowerAscii": lambda text: celtypes.StringType(text.lower()),
}
