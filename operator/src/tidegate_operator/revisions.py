"""What makes a revision: the part of a spec that its pods are made from, and that part's hash."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec

_POD_FIELDS = {"model", "runtime", "resources", "placement"}


@dataclass(frozen=True)
class Revision:
    """One way to run the model; `content` is the part of the spec behind it, without values equal to defaults."""

    service: str
    digest: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The revision's name, also of its Deployment, Service, HPA, PDB and record."""
        return naming.revision_name(self.service, self.digest)


def revision_of(service: str, spec: InferenceServiceSpec) -> Revision:
    """The revision that `spec` asks for.

    Values equal to schema defaults are left out before hashing: a default that a newer CRD adds appears in stored
    specs at an unchanged generation, and must not make a new revision of a service that nobody touched.
    """
    content = spec.model_dump(mode="json", by_alias=True, include=_POD_FIELDS, exclude_defaults=True)
    return Revision(service, digest_of(content), content)


def digest_of(*parts: Any) -> str:
    """The hash in the name of a revision that is made from `parts`, JSON values."""
    canonical = "".join(json.dumps(part, sort_keys=True, separators=(",", ":")) for part in parts)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def resolved(
    asked: Revision, records: Mapping[str, Mapping[str, Any]], rejected: Collection[str], update: Revision | None
) -> Revision:
    """Which revision stands for what the spec asks for.

    A revision may have been rendered anew by a later release, at somebody's request: then several are made from the
    same part of a spec, and the newest that wasn't given up counts. `records` are the ControllerRevisions by name,
    `rejected` the hashes that were given up, `update` the rendering that is on its way and may have no record yet.
    """
    same = [name for name, record in records.items() if record["data"].get("content") == asked.content]
    known = sorted(same, key=lambda name: int(records[name]["revision"]))
    if update is not None and update.content == asked.content and update.name not in known:
        known.append(update.name)
    wanted = [name for name in known if naming.digest_of(name) not in rejected] or known
    return Revision(asked.service, naming.digest_of(wanted[-1]), asked.content) if wanted else asked
