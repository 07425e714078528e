"""A service's revisions, from the records that the controller keeps: what each ran, and what it changed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.cli.service import Object, Service
from tidegate_operator.cli.words import moment

State = Literal["stable", "canary", "retiring", "previous", "rejected", "kept"]


@dataclass(frozen=True)
class Entry:
    """One revision."""

    number: int
    """Grows from revision to revision."""
    revision: str
    created: datetime | None
    state: State
    uri: str | None
    """The model's."""
    sha256: str | None
    """The model's, as the spec names it, or of stable, the canary and the previous revision the status."""
    changes: tuple[str, ...]
    """What differs from the revision before, defaults filled in; of the oldest that is kept, nothing."""


def history(service: Service, records: Iterable[Object]) -> list[Entry]:
    """The revisions of `service`, newest first."""
    entries: list[Entry] = []
    before: Object | None = None
    held = _held(service)
    for record in sorted(records, key=lambda item: int(item["revision"])):
        name: str = record["metadata"]["name"]
        content = _content(record)
        model = content.get("model", {})
        entries.append(
            Entry(
                number=int(record["revision"]),
                revision=name,
                created=moment(record["metadata"].get("creationTimestamp")),
                state=_state(service, name),
                uri=model.get("uri"),
                sha256=model.get("sha256") or held.get(name),
                changes=() if before is None else tuple(_changes(before, record)),
            )
        )
        before = record
    return entries[::-1]


def _held(service: Service) -> dict[str, str]:
    """What models the status says that revisions are held to."""
    known = (service.status.stable, service.status.canary, service.status.previous)
    return {each.revision: each.model_sha256 for each in known if each and each.model_sha256}


def _state(service: Service, revision: str) -> State:
    status = service.status
    if status.stable and status.stable.revision == revision:
        return "stable"
    if status.canary and status.canary.revision == revision:
        return "canary"
    # That it isn't tried again says more of a revision than that its pods are still there.
    if naming.digest_of(revision) in (service.rollout.rejected or []):
        return "rejected"
    if status.previous and status.previous.revision == revision:
        return "previous"
    if any(entry.revision == revision for entry in status.retiring or []):
        return "retiring"
    return "kept"


def _content(record: Object) -> dict[str, Any]:
    """What the revision was made from, with today's defaults where it said nothing; as it is if that can't be read."""
    stored: dict[str, Any] = record.get("data", {}).get("content", {})
    try:
        full = InferenceServiceSpec.model_validate(stored)
    except ValidationError:
        return stored
    names = {field.alias or name for name, field in InferenceServiceSpec.model_fields.items()}
    own = names & {*stored, "model", "runtime", "resources"}
    return {name: value for name, value in full.dump().items() if name in own}


def _changes(before: Object, after: Object) -> Iterator[str]:
    old, new = dict(_leaves(_content(before))), dict(_leaves(_content(after)))
    if old == new:
        yield "the same spec, with what another release of Tidegate, or a ConfigMap, makes of it"
    for field in sorted({*old, *new}):
        was, now = old.get(field), new.get(field)
        if was != now:
            yield f"{field}: {_value(was)} → {_value(now)}"


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: object) -> str:
    return "none" if value is None else str(value)
