"""Health: is the server alive, is it ready, is this model ready."""

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.expect import Skip, equal, true
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.client import model_path
from tidegate_conformance.subject import Subject


def _says(answer: Answer, *names: str) -> None:
    """Raises `Mismatch` unless the body is empty or one of `names` in it is true."""
    answer.must_be(200)
    if answer.body:
        found = answer.json()
        true(f"the body says {' or '.join(names)}", any(found.get(name) is True for name in names), found)


@check("rest.health.live", sources.HEALTH)
def live(subject: Subject) -> None:
    """A live server answers 200 on /v2/health/live."""
    subject.rest.get("/v2/health/live").must_be(200)


@check("rest.health.ready", sources.HEALTH)
def ready(subject: Subject) -> None:
    """A ready server answers 200 on /v2/health/ready."""
    subject.rest.get("/v2/health/ready").must_be(200)


@check("rest.health.live-body", sources.HEALTH)
def live_body(subject: Subject) -> None:
    """Where liveness has a body, it is an object that says live."""
    _says(subject.rest.get("/v2/health/live"), "live")


@check("rest.health.ready-body", sources.HEALTH)
def ready_body(subject: Subject) -> None:
    """Where readiness has a body, it is an object that says ready (or live, as the specification's text has it)."""
    _says(subject.rest.get("/v2/health/ready"), "ready", "live")


@check("rest.health.model-ready", sources.HEALTH)
def model_ready(subject: Subject) -> None:
    """A ready model answers 200 on /v2/models/<name>/ready."""
    subject.rest.get(model_path(subject.model.name, verb="ready")).must_be(200)


@check("rest.health.model-ready-body", sources.HEALTH)
def model_ready_body(subject: Subject) -> None:
    """Where model readiness has a body, it has the model's name and says ready."""
    answer = subject.rest.get(model_path(subject.model.name, verb="ready"))
    _says(answer, "ready")
    if answer.body:
        equal("name", subject.model.name, answer.json().get("name"))


@check("rest.health.model-version-ready", sources.HEALTH)
def version_ready(subject: Subject) -> None:
    """A version that the metadata lists is ready under its own URL."""
    if not subject.versions:
        raise Skip("the server doesn't support versions")
    subject.rest.get(model_path(subject.model.name, subject.versions[0], "ready")).must_be(200)


@check("rest.health.unknown-model", sources.HEALTH)
def unknown_model(subject: Subject) -> None:
    """A model that isn't there is not ready."""
    status = subject.rest.get(model_path("no-such-model", verb="ready")).status
    true("readiness of an unknown model has an error status", 400 <= status < 600, status)


@check("rest.health.unknown-version", sources.HEALTH)
def unknown_version(subject: Subject) -> None:
    """A version that isn't there is not ready."""
    status = subject.rest.get(model_path(subject.model.name, "987654", "ready")).status
    true("readiness of an unknown version has an error status", 400 <= status < 600, status)


@check("rest.health.unknown-is-404", sources.bad_input(8), level=Level.ROBUSTNESS)
def unknown_is_404(subject: Subject) -> None:
    """Readiness of an unknown model is 404 with an error object."""
    subject.rest.get(model_path("no-such-model", verb="ready")).refusal(404)
