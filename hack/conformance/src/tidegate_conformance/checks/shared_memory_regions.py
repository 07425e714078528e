"""Shared memory's administration: how regions are registered, listed and forgotten over REST."""

from collections.abc import Callable
from typing import Any

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Run, Wire, check
from tidegate_conformance.expect import equal, true
from tidegate_conformance.shared_memory import EXTENSION, PATH, fields, forget, register, registered, unregistered
from tidegate_conformance.subject import Subject


def _admin(name: str, level: Level = Level.EXTENSION) -> Callable[[Run], Run]:
    return check(
        f"admin.shared-memory.{name}",
        sources.SHARED_MEMORY,
        level=level,
        extension=EXTENSION,
        wire=Wire.ADMIN,
        model="rows",
    )


def _listed(subject: Subject, path: str = "") -> list[dict[str, Any]]:
    """The status of all regions, or of the one at `path`."""
    found = subject.admin.get(f"{PATH}{path}/status").opened().json()
    true("the status is a list", isinstance(found, list), found)
    regions: list[dict[str, Any]] = found
    return regions


@_admin("status")
def status(subject: Subject) -> None:
    """The status of system shared memory is a list."""
    _listed(subject)


@_admin("register")
def register_and_forget(subject: Subject) -> None:
    """A registered region is listed as it was registered, alone and among all, until it is unregistered."""
    with unregistered(subject, 64, offset=16) as region:
        register(subject, region).opened()
        try:
            equal("the status of the region", [fields(region)], _listed(subject, f"/region/{region.name}"))
            true("the region is among all", fields(region) in _listed(subject), _listed(subject))
            subject.admin.post(f"{PATH}/region/{region.name}/unregister", b"").must_be(200)
        finally:
            forget(subject, region)
        names = [entry.get("name") for entry in _listed(subject)]
        true("the region is not listed any more", region.name not in names, names)


@_admin("unregister-all")
def unregister_all(subject: Subject) -> None:
    """Unregistering without a name forgets all regions."""
    with registered(subject, 64), registered(subject, 64):
        true("both regions are listed", len(_listed(subject)) >= 2, _listed(subject))
        subject.admin.post(f"{PATH}/unregister", b"").must_be(200)
        equal("regions", 0, len(_listed(subject)))


@_admin("status-unknown")
def status_unknown(subject: Subject) -> None:
    """The status of a region that isn't registered is refused."""
    subject.admin.get(f"{PATH}/status").opened()
    subject.admin.get(f"{PATH}/region/no-such-region/status").refusal()


@_admin("outside", Level.ROBUSTNESS)
def outside(subject: Subject) -> None:
    """A region whose key points out of shared memory isn't registered."""
    for key in ("/../etc/passwd", "../../etc/passwd", "/no/such"):
        told = {"key": key, "offset": 0, "byte_size": 8}
        subject.admin.post(f"{PATH}/region/outside/register", told).refusal(400, 403, 404)
    equal("regions", 0, len(_listed(subject)))


@_admin("no-such-object", Level.ROBUSTNESS)
def no_such_object(subject: Subject) -> None:
    """A region of an object that isn't there isn't registered."""
    told = {"key": "/tidegate-conformance-no-such", "offset": 0, "byte_size": 8}
    subject.admin.post(f"{PATH}/region/nothing/register", told).refusal(400, 404)


@_admin("beyond-object", Level.ROBUSTNESS)
def beyond_object(subject: Subject) -> None:
    """A region that reaches beyond its object, or has no bytes, isn't registered."""
    page = 2**20  # Some systems round objects up to whole pages.
    with unregistered(subject, 64) as region:
        for changes in ({"byte_size": 64 + page}, {"offset": page}, {"byte_size": 0}, {"offset": -1}):
            try:
                register(subject, region, **changes).refusal(400)
            finally:
                forget(subject, region)


@_admin("register-again", Level.ROBUSTNESS)
def register_again(subject: Subject) -> None:
    """A name that a region has isn't given to another; the first keeps it."""
    with registered(subject, 64) as region:
        register(subject, region, byte_size=32).refusal(400, 409)
        equal("the status of the region", [fields(region)], _listed(subject, f"/region/{region.name}"))
