"""What makes a revision: the part of a spec that its pods are made from, and that part's hash."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec

_POD_FIELDS = {"model", "runtime", "resources"}


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
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Revision(service, hashlib.sha256(canonical.encode()).hexdigest()[:8], content)
