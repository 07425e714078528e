"""KServe's InferenceService (serving.kserve.io/v1beta1) → ours, without dropping a field unsaid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tidegate_operator import naming
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.cli.conversion import predictor
from tidegate_operator.cli.conversion.fields import Fields
from tidegate_operator.cli.conversion.reasons import unclaimed
from tidegate_operator.cli.conversion.report import Draft, Note

__all__ = ["Conversion", "Note", "convert"]

SOURCE = "serving.kserve.io/v1beta1"
_ANNOTATIONS = "serving.kserve.io/"


@dataclass(frozen=True)
class Conversion:
    """What came out."""

    name: str
    """The source's name."""
    manifest: dict[str, Any] | None
    """Our InferenceService; None where something essential is missing."""
    notes: tuple[Note, ...]
    """What wasn't carried over as it was."""


def convert(document: Mapping[str, Any]) -> Conversion:
    """The conversion of one document of a KServe manifest.

    Every field of it is in the manifest, or in a note: what no rule knows is told as lost.
    """
    draft = Draft(Fields(document))
    kind, version = draft.source.take("kind"), draft.source.take("apiVersion")
    name = str(draft.source.look("metadata", "name") or "unnamed")
    if (kind, version) != (naming.KIND, SOURCE):
        draft.note(("kind",), f"{version} {kind} isn't converted, {SOURCE} {naming.KIND} alone is", "essential")
        return Conversion(name, None, tuple(draft.notes))
    metadata = _metadata(draft)
    at = predictor.model(draft)
    if at is not None:
        predictor.resources(draft, at)
    predictor.scaling(draft)
    predictor.running(draft)
    predictor.canary(draft)
    predictor.placement(draft, known="placement" in InferenceServiceSpec.model_fields)
    draft.notes += unclaimed(draft.source.left())
    if not _missing(draft):
        _check(draft)
    manifest = {"apiVersion": naming.API_VERSION, "kind": naming.KIND, "metadata": metadata, "spec": _ordered(draft)}
    return Conversion(name, None if _missing(draft) else manifest, tuple(draft.notes))


def _metadata(draft: Draft) -> dict[str, Any]:
    metadata = {name: draft.source.take("metadata", name) for name in ("name", "namespace", "labels")}
    if not metadata["name"]:
        draft.note(("metadata", "name"), "is missing", "essential")
    listed = draft.source.look("metadata", "annotations")
    annotations = {
        key: draft.source.take("metadata", "annotations", key)
        for key in (listed if isinstance(listed, Mapping) else ())
        if not str(key).startswith((_ANNOTATIONS, "kubectl.kubernetes.io/"))
    }
    return {name: value for name, value in {**metadata, "annotations": annotations}.items() if value}


def _check(draft: Draft) -> None:
    """Hold the spec to the schema; the API server holds it to the rules across fields."""
    try:
        InferenceServiceSpec.model_validate(draft.spec)
    except ValidationError as error:
        for problem in error.errors():
            draft.note(("spec", *problem["loc"]), f"{problem['msg']} (of what was converted)", "essential")


def _missing(draft: Draft) -> bool:
    return any(note.gravity == "essential" for note in draft.notes)


def _ordered(draft: Draft) -> dict[str, Any]:
    """The spec in the order in which the API's documentation has it."""
    names = [field.alias or name for name, field in InferenceServiceSpec.model_fields.items()]
    return {name: draft.spec[name] for name in names if name in draft.spec}
