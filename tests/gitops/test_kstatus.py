"""kstatus and Flux's expressions by their own code: the table of docs/gitops.md, and every status there can be."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from localcluster.errors import ClusterError
from localcluster.progress import Progress
from tidegate_operator import naming
from verdicts import judge
from verdicts.judge import Verdict

from .argo_cd import health
from .page import table
from .situations import GENERATION, SITUATIONS, Object, an_object, every_situation

# The first time the program is built, which is a minute on two idle cores.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

MODELS = Path(__file__).parents[2] / "gitops/flux/models.yaml"


@pytest.fixture(scope="module")
def program() -> Path:
    """The program; without Go, and no way to get it, these tests can't be run."""
    try:
        return judge.PROGRAM.ensure(Progress())
    except ClusterError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def expressions() -> dict[str, str]:
    (check,) = yaml.safe_load(MODELS.read_text())["spec"]["healthCheckExprs"]
    assert (check.pop("apiVersion"), check.pop("kind")) == (naming.API_VERSION, naming.KIND)
    found: dict[str, str] = check
    return found


@dataclass(frozen=True)
class Tried:
    """An object, and what the tools make of it."""

    phase: str
    item: Object
    verdict: Verdict
    argo_cd: str

    def holds(self, kind: str) -> bool:
        """Whether a condition is True."""
        (found,) = [each for each in self.item["status"]["conditions"] if each["type"] == kind]
        return bool(found["status"] == "True")


@pytest.fixture(scope="module")
def tried(program: Path, expressions: dict[str, str]) -> list[Tried]:
    """Every situation."""
    found = [(situation.phase, situation.object) for situation in every_situation()]
    verdicts = judge.ask(program, expressions, [item for _, item in found])
    return [
        Tried(phase, item, verdict, health(item)[0]) for (phase, item), verdict in zip(found, verdicts, strict=True)
    ]


@pytest.mark.parametrize("happens", SITUATIONS)
def test_kstatus_and_flux_say(program: Path, expressions: dict[str, str], happens: str) -> None:
    (verdict,) = judge.ask(program, expressions, [SITUATIONS[happens]])
    row = table()[happens]
    assert (verdict.kstatus, verdict.flux) == (row.kstatus, row.flux), verdict.error


def test_every_status_there_can_be_has_one_meaning_everywhere(tried: list[Tried]) -> None:
    found = {(each.verdict.kstatus, each.verdict.flux, each.argo_cd) for each in tried}
    assert found == {
        ("Current", "Current", "Healthy"),
        ("Current", "Current", "Suspended"),
        ("Current", "Failed", "Degraded"),
        ("InProgress", "InProgress", "Progressing"),
        # Held for a person, with a canary that fails and a stable without a ready pod.
        ("InProgress", "Failed", "Degraded"),
        ("Failed", "Failed", "Degraded"),
    }


def test_a_stalled_service_is_failed_and_no_other(tried: list[Tried]) -> None:
    for each in tried:
        assert (each.verdict.kstatus == "Failed") == each.holds("Stalled"), each


def test_a_service_that_does_not_answer_is_never_current(tried: list[Tried]) -> None:
    for each in tried:
        assert each.holds("Ready") or "Current" not in (each.verdict.kstatus, each.verdict.flux), each


def test_waiting_for_a_person_is_no_progress(tried: list[Tried]) -> None:
    waiting = {
        (each.verdict.kstatus, each.verdict.flux, each.argo_cd)
        for each in tried
        if each.phase == "AwaitingApproval" and each.holds("Ready") and each.holds("RolloutHealthy")
        if not each.holds("Stalled")
    }
    assert waiting == {("Current", "Current", "Suspended")}


def test_a_newer_spec_is_in_progress_whatever_the_status_says(
    program: Path, expressions: dict[str, str], tried: list[Tried]
) -> None:
    objects = [an_object(each.item["status"], generation=GENERATION + 1) for each in tried]
    verdicts = judge.ask(program, expressions, objects)
    assert {(verdict.kstatus, verdict.flux) for verdict in verdicts} == {("InProgress", "InProgress")}
    assert {health(item)[0] for item in objects} == {"Progressing"}
