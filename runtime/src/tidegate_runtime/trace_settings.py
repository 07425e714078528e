"""The protocol's trace settings: which requests are recorded, in the words of Triton's trace extension. Pure.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_trace.md
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tidegate_runtime.errors import InvalidRequest

MAX_RATE: Final = 2**32 - 1
MAX_COUNT: Final = 2**31 - 1
MODE: Final = "opentelemetry"
NOT_TRACED: Final = "requests are not traced: start the server with --trace-endpoint"

COUNT: Final = "trace_count"

_LEVEL, _RATE, _MODE = "trace_level", "trace_rate", "trace_mode"
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


@dataclass(frozen=True, slots=True)
class Own:
    """What is set for one model; what is None is as for all models."""

    on: bool | None = None
    ratio: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """All that decides which requests are recorded: a value, to be held, sent and replaced.

    `general` is for all models, `start` what it was at the start, `own` what is set for models by their names.
    """

    start: Sampling
    general: Sampling
    own: Mapping[str, Own] = field(default_factory=dict)

    def of(self, model: str) -> Sampling:
        """What is in force for `model`; "" for no particular one."""
        own = self.own.get(model)
        if own is None:
            return self.general
        general = self.general
        return Sampling(
            general.on if own.on is None else own.on,
            general.ratio if own.ratio is None else own.ratio,
            general.count if own.count is None else own.count,
        )

    def counted_with(self, model: str) -> str:
        """Whose count a request of `model` counts down: the model's own or, if it has none, "" for that of all."""
        own = self.own.get(model)
        return "" if own is None or own.count is None else model

    def count_of(self, whose: str) -> int:
        """How many more are recorded by a model's own count, or by that of all for ""; -1 also where it has none."""
        return self.of(whose).count if self.counted_with(whose) == whose else -1

    def recorded(self, model: str) -> "TraceSettings":
        """Once one more request of `model` is recorded: one less of the count that it goes by, if that is limited."""
        left, whose = self.of(model).count, self.counted_with(model)
        return self if left <= 0 else self.changed({"count": left - 1}, whose)

    def changed(self, values: Mapping[str, Any], model: str) -> "TraceSettings":
        """With these of `Own`'s fields set for `model`, or for all; None is as for all, or as at the start."""
        if model:
            return self._with(model, replace(self.own.get(model, Own()), **values))
        made = {name: getattr(self.start, name) if value is None else value for name, value in values.items()}
        return replace(self, general=replace(self.general, **made))

    def _with(self, model: str, own: Own) -> "TraceSettings":
        others = {name: kept for name, kept in self.own.items() if name != model}
        return replace(self, own=others if own == Own() else others | {model: own})


def told(sampling: Sampling | None) -> Told:
    """The settings in force; None where requests can't be traced. `trace_rate` is a whole number, rounded."""
    if sampling is None:
        return {_LEVEL: ["OFF"]}
    return {
        _LEVEL: ["TIMESTAMPS" if sampling.on else "OFF"],
        _RATE: str(round(1 / sampling.ratio) if sampling.ratio else 0),
        COUNT: str(sampling.count),
        _MODE: MODE,
    }


def changed(wanted: Mapping[str, object], now: TraceSettings | None, model: str = "") -> TraceSettings | None:
    """What is in force after the change, of `model` or else of all; what isn't given stays.

    Null or an empty list takes a model's own setting back, so that the one for all models holds for it again; for all
    models, it is what it was at the start. Raises `InvalidRequest` for a setting that can't be honoured, naming it and
    the reason. None where requests can't be traced, and `OFF` alone can be set.
    """
    values = {}
    for name, value in wanted.items():
        given = _single(name, value)
        if name in _REFUSED:
            raise _cannot(name, _REFUSED[name])
        if name not in _FIELDS and name != _MODE:
            raise _cannot(name, f"the settings are {_LEVEL}, {_RATE}, {COUNT} and {_MODE}")
        if now is None:
            if name != _LEVEL or given not in {None, "OFF"}:
                raise _cannot(name, NOT_TRACED)
        elif name != _MODE:
            member, read = _FIELDS[name]
            values[member] = None if given is None else read(given)
        elif given not in {None, MODE}:
            raise _cannot(name, f'it is "{MODE}" here, and stays so')
    return None if now is None else now.changed(values, model)


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


def _count(given: str) -> int:
    return _whole(COUNT, given, -1, MAX_COUNT)


def _whole(name: str, given: str, least: int, most: int) -> int:
    digits = given.removeprefix("-")
    number = int(given) if digits.isascii() and digits.isdecimal() and len(digits) <= 10 else None
    if number is None or not least <= number <= most:
        raise _cannot(name, f"it must be a whole number from {least} to {most}")
    return number


def _cannot(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f'trace setting "{name[:64]}" can\'t be set so: {why}')


_FIELDS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    _LEVEL: ("on", _level),
    _RATE: ("ratio", _ratio),
    COUNT: ("count", _count),
}
"""What each setting is in `Sampling` and `Own`, and how its value is read."""
