"""What each way of routing can do, and why a spec that asks for more of it is refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.install import Install


@dataclass(frozen=True)
class Abilities:
    """Of one way of routing."""

    exact: bool = True
    """Whether a share of requests is what the weight says; else it follows a revision's part of the pods."""
    headers: bool = True
    """Whether `rollout.match` may name headers."""
    cookies: bool = True
    """Whether it may name cookies."""
    sticky: bool = True
    """Whether `rollout.sticky` holds."""
    counts: bool = True
    """Whether it counts what callers saw, also what no pod knows of; else the pods' own counts have to do."""


ABILITIES: Final[Mapping[ProviderName, Abilities]] = {
    "Router": Abilities(),
    "Service": Abilities(exact=False, headers=False, cookies=False, sticky=False, counts=False),
    "Gateway": Abilities(cookies=False, sticky=False, counts=False),
}


def refusal(spec: InferenceServiceSpec, install: Install) -> str | None:
    """Which field asks for what its provider, or this install, can't do, and what to do about it; None if none does.

    What the spec alone tells the CRD's rules refuse as well; a spec may be older than they are.
    """
    name, rollout = spec.routing.provider, spec.rollout
    can = ABILITIES[name]
    if rollout.sticky and not can.sticky:
        return f"spec.rollout.sticky: provider {name} can't keep callers with a revision: drop it, or use Router"
    if any(match.cookie for match in rollout.match) and not can.cookies:
        return f"spec.rollout.match: provider {name} can't match cookies: drop them, or use Router"
    if rollout.match and not can.headers:
        return f"spec.rollout.match: provider {name} can't match requests: drop it, or use Router"
    if name != "Gateway":
        return None
    if not install.gateway_enabled:
        return (
            "spec.routing.provider: this install may not write routes: set the chart's gateway.enabled, or use Router"
        )
    named = spec.routing.gateway and spec.routing.gateway.name
    if not named and not install.gateway_name:
        return "spec.routing.gateway.name: neither it nor the chart's gateway.name says which Gateway: set one of them"
    return None
