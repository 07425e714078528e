"""What this release would make of a revision that runs: told, and rolled out only when somebody asks for it.

An operator that is brought to a newer release, or is given another image of the runtime, changes no running pod. Nor
does a ConfigMap that a spec takes values from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tidegate_operator import errors
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired.config_maps import ConfigMaps, filled
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.install import Install
from tidegate_operator.revisions import Revision, digest_of

_TOLD = 3
"""Differences that are named; the rest is counted."""


@dataclass(frozen=True)
class PlatformUpdate:
    """A revision's pods as this release makes them, where they are others than its record holds."""

    revision: Revision
    differences: str
    """What differs, for people."""


def platform_update(
    service: str, revision: str, record: Mapping[str, Any], install: Install, config_maps: ConfigMaps
) -> PlatformUpdate | None:
    """The update that there is for a revision with `record`; None if its pods would be the same.

    None, too, if this release can't read what the record was made from: then only a changed spec helps. And if a value
    is no longer where it was taken from: the record has it.
    """
    content = record["data"].get("content")
    try:
        spec = filled(InferenceServiceSpec.model_validate(content), config_maps)
    except (ValidationError, errors.InvalidSpec):
        return None
    running, rendered = record["data"]["template"], pod_template(service, revision, spec, install)
    if rendered == running:
        return None
    # By what it is made into without its name, so that asking twice comes to the same revision.
    digest = digest_of(content, pod_template(service, "", spec, install))
    return PlatformUpdate(Revision(service, digest, dict(content)), _told(list(_differences(running, rendered))))


def _told(differences: list[str]) -> str:
    more = len(differences) - _TOLD
    return ", ".join(differences[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _differences(running: Any, rendered: Any, path: str = "") -> Iterator[str]:
    if isinstance(running, Mapping) and isinstance(rendered, Mapping):
        for key in sorted({*running, *rendered}):
            yield from _differences(running.get(key), rendered.get(key), f"{path}.{key}" if path else key)
    elif isinstance(running, list) and isinstance(rendered, list) and len(running) == len(rendered):
        for index, (old, new) in enumerate(zip(running, rendered, strict=True)):
            yield from _differences(old, new, f"{path}[{index}]")
    elif running != rendered:
        yield f"{path}: {_short(running)} → {_short(rendered)}"


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
