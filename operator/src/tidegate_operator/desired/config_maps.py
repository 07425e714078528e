"""What a spec takes from ConfigMaps: looked up when a revision is made, and kept with it from then on."""

from collections.abc import Mapping
from typing import Any

from tidegate_operator import errors
from tidegate_operator.api.environment_spec import VariableSpec
from tidegate_operator.api.spec import InferenceServiceSpec

ConfigMaps = Mapping[str, Mapping[str, str] | None]
"""The data of a namespace's ConfigMaps by their names; None of one that isn't there."""

LONGEST = 4096
"""Characters of a value at most: it is kept in each revision's record."""


def named_in(content: Mapping[str, Any]) -> frozenset[str]:
    """The ConfigMaps that a spec, as JSON has it, takes values from."""
    variables = (content.get("runtime") or {}).get("environment") or []
    return frozenset(variable["configMap"]["name"] for variable in variables if variable.get("configMap"))


def filled(spec: InferenceServiceSpec, config_maps: ConfigMaps) -> InferenceServiceSpec:
    """`spec` with the values themselves in place of where they are.

    Raises:
        errors.InvalidSpec: there is no such value, or it is too long.
    """
    environment = [_filled(variable, config_maps) for variable in spec.runtime.environment]
    return spec.model_copy(update={"runtime": spec.runtime.model_copy(update={"environment": environment})})


def _filled(variable: VariableSpec, config_maps: ConfigMaps) -> VariableSpec:
    if (source := variable.config_map) is None:
        return variable
    field = f"spec.runtime.environment, {variable.name}"
    data = config_maps.get(source.name)
    if data is None:
        raise errors.InvalidSpec(f"{field}: there is no ConfigMap {source.name} in the namespace: create it")
    value = data.get(source.key)
    if value is None:
        raise errors.InvalidSpec(f"{field}: ConfigMap {source.name} has no {source.key}: add it, or name another key")
    if len(value) > LONGEST:
        told = f"{source.key} of ConfigMap {source.name} has {len(value)} characters, and {LONGEST} is the limit"
        raise errors.InvalidSpec(f"{field}: {told}: shorten it")
    return variable.model_copy(update={"value": value, "config_map": None})
