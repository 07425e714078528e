"""What each way of routing can do, and why a spec that asks for more of it is refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired.routes import named
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
    "Direct": Abilities(),
}


def refusal(spec: InferenceServiceSpec, install: Install) -> str | None:
    """Which field asks for what its provider, or this install, can't do, and what to do about it; None if none does.

    What the spec alone tells the CRD's rules refuse as well; a spec may be older than they are.
    """
    name, rollout, others = spec.routing.provider, spec.rollout, "use Router or Direct"
    can = ABILITIES[name]
    if rollout.sticky and not can.sticky:
        return f"spec.rollout.sticky: provider {name} can't keep callers with a revision: drop it, or {others}"
    if any(match.cookie for match in rollout.match) and not can.cookies:
        return f"spec.rollout.match: provider {name} can't match cookies: drop them, or {others}"
    if rollout.match and not can.headers:
        return f"spec.rollout.match: provider {name} can't match requests: drop it, or {others}"
    if (told := _image_refusal(spec)) is not None:
        return told
    return _gateway_refusal(spec, install) if name == "Gateway" else None


def _image_refusal(spec: InferenceServiceSpec) -> str | None:
    """The same of what an image of the user's own takes the place of."""
    image, name = spec.runtime.image, spec.routing.provider
    if image is None:
        return None
    if spec.rollout.shadow:
        return "spec.rollout.shadow: the bundled runtime's pods copy and compare, spec.runtime.image doesn't: drop it"
    if name == "Direct":
        return "spec.runtime.image: provider Direct has the bundled runtime's pods hand requests over: use Router"
    if not ABILITIES[name].counts and not image.metrics:
        way_on = "set spec.runtime.image.metrics, or use Router"
        return f"spec.runtime.image: provider {name} goes by the pods' metrics: {way_on}"
    return None


def _gateway_refusal(spec: InferenceServiceSpec, install: Install) -> str | None:
    if not install.gateway_enabled:
        return (
            "spec.routing.provider: this install may not write routes: set the chart's gateway.enabled, or use Router"
        )
    if not named(spec, install):
        return "spec.routing.gateway.name: neither it nor the chart's gateway.name says which Gateway: set one of them"
    return None
