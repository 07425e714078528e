"""Whether a Gateway has taken a route, by what its controller tells of it. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate_operator.observed import Failure

_CONDITIONS = ("Accepted", "ResolvedRefs")


def obstacle(route: Mapping[str, Any]) -> Failure | None:
    """Why `route`, as it is, isn't in effect at each of its parents; None if it is, as far as the Core tells it.

    A controller's answer counts for the generation that it names, or for a later one.
    """
    metadata, told = route["metadata"], (route.get("status") or {}).get("parents") or []
    for parent in route["spec"].get("parentRefs") or []:
        name = f"{route['kind']} {metadata['name']}"
        gateway = f"Gateway {parent.get('namespace') or metadata['namespace']}/{parent['name']}"
        own = [each for each in told if _same(each.get("parentRef") or {}, parent, metadata["namespace"])]
        if not own:
            return Failure("RoutePending", f"no controller has answered for {name} at {gateway} yet", passing=True)
        for answer in own:
            if (problem := _problem(answer, metadata.get("generation", 0))) is not None:
                return Failure(problem.reason, f"{gateway}: {name} {problem.message}", problem.passing)
    return None


def stands(route: Mapping[str, Any], place: Mapping[str, Any]) -> bool:
    """Whether `route` is at the Gateway and under the names that `place`, the same part of another, says."""
    spec, namespace = route["spec"], route["metadata"]["namespace"]
    places = [[_place(parent, namespace) for parent in each.get("parentRefs") or []] for each in (spec, place)]
    return places[0] == places[1] and (spec.get("hostnames") or []) == place["hostnames"]


def _problem(answer: Mapping[str, Any], generation: int) -> Failure | None:
    conditions = {each["type"]: each for each in answer.get("conditions") or []}
    for kind in _CONDITIONS:
        found = conditions.get(kind)
        if found is None or found.get("observedGeneration", generation) < generation:
            told = f"is not judged yet: {kind} is missing, or older than the route"
            return Failure("RoutePending", told, passing=True)
        if found["status"] != "True":
            why = f"{found.get('reason', '')}: {found.get('message', '')}".strip(": ")
            return Failure("RouteNotAccepted", f"has {kind} {found['status']}, {why}")
    return None


def _same(one: Mapping[str, Any], other: Mapping[str, Any], namespace: str) -> bool:
    return _place(one, namespace) == _place(other, namespace)


def _place(parent: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    # What the API server fills in may be there or not.
    return parent.get("name"), parent.get("namespace") or namespace, parent.get("sectionName"), parent.get("port")
