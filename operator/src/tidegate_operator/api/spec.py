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

_METRICS = "!has(self.runtime.image) || self.runtime.image.metrics"


class InferenceServiceSpec(ApiModel):
    """What a team asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.model) || has(self.runtime.image)",
                "model: name what to serve, or in runtime.image an image that brings its own",
            ),
            (
                "!has(self.runtime.image) || self.routing.provider == 'Router'"
                " || (self.runtime.image.metrics && self.routing.provider in ['Service', 'Gateway'])",
                "runtime.image: routing.provider Router alone counts what becomes of requests by itself; Service and"
                " Gateway go by the pods' metrics (set runtime.image.metrics), Direct by the bundled runtime: use"
                " Router",
            ),
            (
                "!has(self.runtime.image) || !has(self.rollout.shadow)",
                "rollout.shadow: the bundled runtime's pods copy and compare, which runtime.image takes the place of:"
                " drop it",
            ),
            (
                f"{_METRICS} || !has(self.scaling.maxReplicas) || self.scaling.maxReplicas == self.scaling.minReplicas",
                "scaling.maxReplicas: without its metrics there is nothing to scale an image on: set"
                " runtime.image.metrics, or drop it",
            ),
            (
                f"{_METRICS} || (!has(self.rollout.analysis.maxP95) && self.rollout.analysis.maxP95Increase == '20%'"
                " && self.rollout.analysis.minP95Increase == '2ms')",
                "rollout.analysis: without its metrics nobody knows an image's times: set runtime.image.metrics, or"
                " drop maxP95, maxP95Increase and minP95Increase",
            ),
            (
                "self.routing.provider in ['Router', 'Direct'] || !has(self.rollout.sticky)",
                "rollout.sticky: only routing.provider Router and Direct keep callers with a revision: drop it, or use"
                " one of them",
            ),
            (
                "self.routing.provider != 'Service' || !has(self.rollout.match) || self.rollout.match.size() == 0",
                "rollout.match: routing.provider Service can't match requests: drop it, or use Router or Direct",
            ),
            (
                "self.routing.provider != 'Gateway' || !has(self.rollout.match)"
                " || !self.rollout.match.exists(m, has(m.cookie))",
                "rollout.match: routing.provider Gateway can't match cookies: drop them, or use Router or Direct",
            ),
            (
                "!has(self.rollout.surgeGpus) || (has(self.resources.gpu) ? !has(self.resources.gpu.claimTemplate)"
                " : self.runtime.device == 'cuda')",
                "rollout.surgeGpus: how many GPUs a pod has must be known: set resources.gpu.count, or use"
                " rollout.surge",
            ),
        )
    )

    model: ModelSpec | None = None
    """What to serve. Left out only with a runtime.image that brings its own."""
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
