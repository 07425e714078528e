"""Everything that should exist for an InferenceService, in the order in which it is applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, Owner, revision
from tidegate_operator.install import Install
from tidegate_operator.revisions import Revision
from tidegate_operator.rollout.capacity import Bounds
from tidegate_operator.rollout.giving import autoscaled
from tidegate_operator.rollout.state import RolloutState


@dataclass(frozen=True)
class Plan:
    """What was decided: the revision that may be rendered, if any, where the rollout is, and each revision's pods."""

    target: Revision | None
    state: RolloutState
    bounds: Mapping[str, Bounds]
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the models that revisions are held to, as far as that is known."""
    unpinned: frozenset[str] = frozenset()
    """Revisions of whose model that isn't known yet: one pod is to tell."""


@dataclass(frozen=True)
class Children:
    """What should exist, by stage: each stage is applied when the one before is."""

    records: tuple[Manifest, ...]
    """ControllerRevisions to create; those that exist are never written again."""
    pins: tuple[Manifest, ...]
    """ConfigMaps with the digests of models; before there are more pods that could fetch something else."""
    manifests: tuple[Manifest, ...]
    """Services, Deployments and disruption budgets."""
    replicas: tuple[Manifest, ...]
    """The replicas of Deployments that no HPA scales, for their own field manager."""
    floors: tuple[Manifest, ...]
    """The same for those that are to get their HPA now: an HPA raises no Deployment from 0, and others only later."""
    autoscalers: tuple[Manifest, ...]
    """HPAs."""
    untouched: frozenset[str]
    """Revisions that run, but whose record someone deleted: their pods can't be told from it, so they stay."""


def build(
    owner: Owner,
    spec: InferenceServiceSpec,
    plan: Plan,
    records: Mapping[str, Mapping[str, Any]],
    scaled: frozenset[str],
    install: Install,
) -> Children:
    """The children of `owner` by `plan`.

    `records` are the ControllerRevisions there are, by revision, and `scaled` the revisions with an HPA. Only the
    target's pods are rendered, and only if it has no record. A retiring revision keeps everything but its
    autoscaler, so its replicas stay as they are.
    """
    created: list[Manifest] = []
    pins: list[Manifest] = []
    manifests: list[Manifest] = []
    replicas: list[Manifest] = []
    floors: list[Manifest] = []
    autoscalers: list[Manifest] = []
    untouched: set[str] = set()
    running = [name for name in (plan.state.stable, plan.state.canary) if name]
    for name in dict.fromkeys([*running, *(entry.revision for entry in plan.state.retiring)]):
        record = records.get(name)
        if record is None:
            if plan.target is None or name != plan.target.name:
                untouched.add(name)
                continue
            number = 1 + max((int(known["revision"]) for known in records.values()), default=0)
            record = revision.record(owner, plan.target, spec, install, number)
            created.append(record)
        manifests.append(revision.headless_service(owner, name, grpc=spec.routing.grpc))
        manifests.append(revision.deployment(owner, name, record))
        manifests.append(revision.disruption_budget(owner, name))
        if (sha256 := plan.digests.get(name)) and revision.is_pinned(record["data"]["template"], name):
            pins.append(revision.pin(owner, name, sha256))
        if limits := plan.bounds.get(name):
            floor = revision.replicas(owner, name, limits.low)
            if not autoscaled(spec.scaling) or not limits.low or name in plan.unpinned:
                replicas.append(floor)
                continue
            autoscalers.append(revision.autoscaler(owner, name, spec.scaling, limits))
            if name not in scaled:
                floors.append(floor)
    return Children(
        records=tuple(created),
        pins=tuple(pins),
        manifests=tuple(manifests),
        replicas=tuple(replicas),
        floors=tuple(floors),
        autoscalers=tuple(autoscalers),
        untouched=frozenset(untouched),
    )


def kept_records(records: Mapping[str, Mapping[str, Any]], needed: frozenset[str], history: int) -> frozenset[str]:
    """The revisions whose records stay: those that are `needed`, and the newest `history` besides."""
    others = sorted(set(records) - needed, key=lambda name: int(records[name]["revision"]), reverse=True)
    return needed | frozenset(others[:history])
