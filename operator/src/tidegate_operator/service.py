"""An InferenceService as a pass understands it: its spec, what it asks for, and what it has. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from tidegate_operator import errors
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.desired import accelerators
from tidegate_operator.desired.children import Plan
from tidegate_operator.desired.config_maps import ConfigMaps, filled, named_in
from tidegate_operator.desired.platform_update import PlatformUpdate, platform_update
from tidegate_operator.desired.revision import is_pinned
from tidegate_operator.evidence import queries
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import CONFIG_MAP, RECORD, Object
from tidegate_operator.kube.store import Key
from tidegate_operator.naming import DIGEST_KEY
from tidegate_operator.observed import Workload, to_be
from tidegate_operator.revisions import Revision, resolved, revision_of
from tidegate_operator.rollout.capacity import Bounds
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing import abilities
from tidegate_operator.routing.provider import Subject

CLAIMS_SINCE = (1, 34)
"""Where pods may have ResourceClaims without a feature gate (KEP-4381)."""


@dataclass(frozen=True)
class Service:
    """An InferenceService as this pass sees it."""

    live: Object
    key: Key
    spec: InferenceServiceSpec
    before: InferenceServiceStatus
    owned: tuple[Object, ...]
    """Its children."""
    revision: Revision
    update: PlatformUpdate | None = None
    """What this release would make of the stable revision."""
    problem: errors.InvalidSpec | None = None
    """Why this install doesn't take the spec's revision."""
    filled: InferenceServiceSpec | None = None
    """The spec with what it takes from ConfigMaps; None where its revision has a record, which holds that."""

    @property
    def uid(self) -> str:
        """The object's uid."""
        uid: str = self.live["metadata"]["uid"]
        return uid

    @property
    def subject(self) -> Subject:
        """The same as ways of routing see it."""
        return Subject(self.live, self.spec)

    @property
    def records(self) -> dict[str, Object]:
        """Its ControllerRevisions, by revision."""
        return {child["metadata"]["name"]: child for child in self.owned if child["kind"] == RECORD.name}

    @property
    def gpus(self) -> dict[str, int]:
        """What one pod of each revision holds, as far as that is known."""
        recorded = {
            name: accelerators.held(record["data"]["template"]["spec"]) for name, record in self.records.items()
        }
        asked = sum(map(int, accelerators.limits(self.spec).values()))
        return {self.revision.name: asked, **recorded}

    def planned(self, revision: str, replicas: int) -> Workload:
        """What its Deployment will be, where there is none yet."""
        record = self.records.get(revision)
        if record is not None:
            return to_be(revision, replicas, record["data"]["template"])
        runtime = self.spec.runtime
        health_path = runtime.image.health_path if runtime.image else None
        return Workload(revision, replicas, timeout_seconds=seconds(runtime.timeout), health_path=health_path)

    def is_held(self, revision: str) -> bool:
        """Whether all its pods are held to what the first one has fetched."""
        record = self.records.get(revision)
        if record is None:
            return self.spec.model is not None and self.spec.model.sha256 is None
        return is_pinned(record["data"]["template"], revision)

    @property
    def target(self) -> str:
        """The revision to come to: the spec's, or the one under way where the spec's isn't taken."""
        under_way = self.before.canary or self.before.stable
        return under_way.revision if self.problem and under_way else self.revision.name


def understand(
    live: Object,
    key: Key,
    before: InferenceServiceStatus,
    owned: tuple[Object, ...],
    install: Install,
    config_maps: ConfigMaps,
) -> Service:
    """What `live` with its children `owned` asks for; `config_maps` are those that `config_maps_of` names.

    Raises:
        errors.InvalidSpec: this release, or this install, can't honour the spec, and nothing runs yet.
    """
    try:
        spec = InferenceServiceSpec.model_validate(live["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise errors.InvalidSpec(f"{field}: {first['msg']}") from error
    problem = _refusal(spec, key.namespace, install)
    service = Service(live, key, spec, before, owned, revision_of(key.name, spec), problem=problem)
    service = _filled(_resolved(service, install, config_maps), config_maps)
    if service.problem and before.stable is None:
        raise service.problem
    return service


def config_maps_of(live: Object, before: InferenceServiceStatus, owned: Iterable[Object]) -> frozenset[str]:
    """The ConfigMaps that the spec takes values from, and those that the stable revision took them from."""
    stable = before.stable.revision if before.stable else None
    records = (child for child in owned if child["kind"] == RECORD.name and child["metadata"]["name"] == stable)
    contents = (live["spec"], *(record["data"].get("content") or {} for record in records))
    return frozenset(name for content in contents for name in named_in(content))


def plan_of(
    service: Service, state: RolloutState, bounds: Mapping[str, Bounds], workloads: Mapping[str, Workload]
) -> Plan:
    """What is to be made of a decision, with pods by `bounds`.

    Where the spec promises no digest, all pods of a revision are held to what its first ready one has fetched; until
    then one pod is all there is. One that is ready and doesn't tell, since its runtime is older, holds up nobody.
    A revision that has served keeps its pods, whatever can be seen of it.
    """
    digests = {**_told(workloads), **_pinned(service)}
    ready = {name for name, found in workloads.items() if found.ready}
    new = {state.canary, state.stable if state.phase == "Initial" else None} & bounds.keys()
    unpinned = frozenset(name for name in new - digests.keys() - ready if name and service.is_held(name))
    narrowed = {
        name: Bounds(min(1, limits.low), min(1, limits.low)) if name in unpinned else limits
        for name, limits in bounds.items()
    }
    return Plan(None if service.problem else service.revision, state, narrowed, digests, unpinned)


def held_to(service: Service, workloads: Mapping[str, Workload]) -> dict[str, str]:
    """The SHA-256 that each revision's model has to have, whoever said so: its spec, or what its first pod fetched."""
    specs = {service.revision.name: service.revision.content} | {
        name: record["data"].get("content") or {} for name, record in service.records.items()
    }
    promised = {name: (content.get("model") or {}).get("sha256") for name, content in specs.items()}
    # A template of an earlier release holds nobody to what is told.
    told = {name: sha256 for name, sha256 in _told(workloads).items() if service.is_held(name)}
    return {**told, **_pinned(service), **{name: sha256 for name, sha256 in promised.items() if sha256}}


def _told(workloads: Mapping[str, Workload]) -> dict[str, str]:
    return {name: found.sha256 for name, found in workloads.items() if found.sha256}


def _pinned(service: Service) -> dict[str, str]:
    pins = (child for child in service.owned if child["kind"] == CONFIG_MAP.name)
    return {pin["metadata"]["name"]: pin["data"][DIGEST_KEY] for pin in pins if DIGEST_KEY in pin.get("data", {})}


def _refusal(spec: InferenceServiceSpec, namespace: str, install: Install) -> errors.InvalidSpec | None:
    if spec.resources.gpu and spec.resources.gpu.claim_template and (install.kubernetes or CLAIMS_SINCE) < CLAIMS_SINCE:
        return errors.InvalidSpec(
            f"spec.resources.gpu.claimTemplate: needs Kubernetes {_version(CLAIMS_SINCE)}, and this is"
            f" {_version(install.kubernetes or CLAIMS_SINCE)}, which would drop it: name a resource and a count instead"
        )
    if told := abilities.refusal(spec, install):
        return errors.InvalidSpec(told)
    if spec.rollout.analysis.queries and (told := queries.refusal(namespace, install)):
        return errors.InvalidSpec(f"spec.rollout.analysis.queries: {told}")
    if spec.runtime.image and not install.allow_own_images:
        return errors.InvalidSpec(
            "spec.runtime.image: this install runs no images but its own: set the chart's images.allowOwn, or drop it"
        )
    if spec.model is None and spec.runtime.image is None:
        return errors.InvalidSpec(
            "spec.model: name what to serve, or in spec.runtime.image an image that brings its own"
        )
    if spec.model and spec.model.uri.startswith("http://") and not install.allow_http_models:
        return errors.InvalidSpec(
            "spec.model.uri: http:// is not allowed by this install: use https://, or set models.allowHttp"
        )
    return None


def _version(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _filled(service: Service, config_maps: ConfigMaps) -> Service:
    """`service` with the spec that its revision is to be rendered from, if it is."""
    if service.revision.name in service.records or service.problem:
        return service
    try:
        return replace(service, filled=filled(service.spec, config_maps))
    except errors.InvalidSpec as problem:
        return replace(service, problem=problem)


def _resolved(service: Service, install: Install, config_maps: ConfigMaps) -> Service:
    """`service` with the revision, of those made from the same part of a spec, that stands for its spec."""
    before, records = service.before, service.records
    stable = before.stable.revision if before.stable else ""
    record = records.get(stable)
    update = platform_update(service.key.name, stable, record, install, config_maps) if record else None
    under_way = update and before.canary and before.canary.revision == update.revision.name
    rejected = (before.rollout.rejected if before.rollout else None) or []
    revision = resolved(service.revision, records, rejected, update.revision if update and under_way else None)
    return replace(service, revision=revision, update=update)
