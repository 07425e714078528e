"""What the API's models share: field types, and how a model says its CEL rules."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

_DURATION = re.compile(r"^(\d+)(ms|s|m|h)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

Duration = Annotated[str, Field(pattern=r"^[0-9]{1,6}(ms|s|m|h)$")]
"""A whole number of milliseconds, seconds, minutes or hours: `120ms`, `5s`, `2m`, `1h`."""

PositiveDuration = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h)$")]
"""A `Duration` above zero."""

Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}(m|Ki|Mi|Gi|Ti)?$")]
"""A Kubernetes quantity without fractions: `500m`, `2`, `4Gi`."""

Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}(Ki|Mi|Gi)?$")]
"""A number of bytes: `1048576`, `10Mi`."""

IntOrDuration = Annotated[
    int | str, WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]})
]


class ApiModel(BaseModel):
    """A part of the API: camelCase outside, unknown fields refused, docstrings of attributes as descriptions."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def dump(self) -> dict[str, Any]:
        """The model as the API server's JSON has it; what isn't set is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def seconds(duration: str) -> float:
    """The seconds that a `Duration` stands for; ValueError if it is none."""
    match = _DURATION.match(duration)
    if match is None:
        raise ValueError(f"{duration!r} is no duration: write a whole number and ms, s, m or h, such as 120ms")
    return int(match[1]) * _SECONDS[match[2]]


def size_in_bytes(size: str) -> int:
    """The bytes that a `Size` stands for."""
    digits = size.rstrip("KMGi")
    return int(digits) * _SIZE[size[len(digits) :]]


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """The schema extension for CEL rules given as (expression that must hold, message when it doesn't)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
