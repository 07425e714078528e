"""An InferenceService as a pass understands it: its spec, what it asks for, and what it has. Pure."""

from dataclasses import dataclass, replace

from pydantic import ValidationError

from tidegate_operator import errors
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.desired.platform_update import PlatformUpdate, platform_update
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import RECORD, Object
from tidegate_operator.kube.store import Key
from tidegate_operator.observed import Workload, to_be
from tidegate_operator.revisions import Revision, resolved, revision_of
from tidegate_operator.routing import abilities
from tidegate_operator.routing.provider import Subject


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

    def planned(self, revision: str, replicas: int) -> Workload:
        """What its Deployment will be, where there is none yet."""
        record = self.records.get(revision)
        if record is not None:
            return to_be(revision, replicas, record["data"]["template"])
        return Workload(revision, replicas, timeout_seconds=seconds(self.spec.runtime.timeout))

    @property
    def target(self) -> str:
        """The revision to come to: the spec's, or the one under way where the spec's isn't taken."""
        under_way = self.before.canary or self.before.stable
        return under_way.revision if self.problem and under_way else self.revision.name


def understand(
    live: Object, key: Key, before: InferenceServiceStatus, owned: tuple[Object, ...], install: Install
) -> Service:
    """What `live` with its children `owned` asks for.

    Raises:
        errors.InvalidSpec: this release, or this install, can't honour the spec, and nothing runs yet.
    """
    try:
        spec = InferenceServiceSpec.model_validate(live["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise errors.InvalidSpec(f"{field}: {first['msg']}") from error
    problem = _refusal(spec, install)
    if problem and before.stable is None:
        raise problem
    return _resolved(Service(live, key, spec, before, owned, revision_of(key.name, spec), problem=problem), install)


def _refusal(spec: InferenceServiceSpec, install: Install) -> errors.InvalidSpec | None:
    if told := abilities.refusal(spec, install):
        return errors.InvalidSpec(told)
    if spec.model.uri.startswith("http://") and not install.allow_http_models:
        return errors.InvalidSpec(
            "spec.model.uri: http:// is not allowed by this install: use https://, or set models.allowHttp"
        )
    return None


def _resolved(service: Service, install: Install) -> Service:
    """`service` with the revision, of those made from the same part of a spec, that stands for its spec."""
    before, records = service.before, service.records
    stable = before.stable.revision if before.stable else ""
    record = records.get(stable)
    update = platform_update(service.key.name, stable, record, install) if record else None
    under_way = update and before.canary and before.canary.revision == update.revision.name
    rejected = (before.rollout.rejected if before.rollout else None) or []
    revision = resolved(service.revision, records, rejected, update.revision if update and under_way else None)
    return replace(service, revision=revision, update=update)
