"""What a router's statistics say: which pods are healthy, and what callers saw of each revision. Pure.

docs/routing.md says why it is these statistics, and what each kind of failure does to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_operator.evidence.readings import Calls
from tidegate_operator.kube.objects import Object

_UPTIME, _HEALTHY = "server.uptime", "/pods.membership_healthy"
_ANSWERED, _FAILED = ".upstream_rq_completed", ".upstream_rq_5xx"
_REFUSED, _OVERLOADED = ".upstream_rq_4xx", ".upstream_rq_429"
_FELL_BACK = "/fallback.upstream_rq_total"
# Of calls that have ended, by the status in their trailers; 8 is RESOURCE_EXHAUSTED, what 429 is to HTTP.
_CALLED, _CALLS_FAILED, _CALLS_OVERLOADED = ".grpc.total", ".grpc.failure", ".grpc.8"
_GRPC = "/grpc"
_CLUSTER = "cluster."
_COUNTED = (_ANSWERED, _FAILED, _REFUSED, _OVERLOADED, _FELL_BACK, _CALLED, _CALLS_FAILED, _CALLS_OVERLOADED)

FILTER = (
    r"^(server\.uptime|cluster\.[^/]+/[^/.]+((/grpc)?(/pods\.membership_healthy|/fallback\.upstream_rq_total)"
    r"|\.upstream_rq_(completed|4xx|429|5xx)|/grpc\.grpc\.(total|failure|8)))$"
)
"""The regular expression by which a router leaves out everything else."""


@dataclass(frozen=True)
class Figures:
    """One router's, at one moment."""

    uptime: int
    """Seconds since it started, up to five too few: Envoy counts them when it flushes."""
    healthy: Mapping[str, int]
    """Healthy pods by `<namespace>/<revision>`; of one that is reached by gRPC, too, those by the worse of both."""
    counts: Mapping[str, int]
    """Counters by name, without `cluster.`; one that is at zero may be left out."""


def figures_of(answer: Object) -> Figures:
    """What Envoy's `/stats?format=json` says; ValueError if it isn't that."""
    try:
        values = {stat["name"]: int(stat["value"]) for stat in answer["stats"] if "histograms" not in stat}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no statistics of Envoy: {error!r}") from error
    clusters = {name.removeprefix(_CLUSTER): value for name, value in values.items() if name.startswith(_CLUSTER)}
    return Figures(
        uptime=values.get(_UPTIME, 0),
        healthy=_healthy({name.removesuffix(_HEALTHY): n for name, n in clusters.items() if name.endswith(_HEALTHY)}),
        counts={name: count for name, count in clusters.items() if name.endswith(_COUNTED)},
    )


def _healthy(pods: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in pods.items():
        revision = name.removesuffix(_GRPC)
        found[revision] = min(count, found.get(revision, count))
    return found


def calls_of(counts: Mapping[str, int], revision: str) -> Calls:
    """What callers saw of `revision`, `<namespace>/<revision>`.

    A 4xx is a failure: what callers send wrong both revisions get alike, and a canary that refuses more of the same
    requests than stable has broken something. A 429 is the load's, and no request at all here. A request that stable
    answered in a canary's stead is the canary's, and a failure of it. One that stable failed, too, is counted as two,
    so failures are bounded by requests. Callers by gRPC count as those by HTTP do, a stream as one call.
    """
    http = _calls(counts, revision, _ANSWERED, (_FAILED, _REFUSED), _OVERLOADED)
    grpc = _calls(counts, revision + _GRPC, _CALLED, (_CALLS_FAILED,), _CALLS_OVERLOADED)
    return Calls(http.requests + grpc.requests, http.failures + grpc.failures)


def _calls(counts: Mapping[str, int], cluster: str, answered: str, failed: tuple[str, ...], overloaded: str) -> Calls:
    refused = counts.get(cluster + overloaded, 0)
    requests = counts.get(cluster + answered, 0) - refused
    failures = sum(counts.get(cluster + each, 0) for each in failed) - refused
    return Calls(requests, min(failures + counts.get(cluster + _FELL_BACK, 0), requests))
