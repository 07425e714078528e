"""The environment variables of a runtime's container."""

from collections.abc import Mapping

from tidegate_operator.api.environment_spec import VariableSpec
from tidegate_operator.desired import Manifest


def settings(values: Mapping[str, object]) -> list[Manifest]:
    """The runtime's own options, by their names without the prefix."""
    return [{"name": f"TIDEGATE_{name}", "value": str(value)} for name, value in values.items()]


def variable(spec: VariableSpec) -> Manifest:
    """A variable of the spec, with its value. Kubernetes reads `$(NAME)` as another's value: each `$` is doubled."""
    return {"name": spec.name, "value": (spec.value or "").replace("$", "$$")}
