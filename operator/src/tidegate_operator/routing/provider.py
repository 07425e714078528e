"""What a way of routing has to offer to the controller."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tidegate_operator.desired import Manifest, Owner
from tidegate_operator.evidence.readings import Calls, Source


class Provider(Protocol):
    """Brings requests for a service to its revisions by the weights in its status."""

    def entrance(self, owner: Owner) -> tuple[Manifest, ...]:
        """The objects by which callers reach the service under its name."""
        ...

    async def routable(self, namespace: str, revisions: Iterable[str]) -> dict[str, bool | None]:
        """Whether requests sent to each revision would reach a healthy pod; None if that can't be found out now."""
        ...

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        """What callers saw of each revision, in the requests that it was to answer by its weight, by who counted.

        Who can't be asked now is left out.
        """
        ...

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """Whether requests are shared by `weights`, in percent by revision, everywhere; None if it can't be found out.

        Revisions without a weight may be left out.
        """
        ...
