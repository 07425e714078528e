"""What the server says of itself and of its models."""

from functools import partial

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.expect import Skip, equal, member, true
from tidegate_conformance.models.known import Spec
from tidegate_conformance.rest.client import model_path
from tidegate_conformance.subject import Subject


@check("rest.server.name", sources.SERVER_METADATA)
def server_name(subject: Subject) -> None:
    """Server metadata has a name and a version, both strings."""
    found = subject.rest.get("/v2").must_be(200).json()
    true("the name is not empty", bool(member(found, "name", str, "server metadata")), found)
    member(found, "version", str, "server metadata")


@check("rest.server.extensions", sources.SERVER_METADATA)
def server_extensions(subject: Subject) -> None:
    """Server metadata lists the extensions as strings, each once."""
    found = member(subject.rest.get("/v2").must_be(200).json(), "extensions", list, "server metadata")
    true("extensions are strings, each once", all(isinstance(name, str) for name in found), found)
    equal("extensions without repetition", sorted(set(found)), sorted(found))


@check("rest.model-metadata.name", sources.MODEL_METADATA)
def name(subject: Subject) -> None:
    """Model metadata has the model's name and a platform."""
    found = subject.rest.get(model_path(subject.model.name)).must_be(200).json()
    equal("name", subject.model.name, member(found, "name", str, "model metadata"))
    member(found, "platform", str, "model metadata")


@check("rest.model-metadata.platform", sources.MODEL_METADATA, level=Level.ROBUSTNESS)
def platform(subject: Subject) -> None:
    """The platform is named, as clients that choose by it need."""
    found = subject.rest.get(model_path(subject.model.name)).must_be(200).json()
    true("the platform is not empty", bool(member(found, "platform", str, "model metadata")), found)


@check("rest.model-metadata.versions", sources.MODEL_METADATA)
def versions(subject: Subject) -> None:
    """Versions, where there are any, are a list of strings."""
    found = subject.rest.get(model_path(subject.model.name)).must_be(200).json()
    if found.get("versions") is None:
        raise Skip("the server doesn't support versions")
    listed = member(found, "versions", list, "model metadata")
    true("versions are strings", all(isinstance(version, str) for version in listed), listed)


@check("rest.model-metadata.by-version", sources.MODEL_METADATA)
def by_version(subject: Subject) -> None:
    """Each version that is listed has metadata under its own URL."""
    if not subject.versions:
        raise Skip("the server doesn't support versions")
    for version in subject.versions:
        found = subject.rest.get(model_path(subject.model.name, version)).must_be(200).json()
        equal("name", subject.model.name, found.get("name"))


@check("rest.model-metadata.unknown", sources.MODEL_METADATA)
def unknown(subject: Subject) -> None:
    """Metadata of an unknown model is refused with an error object."""
    subject.rest.get(model_path("no-such-model")).refusal()


@check("rest.model-metadata.unknown-version", sources.MODEL_METADATA)
def unknown_version(subject: Subject) -> None:
    """Metadata of an unknown version is refused with an error object."""
    subject.rest.get(model_path(subject.model.name, "987654")).refusal()


def _signature(subject: Subject) -> None:
    found = subject.rest.get(model_path(subject.model.name)).must_be(200).json()
    for side, specs in (("inputs", subject.model.inputs), ("outputs", subject.model.outputs)):
        listed = {entry.get("name"): entry for entry in member(found, side, list, "model metadata")}
        equal(f"names of the {side}", sorted(spec.name for spec in specs), sorted(listed))
        for spec in specs:
            _tensor(spec, listed[spec.name])


def _tensor(spec: Spec, entry: object) -> None:
    where = f'metadata of "{spec.name}"'
    equal(f"datatype in {where}", spec.datatype.value, member(entry, "datatype", str, where))
    equal(f"shape in {where}", list(spec.shape), member(entry, "shape", list, where))


def _declare_signatures() -> None:
    declare = partial(check, source=sources.MODEL_METADATA)
    declare("rest.model-metadata.fixed-shape", title="Fixed dimensions are given as they are.")(_signature)
    declare("rest.model-metadata.free-shape", model="add_sub_free", title="Free dimensions are -1.")(_signature)
    for rank in (0, 1, 5):
        declare(
            f"rest.model-metadata.rank{rank}", model=f"rank{rank}", title=f"The shape of rank {rank} has {rank} sizes."
        )(_signature)
    for datatype in Datatype:
        declare(
            f"rest.model-metadata.datatype.{datatype.lower()}",
            model=f"identity_{datatype.lower()}",
            title=f"{datatype} is called {datatype} in metadata.",
        )(_signature)


_declare_signatures()


@check("rest.model-metadata.versions-are-listed", sources.MODEL_METADATA, level=Level.EXTENSION, model="versioned")
def versions_listed(subject: Subject) -> None:
    """A model with two versions lists both."""
    if len(subject.versions) < 2:
        raise Skip("the server has one version of the model alone")
    equal("versions", sorted(subject.model.answers), sorted(subject.versions))
