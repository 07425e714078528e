"""Which specs ask their provider, or the install, for what it can't do."""

from typing import Any

import pytest

from tidegate_operator.api.routing_spec import ProviderName, RoutingSpec
from tidegate_operator.install import Install
from tidegate_operator.routing.abilities import ABILITIES, refusal

from .builders import a_spec

HEADER = {"match": [{"header": {"x-model": "canary"}}]}
COOKIE = {"match": [{"header": {"x-model": "canary"}}, {"cookie": {"tester": "yes"}}]}
STICKY = {"sticky": {"header": "x-user"}}

ASKED: list[tuple[ProviderName, dict[str, Any], str | None]] = [
    ("Router", {**COOKIE, **STICKY}, None),
    ("Direct", {**COOKIE, **STICKY}, None),
    ("Service", {}, None),
    ("Service", HEADER, "spec.rollout.match: provider Service"),
    ("Service", COOKIE, "spec.rollout.match: provider Service"),
    ("Service", STICKY, "spec.rollout.sticky: provider Service"),
    ("Gateway", HEADER, None),
    ("Gateway", COOKIE, "spec.rollout.match: provider Gateway can't match cookies"),
    ("Gateway", STICKY, "spec.rollout.sticky: provider Gateway"),
]
READY = Install(gateway_enabled=True, gateway_name="public")


@pytest.mark.parametrize(("provider", "rollout", "told"), ASKED)
def test_a_provider_is_not_asked_for_what_it_cannot_do(
    provider: ProviderName, rollout: dict[str, Any], told: str | None
) -> None:
    found = refusal(a_spec(routing={"provider": provider}, rollout=rollout), READY)
    assert (found or "").startswith(told or "")
    assert (found is None) is (told is None)


IMAGES: list[tuple[ProviderName, bool, dict[str, Any], str | None]] = [
    ("Router", False, {}, None),
    ("Service", True, {}, None),
    ("Service", False, {}, "spec.runtime.image: provider Service goes by the pods' metrics"),
    ("Gateway", False, {}, "spec.runtime.image: provider Gateway goes by the pods' metrics"),
    ("Direct", True, {}, "spec.runtime.image: provider Direct has the bundled runtime's pods hand requests over"),
    ("Router", True, {"steps": [{"weight": 0}], "shadow": {"percent": 20}}, "spec.rollout.shadow: the bundled runtime"),
]


@pytest.mark.parametrize(("provider", "metrics", "rollout", "told"), IMAGES)
def test_an_own_image_is_not_asked_for_what_it_cannot_do(
    provider: ProviderName, metrics: bool, rollout: dict[str, Any], told: str | None
) -> None:
    runtime = {"image": {"name": "served:v3", "metrics": metrics}}
    found = refusal(a_spec(routing={"provider": provider}, runtime=runtime, rollout=rollout), READY)
    assert (found or "").startswith(told or "")
    assert (found is None) is (told is None)


def test_a_gateway_has_to_be_allowed_and_named() -> None:
    plain = a_spec(routing={"provider": "Gateway"})
    named = a_spec(routing={"provider": "Gateway", "gateway": {"name": "own"}})
    assert "gateway.enabled" in (refusal(plain, Install()) or "")
    assert "gateway.enabled" in (refusal(named, Install()) or "")
    assert "spec.routing.gateway.name" in (refusal(plain, Install(gateway_enabled=True)) or "")
    assert refusal(named, Install(gateway_enabled=True)) is None
    assert refusal(plain, READY) is None


def test_every_provider_says_what_it_can_do() -> None:
    names = RoutingSpec.model_json_schema()["properties"]["provider"]["enum"]
    assert set(names) == set(ABILITIES)
