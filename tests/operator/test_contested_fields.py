"""Fields of children that somebody else sets: set back and told, but not fought over for ever."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from tidegate_operator import errors
from tidegate_operator.kube.apply import Applier
from tidegate_operator.kube.client import refusal
from tidegate_operator.kube.contest import FIRST_PAUSE, LONGEST_PAUSE, PEACE, Contest, set_back, told
from tidegate_operator.kube.objects import DEPLOYMENT, SERVICE
from tidegate_operator.kube.store import Reference, Store

from .builders import NOW, Object, after
from .fake_cluster import FakeCluster
from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

PATH = SERVICE.path("ml", "churn")
REFERENCE = Reference("Service", "ml", "churn")


@pytest.mark.parametrize(
    ("before", "now", "following"),
    [
        (None, NOW, Contest(1, NOW)),
        (Contest(1, NOW), NOW, Contest(2, NOW)),
        (Contest(2, NOW), after(29), None),
        (Contest(2, NOW), after(30), Contest(3, after(30))),
        (Contest(3, NOW), after(59), None),
        (Contest(3, NOW), after(60), Contest(4, after(60))),
        (Contest(99, NOW), after(599), None),
        (Contest(99, NOW), after(600), Contest(100, after(600))),
        (Contest(99, NOW), after(1200), Contest(1, after(1200))),
    ],
)
def test_fields_are_set_back_at_once_twice_and_then_ever_less_often(
    before: Contest | None, now: datetime, following: Contest | None
) -> None:
    assert set_back(before, now) == following


def test_who_never_gives_way_is_answered_a_few_times_an_hour() -> None:
    contest, now, writes = set_back(None, NOW), NOW, 1
    while now < NOW + timedelta(hours=1):
        now += timedelta(seconds=1)
        following = set_back(contest, now)
        contest, writes = following or contest, writes + (following is not None)
    assert writes == 11  # At 0, 1, 31, 91, 211, 451, 931 s, and then each ten minutes.
    assert FIRST_PAUSE < LONGEST_PAUSE < PEACE


def test_three_fields_are_named_with_all_that_set_them() -> None:
    held = [(".a", "kubectl-edit"), (".b", "argocd"), (".c", "argocd"), (".d", "vpa")]
    assert told("Deployment d", held) == "Deployment d: .a, .b, .c and 1 more, set by kubectl-edit and argocd and vpa"


def test_the_api_servers_words_are_understood() -> None:
    answer = {
        "message": 'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.paused',
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "kubectl-edit" using apps/v1',
                    "field": ".spec.paused",
                },
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "kube-controller-manager" with subresource "scale" using apps/v1',
                    "field": ".spec.replicas",
                },
            ]
        },
    }
    found = refusal(409, answer, "PATCH /d: HTTP 409")
    assert isinstance(found, errors.FieldsHeld)
    assert found.held == ((".spec.paused", "kubectl-edit"), (".spec.replicas", "kube-controller-manager"))


@pytest.mark.parametrize("answer", [None, {}, {"message": "modified"}, {"details": {}}, {"details": {"causes": None}}])
def test_any_other_conflict_is_one_of_versions(answer: Object | None) -> None:
    found = refusal(409, answer, "PATCH /d: HTTP 409")
    assert type(found) is errors.Conflict


def a_manifest() -> Object:
    metadata = {"name": "churn", "namespace": "ml", "ownerReferences": [{"uid": "uid-churn", "controller": True}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"port": 80}}


class Contested:
    """A Service that we apply and `someone` edits."""

    def __init__(self) -> None:
        self.cluster, self.store = FakeCluster(), Store()
        self.applier = Applier(self.cluster, self.store)

    async def apply(self, now: datetime = NOW) -> str | None:
        return await self.applier.apply(a_manifest(), "m", "uid-churn", now)

    def edit(self, manager: str = "someone", **fields: int) -> None:
        self.store.put(self.cluster.edit(PATH, lambda item: item["spec"].update(fields), manager))

    @property
    def spec(self) -> Object:
        found: Object = self.cluster.objects[PATH]["spec"]
        return found


@pytest.fixture
async def contested() -> Contested:
    found = Contested()
    assert await found.apply() is None
    return found


async def test_a_field_that_someone_set_is_set_back_and_told(contested: Contested) -> None:
    contested.edit(port=99)
    assert await contested.apply() == "Service churn: .spec.port, set by someone"
    assert contested.spec == {"port": 80}
    assert contested.applier.quarrel(REFERENCE, NOW) is None


async def test_a_field_that_we_say_nothing_of_is_left_to_whoever_set_it(contested: Contested) -> None:
    contested.edit(other=1)
    assert await contested.apply() is None
    assert contested.spec == {"port": 80, "other": 1}


async def test_what_is_set_again_and_again_is_left_for_a_while_and_told(contested: Contested) -> None:
    for _ in range(3):
        contested.edit(port=99)
        await contested.apply()
    assert contested.spec == {"port": 99}
    quarrel = contested.applier.quarrel(REFERENCE, NOW)
    assert quarrel == ("Service churn: .spec.port, set by someone", after(30))
    await contested.apply(after(30))
    assert contested.spec == {"port": 80}
    # Once it was set back, time tells whether that was the end of it.
    assert contested.applier.quarrel(REFERENCE, after(31)) is not None
    assert contested.applier.quarrel(REFERENCE, after(90)) is None


async def test_replicas_that_an_hpa_had_set_are_no_quarrel(contested: Contested) -> None:
    for _ in range(3):
        contested.edit("kube-controller-manager", port=99)
        assert await contested.apply() is None
        assert contested.spec == {"port": 80}
    assert contested.applier.quarrel(REFERENCE, NOW) is None


async def test_a_contest_is_forgotten_with_its_object(contested: Contested) -> None:
    for _ in range(3):
        contested.edit(port=99)
        await contested.apply()
    contested.applier.forget(REFERENCE)
    assert contested.applier.quarrel(REFERENCE, NOW) is None


def grace(found: OperatedCluster) -> int:
    (deployment,) = found.cluster.of_kind("Deployment").values()
    seconds: int = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    return seconds


def edit(found: OperatedCluster, manager: str = "kubectl-edit") -> None:
    path = DEPLOYMENT.path("ml", found.revision("stable"))
    change = {"terminationGracePeriodSeconds": 1}
    found.cluster.edit(path, lambda item: item["spec"]["template"]["spec"].update(change), manager)


def warnings(found: OperatedCluster) -> list[str]:
    return [event["message"] for event in found.cluster.events if event["reason"] == "ChildSetBack"]


async def test_an_edited_child_is_mended_with_an_event(serving: Serving) -> None:
    found = await serving()
    before = grace(found)
    edit(found)
    await found.settle()
    assert grace(found) == before
    (warning,) = warnings(found)
    assert warning == (
        f"Deployment {found.revision('stable')}: .spec.template.spec.terminationGracePeriodSeconds, set by"
        " kubectl-edit; set back to what the service asks for"
    )
    assert found.condition("Stalled") == ("False", "Progressing")


async def test_a_child_that_someone_goes_on_editing_stalls_until_that_ends(serving: Serving) -> None:
    found = await serving()
    before = grace(found)
    for _ in range(4):
        edit(found, "argocd-controller")
        await found.settle()
    assert grace(found) == 1
    assert found.condition("Stalled") == ("True", "FieldsContested")
    (told,) = [c["message"] for c in found.status["conditions"] if c["type"] == "Stalled"]
    assert "terminationGracePeriodSeconds, set by argocd-controller" in told
    assert len(warnings(found)) == 2
    found.now += timedelta(seconds=30)
    await found.settle()
    assert grace(found) == before
    found.now += timedelta(seconds=60)
    await found.settle()
    assert found.condition("Stalled") == ("False", "Progressing")
    assert found.condition("Ready") == ("True", "Serving")


async def test_a_rollout_goes_on_beside_a_quarrel(serving: Serving) -> None:
    found = await serving(rollout={"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual"})
    for _ in range(4):
        edit(found, "argocd-controller")
        await found.settle()
    found.change(model={"uri": "https://models.example/churn-2.onnx"})
    await found.settle()
    assert found.status["canary"]["weight"] == 10
