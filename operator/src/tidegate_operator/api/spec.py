"""`spec` of an InferenceService. Its schema, defaults and CEL rules are the CRD's; nothing else writes it."""

from pydantic import ConfigDict

from tidegate_operator.api.model_spec import ModelSpec
from tidegate_operator.api.placement_spec import PlacementSpec
from tidegate_operator.api.resources_spec import ResourcesSpec
from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.api.routing_spec import RoutingSpec
from tidegate_operator.api.runtime_spec import RuntimeSpec
from tidegate_operator.api.scaling_spec import ScalingSpec
from tidegate_operator.api.schema import ApiModel, rules


class InferenceServiceSpec(ApiModel):
    """What a team asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.routing.provider == 'Router' || !has(self.rollout.sticky)",
                "rollout.sticky: only routing.provider Router keeps callers with a revision: drop it, or use Router",
            ),
            (
                "self.routing.provider != 'Service' || !has(self.rollout.match) || self.rollout.match.size() == 0",
                "rollout.match: routing.provider Service can't match requests: drop it, or use Router",
            ),
            (
                "self.routing.provider != 'Gateway' || !has(self.rollout.match)"
                " || !self.rollout.match.exists(m, has(m.cookie))",
                "rollout.match: routing.provider Gateway can't match cookies: drop them, or use Router",
            ),
        )
    )

    model: ModelSpec
    """What to serve."""
    runtime: RuntimeSpec = RuntimeSpec()
    """How the model is run."""
    resources: ResourcesSpec = ResourcesSpec()
    """What one pod needs."""
    placement: PlacementSpec = PlacementSpec()
    """Which nodes its pods may run on."""
    scaling: ScalingSpec = ScalingSpec()
    """How many pods, and when more."""
    rollout: RolloutSpec = RolloutSpec()
    """How a new revision takes over."""
    routing: RoutingSpec = RoutingSpec()
    """How requests reach the pods."""
