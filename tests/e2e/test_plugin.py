"""`kubectl tidegate`, as kubectl finds and runs it."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.kubectl import Failed, Kubectl, Object
from lab.service import Service

pytestmark = pytest.mark.e2e

Plugin = Callable[..., str]


@pytest.fixture
def tidegate(kubectl: Kubectl, ready: Service) -> Plugin:
    """Runs a command of the plugin on the service; returns what it printed, in lines as wide as they are."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with_plugin = replace(kubectl, environment={**kubectl.environment, "PATH": path, "COLUMNS": "300"})

    def run(command: str, *options: str) -> str:
        return with_plugin.run("tidegate", command, ready.name, "-n", ready.namespace, *options)

    return run


def test_a_rollout_is_shown_explained_promoted_and_rolled_back(
    ready: Service, spec: Callable[..., Object], tidegate: Plugin
) -> None:
    old = ready.status["stable"]["revision"]
    ready.apply(spec(version=2))
    new = ready.until_condition("Reconciling", "False", reason="AwaitingApproval")["canary"]["revision"]
    assert json.loads(tidegate("status", "-o", "json"))["status"] == ready.status
    shown = tidegate("status")
    assert f"stable  {old}  90 %" in shown
    assert f"canary  {new}  10 %" in shown
    explained = tidegate("explain")
    assert "gate  AwaitingApproval" in explained
    assert f"kubectl tidegate promote {ready.name} -n {ready.namespace}" in explained
    assert f"accepted: {new} is promoted" in tidegate("promote", "--full")
    tidegate("status", "--wait", "--timeout", "2m")
    assert ready.status["stable"]["revision"] == new
    assert f"accepted: {old} is prepared to serve all requests again" in tidegate("rollback")
    with pytest.raises(Failed, match=f"{new} was rolled back to {old}"):
        tidegate("status", "--wait", "--timeout", "2m")
    assert ready.status["stable"]["revision"] == old
    assert [entry["revision"] for entry in json.loads(tidegate("history", "-o", "json"))["items"]] == [new, old]
