"""InferenceServices as the API server shows them, each with the status that a pass of the controller would write."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from tidegate_operator.api.crd import UNSEEN
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import InferenceServiceStatus, Phase
from tidegate_operator.observed import Failure, Scaling, Workload
from tidegate_operator.report import Report
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.status import Addresses, compute, refused

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
STABLE, CANARY = "churn-aaaaaaaa", "churn-bbbbbbbb"
GENERATION = 7
SPEC = {"model": {"uri": "https://models.example/churn.onnx"}}

Object = dict[str, Any]

MISMATCH = Failure("DigestMismatch", "got 77aa")
NO_NODE = Failure("Unschedulable", "no node has a GPU", passing=True)
NOT_OURS = Failure("NotOwned", "Service churn isn't ours")


ONE_POD = Workload(STABLE, 1, 1, settled=True)


@dataclass(frozen=True)
class Situation:
    """What was decided and seen."""

    phase: Phase
    stable: Workload = ONE_POD
    canary: Workload | None = None
    weight: int = 0
    routable: bool | None = True
    obstacle: Failure | None = None
    needs_more: bool = False
    """Whether the canary needs more pods than it may have."""
    scaling: Scaling | None = None

    @property
    def status(self) -> InferenceServiceStatus:
        """What the controller makes of it."""
        state = RolloutState(
            since=NOW,
            phase=self.phase,
            stable=STABLE,
            canary=CANARY if self.canary else None,
            weight=self.weight,
            rejected=("bbbbbbbb",) if self.phase == "Aborted" else (),
        )
        workloads = {found.revision: found for found in (self.stable, self.canary) if found}
        routable = {name: self.routable for name, found in workloads.items() if found.ready}
        report = Report(workloads, routable, scaling=self.scaling, obstacle=self.obstacle)
        decision = Decision(state, "what it waits for", obstacle=self.needs_more)
        spec = InferenceServiceSpec.model_validate(SPEC)
        return compute(
            InferenceServiceStatus(), spec, decision, report, Addresses("http://churn.ml.svc"), GENERATION, NOW
        )

    @property
    def object(self) -> Object:
        """The object with that status."""
        return an_object(self.status.dump())


def an_object(status: Mapping[str, Any], *, generation: int = GENERATION, **metadata: str) -> Object:
    """An InferenceService at `generation`, with what is given of its metadata."""
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "churn", "namespace": "ml", "generation": generation, **metadata},
        "spec": SPEC,
        "status": dict(status),
    }


def pods(revision: str, wanted: int, ready: int, failure: Failure | None = None) -> Workload:
    """A revision's pods, all there as soon as all are ready."""
    return Workload(revision, wanted, ready, settled=wanted == ready, failure=failure)


_SERVES = Situation("Stable")
_LOADING = Situation("Initial", stable=pods(STABLE, 1, 0))
_AT_10 = Situation("Progressing", canary=pods(CANARY, 1, 1), weight=10)
_WAITS = Situation("AwaitingApproval", canary=pods(CANARY, 1, 1), weight=10)

SITUATIONS: dict[str, Object] = {
    "a new object that the controller hasn't seen": an_object(UNSEEN, generation=1),
    "a spec that the controller hasn't seen": an_object(_SERVES.status.dump(), generation=GENERATION + 1),
    "an object that is being deleted": an_object(_SERVES.status.dump(), deletionTimestamp="2026-11-22T10:00:00Z"),
    "the first revision loads its model": _LOADING.object,
    "the first revision finds no node yet": Situation("Initial", stable=pods(STABLE, 1, 0, NO_NODE)).object,
    "the first revision's model is not the one that was promised": Situation(
        "Initial", stable=pods(STABLE, 1, 0, MISMATCH)
    ).object,
    "a spec that this release can't honour": an_object(
        refused(_SERVES.status, Failure("InvalidSpec", "spec.model.uri: …"), GENERATION, NOW).dump()
    ),
    "it serves": _SERVES.object,
    "it serves, and its autoscaler reads no metrics": Situation(
        "Stable", scaling=Scaling("False", "FailedGetPodsMetric", "no metrics")
    ).object,
    "it serves, and pods come or go": Situation("Stable", stable=pods(STABLE, 3, 1)).object,
    "its routers can't be asked": Situation("Stable", routable=None).object,
    "its last ready pod is gone": Situation("Stable", stable=pods(STABLE, 1, 0)).object,
    "its children belong to someone else": Situation("Stable", obstacle=NOT_OURS).object,
    "a canary is prepared": Situation("Preparing", canary=pods(CANARY, 1, 0)).object,
    "a canary has its share of requests": _AT_10.object,
    "a canary waits for a person": _WAITS.object,
    "a canary is paused": Situation("Paused", canary=pods(CANARY, 1, 1), weight=10).object,
    "an earlier revision is rolled back to": Situation("RollingBack", canary=pods(CANARY, 1, 0)).object,
    "a canary waits for a person, and stable's last ready pod is gone": Situation(
        "AwaitingApproval", stable=pods(STABLE, 1, 0), canary=pods(CANARY, 1, 1), weight=10
    ).object,
    "a canary's model is not the one that was promised": Situation(
        "Preparing", canary=pods(CANARY, 1, 0, MISMATCH)
    ).object,
    "a canary needs more pods than it may have": Situation(
        "Blocked", canary=pods(CANARY, 1, 1), needs_more=True
    ).object,
    "a canary carried every step and is promoted": Situation("Promoting", canary=pods(CANARY, 1, 1), weight=50).object,
    "a canary was aborted": Situation("Aborted").object,
}
"""By the words of docs/gitops.md."""

_WITHOUT_CANARY = ("Initial", "Stable", "Aborted")
_PODS = [(1, 1, None), (3, 1, None), (1, 0, None), (1, 0, MISMATCH), (1, 0, NO_NODE), (2, 1, MISMATCH), (2, 1, NO_NODE)]


def every_situation() -> Iterator[Situation]:
    """Each phase with each state of pods, routers and children that a pass can meet."""
    for phase in get_args(Phase):
        canaries = [None] if phase in _WITHOUT_CANARY else [pods(CANARY, *found) for found in _PODS]
        stables = [pods(STABLE, *found) for found in _PODS]
        for stable, canary, routable, obstacle, needs_more in itertools.product(
            stables, canaries, (True, False, None), (None, NOT_OURS), (False, True)
        ):
            weight = 10 if canary and phase != "Preparing" else 0
            yield Situation(phase, stable, canary, weight, routable, obstacle, needs_more)
