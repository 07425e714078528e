"""What an explanation looks at: the service, its objects, and the time."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from tidegate_operator.api.rollout_spec import RolloutSpec, StepSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.status import Phase, RoutedRevision
from tidegate_operator.cli.service import Object, Service
from tidegate_operator.cli.words import moment, span


@dataclass(frozen=True)
class Case:
    """One service to explain."""

    service: Service
    children: tuple[Object, ...]
    """The service's objects, and the controller's Lease if it could be read."""
    now: datetime
    install: str
    """The namespace in which Tidegate runs."""

    @property
    def phase(self) -> Phase | None:
        """Where the rollout stands."""
        return self.service.rollout.phase

    @property
    def since(self) -> datetime | None:
        """Since when the rollout stands there."""
        return self.service.rollout.since

    @property
    def canary(self) -> RoutedRevision | None:
        """The revision on trial."""
        return self.service.status.canary

    @property
    def steps(self) -> RolloutSpec:
        """`spec.rollout`; defaults where this release can't read it, which the status tells better."""
        try:
            return RolloutSpec.model_validate(self.service.spec.get("rollout") or {})
        except ValidationError:
            return RolloutSpec()

    @property
    def step(self) -> StepSpec | None:
        """The step under way."""
        number, steps = self.service.rollout.step, self.steps.steps
        return steps[number] if number is not None and number < len(steps) else None

    @property
    def copied(self) -> bool:
        """Whether the step under way is judged by copies of stable's requests."""
        return self.steps.shadow is not None and self.step is not None and not self.step.weight

    @property
    def held_until(self) -> datetime | None:
        """When the step's hold is over."""
        if self.step is None or self.since is None:
            return None
        return self.since + timedelta(seconds=seconds(self.step.hold))

    @property
    def given_up(self) -> tuple[str, ...]:
        """When a canary that doesn't get ready is given up, as evidence; nothing where that isn't so."""
        if self.phase != "Preparing" or self.since is None:
            return ()
        limit = self.steps.progress_deadline
        left = self.since + timedelta(seconds=seconds(limit)) - self.now
        return (f"spec.rollout.progressDeadline is {limit}: it is given up in {span(left)}",)

    def of_kind(self, kind: str) -> list[Object]:
        """The objects of a kind, by name."""
        found = (item for item in self.children if item.get("kind") == kind)
        return sorted(found, key=lambda item: item["metadata"]["name"])

    def tidegate(self, verb: str, *options: str) -> str:
        """A command of this plugin on the service."""
        return shlex.join(["kubectl", "tidegate", verb, self.service.name, "-n", self.service.namespace, *options])

    def kubectl(self, *words: str) -> str:
        """A command of kubectl in the service's namespace."""
        return shlex.join(["kubectl", "-n", self.service.namespace, *words])

    def edit(self) -> str:
        """The command that opens the spec; where Git holds it, the same is to be changed there."""
        return self.kubectl("edit", "isv", self.service.name)

    def set_rollout(self, fields: Mapping[str, Any]) -> str:
        """The command that sets fields of `spec.rollout`."""
        patch = json.dumps({"spec": {"rollout": fields}})
        return self.kubectl("patch", "isv", self.service.name, "--type=merge", "-p", patch)

    def look_at(self, process: str, *words: str) -> str:
        """A command of kubectl on one of Tidegate's own Deployments."""
        return shlex.join(["kubectl", "-n", self.install, *words, f"deployment/tidegate-{process}"])


def written(live: Object, *path: str) -> datetime | None:
    """When a field (`spec`, or `status`, `rollout`, `request`) was written last; None if managedFields don't tell."""
    subresource = path[0] if path[0] == "status" else ""
    times = []
    for entry in live["metadata"].get("managedFields") or []:
        node: Any = entry.get("fieldsV1", {})
        for key in path:
            node = node.get(f"f:{key}") if isinstance(node, Mapping) else None
        if node is not None and entry.get("subresource", "") == subresource and (when := moment(entry.get("time"))):
            times.append(when)
    return max(times, default=None)
