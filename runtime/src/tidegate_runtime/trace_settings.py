"""The protocol's trace settings, where requests aren't traced. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from tidegate_runtime.errors import InvalidRequest

SETTINGS: Final = {"trace_level": ["OFF"]}
"""Requests aren't traced: the one setting that there is, and its one value."""


def refuse(settings: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for any setting but the one that changes nothing."""
    for name, value in settings.items():
        if name != "trace_level":
            raise InvalidRequest(f'trace setting "{name[:64]}" is not served; requests are not traced')
        if value not in (None, "OFF", ["OFF"], []):
            raise InvalidRequest('"trace_level" can only be OFF; requests are not traced')
