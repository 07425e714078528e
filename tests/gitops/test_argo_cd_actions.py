"""Argo CD's buttons: when they can be pressed, and the request that pressing one writes."""

import copy
import re

import pytest
import yaml

from tidegate_operator import naming
from tidegate_operator.api.status import Request

from .argo_cd import FOLDER, HEALTH, Object, run
from .situations import CANARY, SITUATIONS

ACTIONS = FOLDER / "actions"


def a_canary(**rollout: object) -> Object:
    item = copy.deepcopy(SITUATIONS["a canary waits for a person"])
    item["status"]["rollout"] |= rollout
    return item


REQUEST = {"action": "Promote", "revision": CANARY, "id": "1"}


@pytest.mark.parametrize(
    ("item", "promote", "abort"),
    [
        (SITUATIONS["a new object that the controller hasn't seen"], False, False),
        (SITUATIONS["it serves"], False, False),
        (SITUATIONS["a canary was aborted"], False, False),
        (SITUATIONS["a canary is prepared"], True, True),
        (a_canary(), True, True),
        (a_canary(request=REQUEST), False, True),
        (a_canary(request=REQUEST, lastRequest={"id": "1"}), True, True),
        (a_canary(request=REQUEST, lastRequest={"id": "0"}), False, True),
    ],
)
def test_a_button_can_be_pressed_while_its_request_would_be_heard(item: Object, promote: bool, abort: bool) -> None:
    told = run(ACTIONS / "discovery.lua", item)
    assert told == {"promote": {"disabled": not promote}, "abort": {"disabled": not abort}}


@pytest.mark.parametrize(("action", "step"), [("promote", 0), ("abort", None)])
def test_a_button_writes_a_request_about_the_canary_and_nothing_else(action: str, step: int | None) -> None:
    before = a_canary(request=REQUEST, lastRequest={"id": "1"})
    after = run(ACTIONS / f"{action}.lua", copy.deepcopy(before))
    request = Request.model_validate(after["status"]["rollout"].pop("request"))
    assert (request.action, request.revision, request.step) == (action.capitalize(), CANARY, step)
    assert re.fullmatch(r"argo-cd-[0-9]{10}", request.id)
    before["status"]["rollout"].pop("request")
    assert after == before


def test_the_config_map_has_the_scripts_letter_by_letter() -> None:
    told = yaml.safe_load((FOLDER / "argocd-cm.yaml").read_text())["data"]
    kind = f"{naming.GROUP}_{naming.KIND}"
    assert set(told) == {f"resource.customizations.{what}.{kind}" for what in ("health", "actions")}
    assert told[f"resource.customizations.health.{kind}"] == HEALTH.read_text()
    assert yaml.safe_load(told[f"resource.customizations.actions.{kind}"]) == {
        "discovery.lua": (ACTIONS / "discovery.lua").read_text(),
        "definitions": [
            {"name": name, "action.lua": (ACTIONS / f"{name}.lua").read_text()} for name in ("promote", "abort")
        ],
    }
