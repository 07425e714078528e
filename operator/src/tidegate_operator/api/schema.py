"""What the API's models share: field types, and how a model says its CEL rules."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZE = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

Duration = Annotated[str, Field(max_length=8, pattern=r"^[0-9]{1,6}(ms|s|m|h)$")]
"""A whole number of milliseconds, seconds, minutes or hours: `120ms`, `5s`, `2m`, `1h`."""

PositiveDuration = Annotated[str, Field(max_length=8, pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h)$")]
"""A `Duration` above zero."""

Size = Annotated[str, Field(max_length=11, pattern=r"^[1-9][0-9]{0,8}(Ki|Mi|Gi)?$")]
"""A number of bytes: `1048576`, `10Mi`."""

Percent = Annotated[str, Field(max_length=6, pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,2})?)%$")]
"""A share: `1%`, `0.25%`, `100%`."""

ObjectName = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of an object of the cluster, or of the service's own namespace."""

IntOrDuration = Annotated[
    int | str, WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]})
]


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """The schema extension for CEL rules given as (expression that must hold, message when it doesn't)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def at_most(duration: str) -> Any:
    """The field whose durations end at `duration`."""
    return Field(json_schema_extra=rules((f"duration(self) <= duration('{duration}')", f"must be at most {duration}")))


def names(pattern: str, told: str) -> AfterValidator:
    """Holds the names of a map to `pattern`; `told` says what a name may be. CEL has to be told apart, by `rules`."""
    fits = re.compile(pattern.replace("$", r"\Z"))

    def check(values: dict[str, str]) -> dict[str, str]:
        for name in values:
            if not fits.search(name):
                raise ValueError(f"{name!r}: {told}")
        return values

    return AfterValidator(check)


Cpu = Annotated[
    str,
    Field(
        max_length=10,
        pattern=r"^[1-9][0-9]{0,8}m?$",
        json_schema_extra=rules(
            ("quantity(self).compareTo(quantity('1024')) <= 0", "must be at most 1024"),
        ),
    ),
]
"""Processors as a Kubernetes quantity without fractions: `500m`, `2`."""

Memory = Annotated[
    str,
    Field(
        max_length=12,
        pattern=r"^[1-9][0-9]{0,9}(Ki|Mi|Gi|Ti)?$",
        json_schema_extra=rules(
            (
                "quantity(self).compareTo(quantity('64Mi')) >= 0 && quantity(self).compareTo(quantity('16Ti')) <= 0",
                "must be from 64Mi to 16Ti; a number without a unit is bytes",
            ),
        ),
    ),
]
"""Bytes as a Kubernetes quantity without fractions: `4Gi`."""


class ApiModel(BaseModel):
    """A part of the API: camelCase outside, unknown fields refused, docstrings of attributes as descriptions."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A value: nobody changes it. Pydantic copies a default each time it is used, were it a tree of models.
        return self

    def dump(self) -> dict[str, Any]:
        """The model as the API server's JSON has it; what isn't set is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """A part of the status; fields that a newer release wrote are passed over."""

    model_config = ConfigDict(extra="ignore")


def seconds(duration: str) -> float:
    """The seconds that a `Duration` stands for; ValueError if it is none."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is no duration: write a whole number and ms, s, m or h, such as 120ms")
    return int(match[1]) * _MILLISECONDS[match[2]] / 1000


def duration(seconds: float) -> str:
    """The `Duration` of a number of seconds, to the millisecond."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def share(percent: str) -> float:
    """The share that a `Percent` stands for: 0.01 for `1%`."""
    return float(percent.rstrip("%")) / 100


def size_in_bytes(size: str) -> int:
    """The bytes that a `Size` stands for."""
    digits = size.rstrip("KMGi")
    return int(digits) * _SIZE[size[len(digits) :]]
