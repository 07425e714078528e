"""The protocol's trace settings: which requests are recorded, in the words of Triton's trace extension. Pure.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_trace.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tidegate_runtime.errors import InvalidRequest

MAX_RATE: Final = 2**32 - 1
MAX_COUNT: Final = 2**31 - 1
MODE: Final = "opentelemetry"
NOT_TRACED: Final = "requests are not traced: start the server with --trace-endpoint"

_LEVEL, _RATE, _COUNT, _MODE = "trace_level", "trace_rate", "trace_count", "trace_mode"
_REFUSED: Final = {
    "trace_file": "traces are sent to --trace-endpoint, not written to files",
    "log_frequency": "traces are sent to --trace-endpoint as they come, not written to files",
}

Told = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which requests are recorded: none while it is off; else those whose caller says so, and of the rest `ratio`.

    `count` is how many are recorded at most, -1 for any number.
    """

    on: bool = True
    ratio: float = 1.0
    count: int = -1


def told(sampling: Sampling | None) -> Told:
    """The settings in force; None where requests can't be traced. `trace_rate` is a whole number, rounded."""
    if sampling is None:
        return {_LEVEL: ["OFF"]}
    return {
        _LEVEL: ["TIMESTAMPS" if sampling.on else "OFF"],
        _RATE: str(round(1 / sampling.ratio) if sampling.ratio else 0),
        _COUNT: str(sampling.count),
        _MODE: MODE,
    }


def changed(wanted: Mapping[str, object], now: Sampling | None, start: Sampling | None) -> Sampling | None:
    """What is in force after the change; what isn't given stays, null or an empty list is what it was at the `start`.

    Raises `InvalidRequest` for a setting that can't be honoured, naming it and the reason. None where requests can't be
    traced, and `OFF` alone can be set.
    """
    made = now or Sampling(on=False)
    for name, value in wanted.items():
        given = _single(name, value)
        if name in _REFUSED:
            raise _cannot(name, _REFUSED[name])
        if name not in {_LEVEL, _RATE, _COUNT, _MODE}:
            raise _cannot(name, f"the settings are {_LEVEL}, {_RATE}, {_COUNT} and {_MODE}")
        if now is None or start is None:
            if name != _LEVEL or given not in {None, "OFF"}:
                raise _cannot(name, NOT_TRACED)
        elif name == _LEVEL:
            made = replace(made, on=start.on if given is None else _level(given))
        elif name == _RATE:
            made = replace(made, ratio=start.ratio if given is None else _ratio(given))
        elif name == _COUNT:
            made = replace(made, count=start.count if given is None else _whole(name, given, -1, MAX_COUNT))
        elif given not in {None, MODE}:
            raise _cannot(name, f'it is "{MODE}" here, and stays so')
    return None if now is None else made


def _single(name: str, value: object) -> str | None:
    """A setting's one value; None for null and an empty list."""
    if isinstance(value, list):
        if len(value) > 1:
            raise _cannot(name, "it takes one value")
        value = value[0] if value else None
    if type(value) is int:
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _cannot(name, "its value must be a string")
    return value


def _level(given: str) -> bool:
    if given not in {"OFF", "TIMESTAMPS"}:
        raise _cannot(_LEVEL, f'"{given[:32]}" is neither OFF nor TIMESTAMPS; spans hold times, not tensors')
    return given == "TIMESTAMPS"


def _ratio(given: str) -> float:
    rate = _whole(_RATE, given, 0, MAX_RATE)
    return 1 / rate if rate else 0.0


def _whole(name: str, given: str, least: int, most: int) -> int:
    digits = given.removeprefix("-")
    number = int(given) if digits.isascii() and digits.isdecimal() and len(digits) <= 10 else None
    if number is None or not least <= number <= most:
        raise _cannot(name, f"it must be a whole number from {least} to {most}")
    return number


def _cannot(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f'trace setting "{name[:64]}" can\'t be set so: {why}')
