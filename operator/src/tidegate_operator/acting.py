"""Makes a service's children what a pass has decided."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tidegate_operator import naming
from tidegate_operator.desired import Manifest, children
from tidegate_operator.desired.routes import outlived
from tidegate_operator.events import Event
from tidegate_operator.install import Install
from tidegate_operator.kube.apply import Applier
from tidegate_operator.kube.objects import AUTOSCALER, CHILDREN, CONFIG_MAP, DEPLOYMENT, ROUTES, SERVICE, Object
from tidegate_operator.kube.recorder import Recorder
from tidegate_operator.kube.store import Store, reference_of
from tidegate_operator.service import Service


@dataclass
class _Acts:
    """What a pass does to the children of one owner."""

    uid: str
    """The owner's."""
    now: datetime
    events: list[Event] = field(default_factory=list)
    """What it is worth telling."""


class Acting:
    """Applies and removes children; what stands already isn't sent again."""

    def __init__(self, applier: Applier, store: Store, recorder: Recorder, install: Install) -> None:
        self._applier = applier
        self._store = store
        self._recorder = recorder
        self._install = install

    def wanted(self, service: Service, plan: children.Plan) -> children.Children:
        """What should exist by `plan`."""
        scaled = frozenset(c["metadata"]["name"] for c in service.owned if c["kind"] == AUTOSCALER.name)
        spec = service.filled or service.spec
        return children.build(service.live, spec, plan, service.records, scaled, self._install)

    async def record(self, service: Service, wanted: children.Children, now: datetime) -> None:
        """Keep what new revisions are made from; nothing runs by that. Raises `NotOwned` and `errors.ApiError`."""
        await self._apply(wanted.records, naming.MANAGER, _Acts(service.uid, now))

    async def act(
        self,
        live: Object,
        service: Service,
        plan: children.Plan,
        wanted: children.Children,
        paths: tuple[Manifest, ...],
        events: Iterable[Event],
        now: datetime,
    ) -> None:
        """Do what was decided, and record `events` and what it is worth telling besides.

        `paths` are the objects by which callers come. Raises `NotOwned` and `errors.ApiError`.
        """
        # Beside each other: nobody waits for an event, and an API server has time for both.
        recording = asyncio.create_task(self._recorder.record_all(live, events))
        acts = _Acts(service.uid, now)
        try:
            await self._act(service, plan, wanted, paths, acts)
        finally:
            await recording
            await self._recorder.record_all(live, acts.events)

    async def _act(
        self,
        service: Service,
        plan: children.Plan,
        wanted: children.Children,
        paths: tuple[Manifest, ...],
        acts: _Acts,
    ) -> None:
        manifests = (*self._outlived(wanted.manifests, paths), *paths)
        needed = frozenset(manifest["metadata"]["name"] for manifest in manifests)
        needed |= frozenset([plan.state.previous] if plan.state.previous else [])
        remembered = children.kept_records(service.records, needed, service.spec.rollout.history_limit)
        pins = (c for c in service.owned if c["kind"] == CONFIG_MAP.name and c["metadata"]["name"] in remembered)
        records_kept = (record for name, record in service.records.items() if name in remembered)
        kept = (*wanted.records, *wanted.pins, *manifests, *wanted.autoscalers, *records_kept, *pins)
        gone = self._gone([c for c in service.owned if c["metadata"]["name"] not in wanted.untouched], kept)
        # Or they would still set the replicas that are applied next.
        await self._delete(child for child in gone if child["kind"] == AUTOSCALER.name)
        deployments = [manifest for manifest in manifests if manifest["kind"] == DEPLOYMENT.name]
        others = [manifest for manifest in manifests if manifest["kind"] != DEPLOYMENT.name]
        await _all(
            self._delete(child for child in gone if child["kind"] != AUTOSCALER.name),
            self._run_pods(wanted, deployments, acts),
            self._apply(others, naming.MANAGER, acts),
        )

    async def _run_pods(self, wanted: children.Children, deployments: list[Manifest], acts: _Acts) -> None:
        # What pods are made from is recorded before there are any, and an HPA wants something to scale.
        await self._apply((*wanted.records, *wanted.pins), naming.MANAGER, acts)
        await self._apply(deployments, naming.MANAGER, acts)
        fixed = [count for count in wanted.replicas if self._has(count) != count["spec"]["replicas"]]
        floors = [floor for floor in wanted.floors if self._has(floor) < floor["spec"]["replicas"]]
        await self._apply((*fixed, *floors), naming.REPLICAS_MANAGER, acts)
        await self._apply(wanted.autoscalers, naming.MANAGER, acts)

    async def _apply(self, manifests: Iterable[Manifest], manager: str, acts: _Acts) -> None:
        # Most of the time nothing is to be done: that takes no task for each.
        due = [manifest for manifest in manifests if not self._applier.stands(manifest, manager, acts.uid)]
        await _all(*(self._apply_one(manifest, manager, acts) for manifest in due))

    async def _apply_one(self, manifest: Manifest, manager: str, acts: _Acts) -> None:
        if (told := await self._applier.apply(manifest, manager, acts.uid, acts.now)) is not None:
            acts.events.append(Event("Warning", "ChildSetBack", f"{told}; set back to what the service asks for"))

    def _outlived(self, manifests: Iterable[Manifest], paths: Iterable[Manifest]) -> list[Manifest]:
        """`manifests` of revisions, whose Services stay for as long as the routes that lead there."""
        kinds = {kind.name for kind in ROUTES}
        known = (self._store.get(reference_of(path)) for path in paths if path["kind"] in kinds)
        routes = [route for route in known if route is not None]
        return [outlived(each, routes) if each["kind"] == SERVICE.name else each for each in manifests]

    def _has(self, deployment: Manifest) -> int:
        """The replicas of a Deployment that was applied before."""
        live = self._store.get(reference_of(deployment))
        count: int = live["spec"].get("replicas", 1) if live else 1
        return count

    def _gone(self, owned: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
        """What there is of kinds that are ours to make, and is no longer wanted."""
        kept = {reference_of(manifest) for manifest in wanted}
        kinds = {kind.name for kind in (*CHILDREN, *ROUTES)}
        return [child for child in owned if child["kind"] in kinds and reference_of(child) not in kept]

    async def _delete(self, gone: Iterable[Object]) -> None:
        await _all(*(self._applier.delete(child) for child in gone))


async def _all(*work: Coroutine[None, None, None]) -> None:
    """Do all of it beside each other, though some fails; then raise the first failure."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
