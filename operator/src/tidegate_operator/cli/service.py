"""An InferenceService as the commands look at it: the API server's object, and its status understood."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tidegate_operator import errors
from tidegate_operator.api.status import Condition, InferenceServiceStatus, RolloutStatus
from tidegate_operator.cli.words import moment
from tidegate_operator.conditions import STALLED

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Service:
    """One InferenceService."""

    live: Object
    """The whole object."""
    status: InferenceServiceStatus

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.live["metadata"]["name"]
        return name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        namespace: str = self.live["metadata"]["namespace"]
        return namespace

    @property
    def generation(self) -> int:
        """How often its spec was written."""
        generation: int = self.live["metadata"].get("generation", 1)
        return generation

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        version: str = self.live["metadata"]["resourceVersion"]
        return version

    @property
    def spec(self) -> Object:
        """Its spec, as stored."""
        spec: Object = self.live.get("spec", {})
        return spec

    @property
    def rollout(self) -> RolloutStatus:
        """Where its rollout stands; nothing is told in it before the controller has looked."""
        return self.status.rollout or RolloutStatus()

    @property
    def seen(self) -> bool:
        """Whether the status is about the spec that there is now."""
        return self.status.observed_generation == self.generation

    @property
    def created(self) -> datetime | None:
        """When it was created."""
        return moment(self.live["metadata"].get("creationTimestamp"))

    def condition(self, kind: str) -> Condition | None:
        """One of its conditions; None if it isn't told."""
        return next((condition for condition in self.status.conditions if condition.type == kind), None)

    @property
    def stalled(self) -> Condition | None:
        """The condition that says that nothing goes on until someone changes something; None while that isn't so."""
        found = self.condition(STALLED)
        return found if found is not None and found.status == "True" else None


def understand(live: Object) -> Service:
    """The service that `live` is; raises `errors.InvalidSpec` if another release wrote what this one can't read."""
    try:
        status = InferenceServiceStatus.model_validate(live.get("status") or {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("status", *first["loc"]))
        raise errors.InvalidSpec(
            f"{field}: {first['msg']}: the controller is of another release; install kubectl-tidegate of that one"
        ) from error
    return Service(live, status)
