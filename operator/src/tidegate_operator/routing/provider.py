"""What a way of routing has to offer to the controller."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.kube.objects import Object
from tidegate_operator.observed import Failure
from tidegate_operator.rollout.state import RolloutState


@dataclass(frozen=True)
class Subject:
    """A service as a way of routing sees it."""

    live: Object
    spec: InferenceServiceSpec


@dataclass(frozen=True)
class Outlook:
    """What would become of requests."""

    routable: Mapping[str, bool | None]
    """Whether requests sent to each revision would reach a healthy pod; None if that can't be found out now."""
    obstacle: Failure | None = None
    """What stands in the way, other than pods."""
    awaited: str | None = None
    """What a revision that isn't routable waits for, in words; None: until every router sees a healthy pod of it."""
    canary_obstacle: Failure | None = None
    """What stands in the way of a canary's requests alone; stable's pods get all others."""


class Provider(Protocol):
    """Brings requests for a service to its revisions by the weights in its status."""

    def host(self, subject: Subject) -> str:
        """The name in the cluster's DNS that the service's own name stands for."""
        ...

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        """The objects that requests need on their way, besides the one under the service's own name."""
        ...

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        """What would become of requests to `revisions`, each of which has a ready pod."""
        ...

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]] | None:
        """What callers saw of each revision, in the requests that it was to answer by its weight, by who counted.

        Who can't be asked now is left out. None where nobody counts but the pods.
        """
        ...

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """Whether requests are shared by `weights`, in percent by revision, everywhere; None if it can't be found out.

        Revisions without a weight may be left out.
        """
        ...
