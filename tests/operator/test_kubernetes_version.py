"""What this Kubernetes would drop silently is refused by name."""

from collections.abc import Mapping
from typing import Any

import pytest

from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.errors import InvalidSpec, Unavailable
from tidegate_operator.install import Install
from tidegate_operator.kube.version import kubernetes_version
from tidegate_operator.service import understand

from .builders import Object, a_service
from .operated_cluster import KEY, OperatedCluster

CLAIMING = {"gpu": {"claimTemplate": "one-a100"}}


class Api:
    def __init__(self, told: Any) -> None:
        self.told = told

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        assert path == "/version"
        return self.told

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a version is read, and {name} called")


@pytest.mark.parametrize(
    ("told", "version"),
    [({"major": "1", "minor": "37"}, (1, 37)), ({"major": "1", "minor": "33+"}, (1, 33))],
)
async def test_a_version_is_read_as_servers_write_it(told: Object, version: tuple[int, int]) -> None:
    assert await kubernetes_version(Api(told)) == version


@pytest.mark.parametrize("told", [{}, {"major": "1", "minor": ""}, {"major": 1, "minor": 37}, []])
async def test_an_answer_that_is_none_is_not_taken_for_one(told: Any) -> None:
    with pytest.raises(Unavailable, match="tells no version"):
        await kubernetes_version(Api(told))


@pytest.mark.parametrize(("version", "taken"), [((1, 33), False), ((1, 34), True), ((2, 0), True), (None, True)])
def test_claims_are_taken_where_pods_may_have_them(version: tuple[int, int] | None, taken: bool) -> None:
    live = a_service({"resources": CLAIMING})
    live["metadata"].update(uid="u", generation=1)
    install = Install(kubernetes=version)
    if taken:
        assert understand(live, KEY, InferenceServiceStatus(), (), install, {}).problem is None
        return
    with pytest.raises(InvalidSpec) as refused:
        understand(live, KEY, InferenceServiceStatus(), (), install, {})
    assert str(refused.value) == (
        "spec.resources.gpu.claimTemplate: needs Kubernetes 1.34, and this is 1.33, which would drop it: name a"
        " resource and a count instead"
    )


async def test_a_service_that_runs_goes_on_without_what_is_not_taken(operated: OperatedCluster) -> None:
    operated.install = Install(kubernetes=(1, 33))
    operated.operator = operated.new_operator()
    operated.cluster.put(a_service({}))
    await operated.settle()
    stable = operated.revision("stable")
    operated.change(resources=CLAIMING)
    await operated.settle()
    assert operated.condition("Stalled") == ("True", "InvalidSpec")
    assert operated.revision("stable") == stable
    assert "canary" not in operated.status
