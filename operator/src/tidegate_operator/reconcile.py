"""One pass over one InferenceService: observe, decide, record the decision in the status, then act on it.

The decision is recorded before it is acted on, guarded by resourceVersion; so whoever acts, acts on what the status
says, and a pass that starts from a stale view writes nothing, but for the record of a revision: by that nothing runs.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidegate_operator import errors, naming, status
from tidegate_operator.acting import Acting
from tidegate_operator.analyst import Analyst
from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.desired.children import Children
from tidegate_operator.due import due
from tidegate_operator.events import Event, decision_of, events_of
from tidegate_operator.foresight import Foresight
from tidegate_operator.install import Install
from tidegate_operator.kube import config_maps
from tidegate_operator.kube.apply import Applier, NotOwned, Quarrel
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import (
    AUTOSCALER,
    POD,
    SERVICES,
    Object,
    owned_by,
)
from tidegate_operator.kube.recorder import Recorder
from tidegate_operator.kube.store import Key, Reference, Store, reference_of
from tidegate_operator.observed import Failure, scaling_of, workloads
from tidegate_operator.report import Report, with_forecast, with_obstacle, with_planned
from tidegate_operator.rollout import capacity, giving, machine
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.state import Seen, Situation, recall
from tidegate_operator.routing.ways import Look, Ways
from tidegate_operator.service import Service, config_maps_of, held_to, plan_of, understand

logger = logging.getLogger(__name__)

ASK_CONFIG_MAPS_AGAIN = timedelta(seconds=5)
"""Those of users aren't watched: where a value is missing it is looked for again."""


@dataclass(frozen=True)
class Outcome:
    """What a pass leaves to its caller."""

    due: timedelta | None = None
    """After how long the next pass is due if nothing happens before."""
    gone: bool = False
    """Whether there is nothing to do for the service any more."""


class Reconciler:
    """Runs passes; everything it needs comes through the constructor, everything it knows is in `store`."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        ways: Ways,
        analyst: Analyst,
        foresight: Foresight,
        recorder: Recorder,
        install: Install,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._ways = ways
        self._analyst = analyst
        self._foresight = foresight
        self._recorder = recorder
        self._install = install
        self._applier = Applier(cluster, store)
        self._acting = Acting(self._applier, store, recorder, install)

    async def reconcile(self, key: Key, now: datetime) -> Outcome:
        """Run one pass.

        Raises `errors.Conflict` when the view was stale, and other `errors.OperatorError` when something could not be
        found out or done: the pass is to be run again.
        """
        live = self._store.get(Reference(naming.KIND, key.namespace, key.name))
        if live is None or "deletionTimestamp" in live["metadata"]:
            for child in self._store.children(key):
                self._applier.forget(reference_of(child))
            self._analyst.forget(key)
            return Outcome(gone=True)
        before = InferenceServiceStatus.model_validate(live.get("status", {}))
        owned = tuple(child for child in self._store.children(key) if _belongs(child, live["metadata"]["uid"]))
        values = await config_maps.read(self._cluster, key.namespace, config_maps_of(live, before, owned))
        try:
            service = understand(live, key, before, owned, self._install, values)
        except errors.InvalidSpec as problem:
            refused = status.refused(before, _invalid(problem), _generation(live), now)
            await self._recorder.record_all(*await self._record(live, before, refused))
            return Outcome(ASK_CONFIG_MAPS_AGAIN if values else None)
        outcome = await self._pass(service, now)
        if service.problem and values:
            return Outcome(min(ASK_CONFIG_MAPS_AGAIN, outcome.due or ASK_CONFIG_MAPS_AGAIN))
        return outcome

    async def _pass(self, service: Service, now: datetime) -> Outcome:
        look, report = await self._observe(service, now)
        seen = {
            name: Seen(found.wanted, found.ready, report.routable.get(name)) for name, found in report.workloads.items()
        }
        memory = recall(service.before, seen, service.target, now)
        request = service.before.rollout.request if service.before.rollout else None
        pods = [child for child in service.owned if child["kind"] == POD.name]
        situation = Situation(
            target=service.target,
            seen=seen,
            request=request,
            analysis=await self._analyst.analyse(service.key, service.spec.rollout, memory, pods, now),
            kept=frozenset(service.records),
            awaited=look.outlook.awaited,
            update=service.update.revision.name if service.update else None,
            gpus=service.gpus,
            pressed=report.scaling is not None and report.scaling.pressed,
        )
        decision = machine.step(memory, service.spec.rollout, service.spec.scaling, situation, now)
        bounds = capacity.bounds(decision.state, service.spec.rollout, service.spec.scaling, situation)
        plan = plan_of(service, decision.state, bounds, report.workloads)
        forecast = await self._foresight.forecast(service, plan.bounds, report.workloads)
        report = with_planned(report, {name: service.planned(name, of.low) for name, of in plan.bounds.items()})
        report = with_forecast(report, forecast)
        # An obstacle stands until the children could be made: told away on every attempt, it would flicker.
        standing = status.standing_obstacle(service.before)
        wanted = self._acting.wanted(service, plan)
        standing_report = with_obstacle(report, standing)
        live, events, unrecorded = await self._decide(service, decision, standing_report, wanted, now)
        canary_ready = report.workload(decision.state.canary).ready > 0
        paths = self._ways.manifests(service.subject, look.move, decision.state, canary_ready=canary_ready)
        try:
            if unrecorded is not None:
                raise unrecorded
            await self._acting.act(live, service, plan, wanted, paths, events, now)
        except (NotOwned, errors.Forbidden, errors.Invalid) as refusal:
            reason = "NotOwned" if isinstance(refusal, NotOwned) else "ChildRefused"
            obstacle = Failure(reason, str(refusal))
            await self._tell_and_record(live, service, decision, with_obstacle(report, obstacle), now)
            raise
        quarrels = self._quarrels(service, now)
        if quarrels:
            report = with_obstacle(report, Failure("FieldsContested", quarrels[0].told))
        if standing or quarrels:
            await self._tell_and_record(live, service, decision, report, now)
        moments = [quarrel.until for quarrel in quarrels]
        return Outcome(due(decision, service.spec.rollout, report, look.due(now), now, moments))

    def _quarrels(self, service: Service, now: datetime) -> list[Quarrel]:
        found = (self._applier.quarrel(reference_of(child), now) for child in service.owned)
        return [quarrel for quarrel in found if quarrel is not None]

    async def _observe(self, service: Service, now: datetime) -> tuple[Look, Report]:
        found = workloads(service.owned)
        ready = [name for name, workload in found.items() if workload.ready]
        look = await self._ways.look(service.subject, service.before, ready, now, stay=service.problem is not None)
        stable = service.before.stable.revision if service.before.stable else None
        hpa = next((c for c in service.owned if c["kind"] == AUTOSCALER.name and c["metadata"]["name"] == stable), None)
        return look, Report(
            workloads=found,
            routable=dict(look.outlook.routable),
            way=look.outlook.obstacle,
            canary_way=look.outlook.canary_obstacle,
            routing=look.told,
            scaling=scaling_of(hpa) if giving.autoscaled(service.spec.scaling) else None,
            update=service.update,
            digests=held_to(service, found),
        )

    async def _decide(
        self, service: Service, decision: Decision, report: Report, wanted: Children, now: datetime
    ) -> tuple[Object, list[Event], BaseException | None]:
        """The object that has the decision, the events that it is worth, and why a new revision has no record.

        Beside each other: a record decides nothing, and pods wait for both.
        """
        telling = self._tell(service.live, service, decision, report, now)
        if not wanted.records:
            return *await telling, None
        recording = self._acting.record(service, wanted, now)
        told, unrecorded = await asyncio.gather(telling, recording, return_exceptions=True)
        if isinstance(told, BaseException):
            raise told
        return *told, unrecorded

    async def _tell_and_record(
        self, live: Object, service: Service, decision: Decision, report: Report, now: datetime
    ) -> None:
        await self._recorder.record_all(*await self._tell(live, service, decision, report, now))

    async def _tell(
        self, live: Object, service: Service, decision: Decision, report: Report, now: datetime
    ) -> tuple[Object, list[Event]]:
        # `live` is what this pass decided on, not what the watch may have told since: a request that someone wrote
        # meanwhile makes this a Conflict, and is not written over.
        before = service.before
        if live is not service.live:
            before = InferenceServiceStatus.model_validate(live.get("status", {}))
        addresses = self._addresses(service.key, decision.state.canary)
        after = status.compute(before, service.spec, decision, report, addresses, _generation(live), now)
        if service.problem:
            after = status.refused(after, _invalid(service.problem), _generation(live), now)
        return await self._record(live, before, after)

    def _addresses(self, key: Key, canary: str | None) -> status.Addresses:
        domain = self._install.cluster_domain
        preview = naming.preview_url(canary, key.namespace, domain) if canary else None
        external = self._install.external_url(key.name, key.namespace)
        return status.Addresses(naming.url(key.name, key.namespace, domain), preview, external)

    async def _record(
        self, live: Object, before: InferenceServiceStatus, after: InferenceServiceStatus
    ) -> tuple[Object, list[Event]]:
        """The object with `after` as its status, and the events that the change is worth."""
        if after == before:
            return live, []
        path = SERVICES.path(live["metadata"]["namespace"], live["metadata"]["name"]) + "/status"
        answer = await self._cluster.replace(path, {**live, "status": after.dump()})
        self._store.put(answer)
        if (decided := decision_of(before, after)) is not None:
            about = {"namespace": live["metadata"]["namespace"], "service": live["metadata"]["name"]}
            logger.info("decided", extra={**about, **decided})
        return answer, events_of(before, after)


def _belongs(child: Object, uid: str) -> bool:
    # A pod's owner is its ReplicaSet: it is told by its labels, which its Deployment's selector holds unique.
    return child["kind"] == "Pod" or owned_by(child, uid)


def _invalid(problem: errors.InvalidSpec) -> Failure:
    return Failure("InvalidSpec", str(problem))


def _generation(live: Object) -> int:
    generation: int = live["metadata"]["generation"]
    return generation


def utc_now() -> datetime:
    """The time at which a pass decides, to the second, as Kubernetes' own timestamps are."""
    return datetime.now(UTC).replace(microsecond=0)
