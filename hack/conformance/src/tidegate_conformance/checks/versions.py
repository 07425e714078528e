"""Versions of one model: which one answers."""

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.expect import Skip, equal
from tidegate_conformance.rest.client import model_path
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.subject import Subject


@check("rest.versions.each-answers", sources.INFERENCE, model="versioned")
def each(subject: Subject) -> None:
    """Each version answers under its own URL with its own result."""
    feeds = subject.model.example()
    if not subject.versions:
        raise Skip("the server doesn't support versions")
    for version in subject.versions:
        path = model_path(subject.model.name, version, "infer")
        inferred = decode(subject.rest.post(path, document(subject.model, feeds)))
        check_answer(subject.model, inferred, subject.model.answer(feeds, version))
        equal("model_version", version, inferred.document.get("model_version"))


@check(
    "rest.versions.default-is-latest",
    "Triton, model_repository.md: Version Policy",
    level=Level.EXTENSION,
    model="versioned",
)
def default(subject: Subject) -> None:
    """Without a version in the URL the highest one answers, and says which it is."""
    inferred = subject.check_infer(subject.model.example())
    if inferred.document.get("model_version") is None:
        raise Skip("the server doesn't support versions")
    equal("model_version", subject.latest, inferred.document["model_version"])


@check("rest.versions.unknown", sources.INFERENCE, model="versioned")
def unknown(subject: Subject) -> None:
    """A version that isn't there is refused with an error object."""
    path = model_path(subject.model.name, "987654", "infer")
    subject.rest.post(path, document(subject.model, subject.model.example())).refusal()


@check("rest.versions.unknown-is-404", sources.bad_input(8), level=Level.ROBUSTNESS, model="versioned")
def unknown_is_404(subject: Subject) -> None:
    """A version that isn't there is 404."""
    path = model_path(subject.model.name, "987654", "infer")
    subject.rest.post(path, document(subject.model, subject.model.example())).refusal(404)


@check("rest.versions.no-number", sources.bad_input(9), level=Level.ROBUSTNESS, model="versioned")
def no_number(subject: Subject) -> None:
    """A version such as "1;x" or "-1" isn't taken for another one."""
    for version in ("1;x", "-1", "0x1", " 1", "1.0", "latest"):
        path = model_path(subject.model.name, version, "infer")
        subject.rest.post(path, document(subject.model, subject.model.example())).refusal(404)
