"""What a way of routing has to offer to the controller."""

from collections.abc import Iterable
from typing import Protocol

from tidegate_operator.desired import Manifest, Owner


class Provider(Protocol):
    """Brings requests for a service to its revisions by the weights in its status."""

    def entrance(self, owner: Owner) -> tuple[Manifest, ...]:
        """The objects by which callers reach the service under its name."""
        ...

    async def routable(self, namespace: str, revisions: Iterable[str]) -> dict[str, bool | None]:
        """Whether requests sent to each revision would reach a healthy pod; None if that can't be found out now."""
        ...
