"""What Triton's extensions add for operators: statistics, configuration, repository."""

import time
from collections.abc import Callable
from typing import Any

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Run, Wire, check
from tidegate_conformance.expect import equal, fail, member, true
from tidegate_conformance.rest.client import RestClient, model_path
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.subject import Subject

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
STATES = ("READY", "UNAVAILABLE", "LOADING", "UNLOADING")


def _statistics(name: str, source: str = sources.STATISTICS) -> Callable[[Run], Run]:
    return check(f"rest.statistics.{name}", source, level=Level.EXTENSION, extension="statistics", model="rows")


def _stats(subject: Subject, path: str = "") -> dict[str, Any]:
    """The subject model's entry, of those at `path` or at its own."""
    answer = subject.rest.get(path or model_path(subject.model.name, verb="stats")).opened()
    entries = member(answer.json(), "model_stats", list, "statistics")
    for entry in entries:
        if member(entry, "name", str, "an entry of model_stats") == subject.model.name:
            found: dict[str, Any] = entry
            return found
    return fail("model_stats", f'an entry for "{subject.model.name}"', entries)


@_statistics("members")
def members(subject: Subject) -> None:
    """A model's statistics have all members, the durations a count and nanoseconds each."""
    subject.check_infer(subject.model.example())
    found = _stats(subject)
    for name in ("last_inference", "inference_count", "execution_count"):
        true(f"{name} is a count", member(found, name, int, "the entry") >= 0, found[name])
    durations = member(found, "inference_stats", dict, "the entry")
    for name in DURATIONS:
        duration = member(durations, name, dict, "inference_stats")
        for unit in ("count", "ns"):
            true(f"{unit} of {name} is a count", member(duration, unit, int, name) >= 0, duration)
    for batch in member(found, "batch_stats", list, "the entry"):
        true("batch_size is at least 1", member(batch, "batch_size", int, "batch_stats") >= 1, batch)
        for name in ("compute_input", "compute_infer", "compute_output"):
            member(member(batch, name, dict, "batch_stats"), "ns", int, name)


@_statistics("counts")
def counts(subject: Subject) -> None:
    """A request of five rows counts five inferences, one success, one queueing and at least one execution."""
    subject.check_infer(subject.model.example())
    before = _stats(subject)
    subject.check_infer(subject.model.example(1, free=5))
    after = _stats(subject)
    equal("inference_count", before["inference_count"] + 5, after["inference_count"])
    true("execution_count grows", after["execution_count"] > before["execution_count"], after)
    for name in ("success", "queue"):
        equal(
            f"count of {name}",
            before["inference_stats"][name]["count"] + 1,
            after["inference_stats"][name]["count"],
        )
    grown = after["inference_stats"]["success"]["ns"] - before["inference_stats"]["success"]["ns"]
    parts = sum(
        after["inference_stats"][name]["ns"] - before["inference_stats"][name]["ns"]
        for name in ("queue", "compute_input", "compute_infer", "compute_output")
    )
    true("success lasts at least as long as its parts together", grown >= parts, f"{grown} < {parts} ns")


@_statistics("last-inference")
def last_inference(subject: Subject) -> None:
    """last_inference is in milliseconds since 1970."""
    subject.check_infer(subject.model.example())
    found = _stats(subject)["last_inference"] / 1000
    # The only clock that both sides share; a day covers any that is set wrongly, and no mistaken unit.
    true("last_inference is about now", abs(found - time.time()) < 86_400, found)  # noqa: TID251


@_statistics("all-models")
def all_models(subject: Subject) -> None:
    """/v2/models/stats has the model among all."""
    _stats(subject, "/v2/models/stats")


@_statistics("by-version")
def by_version(subject: Subject) -> None:
    """Statistics of a version are those of that version alone."""
    version = subject.latest
    found = _stats(subject, model_path(subject.model.name, version, "stats"))
    equal("version", version, found.get("version"))


@_statistics("unknown-model")
def unknown_statistics(subject: Subject) -> None:
    """Statistics of an unknown model are refused."""
    subject.rest.get(model_path("no-such-model", verb="stats")).refusal()


@check(
    "rest.configuration.members",
    sources.CONFIGURATION,
    level=Level.EXTENSION,
    extension="model_configuration",
    model="rows",
)
def configuration(subject: Subject) -> None:
    """A model's configuration has its name, max_batch_size and its tensors with dims and data_type."""
    found = subject.rest.get(model_path(subject.model.name, verb="config")).must_be(200).json()
    equal("name", subject.model.name, member(found, "name", str, "the configuration"))
    rows = member(found, "max_batch_size", int, "the configuration")
    for side, name in (("input", "x"), ("output", "y")):
        (tensor,) = member(found, side, list, "the configuration")
        equal(f"name of the {side}", name, member(tensor, "name", str, side))
        equal(f"data_type of the {side}", "TYPE_FP32", member(tensor, "data_type", str, side))
        dims = [int(size) for size in member(tensor, "dims", list, side)]
        equal(f"dims of the {side}, without the batch's where there is one", [4] if rows else [-1, 4], dims)


@check(
    "rest.configuration.unknown-model",
    sources.CONFIGURATION,
    level=Level.EXTENSION,
    extension="model_configuration",
)
def configuration_unknown(subject: Subject) -> None:
    """The configuration of an unknown model is refused."""
    subject.rest.get(model_path("no-such-model", verb="config")).refusal()


def _repository(name: str, level: Level = Level.EXTENSION) -> Callable[[Run], Run]:
    return check(
        f"admin.repository.{name}",
        sources.REPOSITORY,
        level=level,
        extension="model_repository",
        model="rows",
        wire=Wire.ADMIN,
    )


def _index(client: RestClient, request: object) -> list[dict[str, Any]]:
    found = client.post("/v2/repository/index", request).opened().json()
    true("the index is a list", isinstance(found, list), found)
    for entry in found:
        member(entry, "name", str, "an entry of the index")
        if "state" in entry:
            true("a state that there is", entry["state"] in STATES, entry["state"])
    entries: list[dict[str, Any]] = found
    return entries


@_repository("index")
def index(subject: Subject) -> None:
    """The index has the model, READY."""
    entries = [entry for entry in _index(subject.admin, {}) if entry["name"] == subject.model.name]
    true("the model is in the index", bool(entries), entries)
    equal("state", "READY", entries[-1].get("state"))


@_repository("index-ready")
def index_ready(subject: Subject) -> None:
    """The index of what is ready has nothing else."""
    states = {entry.get("state", "READY") for entry in _index(subject.admin, {"ready": True})}
    equal("states", {"READY"}, states)


@_repository("index-empty-body")
def index_empty(subject: Subject) -> None:
    """The index may be asked for with an empty body, as clients do."""
    _index(subject.admin, b"")


@_repository("load-again")
def load_again(subject: Subject) -> None:
    """A model that is loaded may be loaded again and answers as before."""
    subject.admin.post(f"/v2/repository/models/{subject.model.name}/load", {}).opened()
    subject.check_infer(subject.model.example())


@_repository("unload-and-load")
def unload_and_load(subject: Subject) -> None:
    """An unloaded model isn't ready and isn't answered for; loaded again, it is both."""
    path = f"/v2/repository/models/{subject.model.name}"
    feeds = subject.model.example()
    try:
        subject.admin.post(f"{path}/unload", {}).opened()
        _until_not_ready(subject)
        subject.post(document(subject.model, feeds)).refusal()
    finally:
        answer = subject.admin.post(f"{path}/load", {})
    answer.opened()
    subject.rest.get(model_path(subject.model.name, verb="ready")).must_be(200)
    check_answer(subject.model, decode(subject.post(document(subject.model, feeds))), subject.expected(feeds))


def _until_not_ready(subject: Subject) -> None:
    """Unloading may go on after its answer; it has ten seconds."""
    end = time.monotonic() + 10
    while (status := subject.rest.get(model_path(subject.model.name, verb="ready")).status) == 200:
        if time.monotonic() > end:
            fail("readiness of an unloaded model", "an error status", status)
        time.sleep(0.05)


@_repository("load-unknown")
def load_unknown(subject: Subject) -> None:
    """Loading a model that isn't there is refused."""
    subject.admin.post("/v2/repository/models/no-such-model/load", {}).refusal()


@_repository("load-outside", Level.ROBUSTNESS)
def load_outside(subject: Subject) -> None:
    """A name that points out of the repository isn't loaded."""
    for name in ("..%2F..%2Ftmp", "%2e%2e", "rows%2F..%2Frows"):
        subject.admin.post(f"/v2/repository/models/{name}/load", {}).refusal(400, 404)
