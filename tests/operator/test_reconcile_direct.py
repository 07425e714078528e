"""Services whose callers come to the pods of stable, which hand the canary's requests over."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from tidegate_operator.naming import revision_labels
from tidegate_operator.revisions import revision_of
from tidegate_operator.routing.moving import LEAVE, SETTLE

from .builders import Object, a_pod, a_spec
from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}
CANARY = revision_of("churn", a_spec(model=NEW_MODEL)).name
STEPS = {"steps": [{"weight": 50, "hold": "1m"}], "analysis": {"onNoData": "Pass"}, "scaleDownDelay": "5m"}
ROUTER, DIRECT = "tidegate-router.tidegate-system.svc.cluster.local", "churn-direct.ml.svc.cluster.local"
ONE, TWO = "10.0.0.1", "10.0.0.2"
OLD = "tidegate_inflight 0\n"
"""The page of a pod that can't hand anything over."""


def page(reachable: int | None = None, percent: int = 0, canary: str = CANARY) -> str:
    """The page of a pod that can; `reachable` pods of a canary, if it has heard of one."""
    if reachable is None:
        return 'tidegate_handover_percent{canary=""} 0.0\n'
    return (
        f'tidegate_handover_percent{{canary="{canary}"}} {percent}.0\n'
        f'tidegate_handover_reachable_pods{{canary="{canary}"}} {reachable}.0\n'
    )


def host(found: OperatedCluster) -> str:
    """What the service's own name stands for."""
    name: str = found.cluster.of_kind("Service")["churn"]["spec"]["externalName"]
    return name


def led_to(found: OperatedCluster) -> str:
    """The revision to whose pods callers are led."""
    selector: Object = found.cluster.of_kind("Service")["churn-direct"]["spec"]["selector"]
    assert selector["tidegate.dev/service"] == "churn"
    revision: str = selector["tidegate.dev/revision"]
    return revision


def run(found: OperatedCluster, revision: str, address: str, *, ready: bool = True) -> None:
    """A pod of a revision runs at an address."""
    running = {"restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T09:59:00Z"}}}
    pod = a_pod(
        revision,
        name=address,
        phase="Running",
        podIP=address,
        conditions=[{"type": "Ready", "status": str(ready)}],
        containerStatuses=[running],
    )
    pod["metadata"]["labels"] = revision_labels("churn", revision)
    found.cluster.put(pod)


def endpoints(found: OperatedCluster) -> None:
    """Kubernetes has heard of the pods behind the Service for stable's."""
    labels = {"kubernetes.io/service-name": "churn-direct"}
    metadata = {"name": "churn-direct-x", "namespace": "ml", "labels": labels}
    ready = [{"addresses": [ONE], "conditions": {"ready": True}}]
    found.cluster.put({"kind": "EndpointSlice", "metadata": metadata, "endpoints": ready})


async def later(found: OperatedCluster, delay: timedelta) -> None:
    found.now += delay
    await found.settle()


async def a_canary(serving: Serving, **pages: str) -> OperatedCluster:
    """A service with a canary whose pods are ready; the pages of two pods of stable, `one` and `two`."""
    found = await serving(routing={"provider": "Direct"}, rollout=STEPS)
    stable = found.revision("stable")
    for name, address in (("one", ONE), ("two", TWO)):
        run(found, stable, address)
        if name in pages:
            found.pages.told[address] = pages[name]
    found.change(model=NEW_MODEL)
    await found.settle()
    assert found.revision("canary") == CANARY
    return found


def weight(found: OperatedCluster) -> int:
    of_canary: int = found.status["canary"]["weight"]
    return of_canary


async def test_callers_come_to_the_pods_of_stable_alone_and_weights_are_exact(serving: Serving) -> None:
    found = await serving(routing={"provider": "Direct", "grpc": True})
    assert (host(found), led_to(found)) == (DIRECT, found.revision("stable"))
    ports = found.cluster.of_kind("Service")["churn-direct"]["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(80, "http"), (8081, 8081)]
    assert found.condition("TrafficRouted") == ("True", "Routed")
    assert (found.status["routing"]["provider"], found.status["routing"]["weights"]) == ("Direct", "Exact")


async def test_a_canary_gets_its_weight_once_every_pod_of_stable_reaches_it(serving: Serving) -> None:
    found = await a_canary(serving, one=page(1), two=page(0))
    stable = found.revision("stable")
    assert weight(found) == 0
    assert found.status["rollout"]["message"].endswith(f"every pod of {stable} reaches a ready one of {CANARY}")
    found.pages.told[TWO] = page(1)
    await found.settle()
    assert (weight(found), led_to(found)) == (50, stable)
    await later(found, timedelta(minutes=2))
    assert (found.revision("stable"), led_to(found)) == (CANARY, CANARY)
    assert found.status["retiring"][0]["revision"] == stable
    assert found.condition("Ready") == ("True", "Serving")


async def test_pods_of_stable_that_have_not_heard_of_a_canary_or_cannot_be_asked_keep_it_from_rising_alone(
    serving: Serving,
) -> None:
    found = await a_canary(serving, one=page(1), two=page())
    assert weight(found) == 0
    del found.pages.told[TWO]
    await found.settle()
    assert weight(found) == 0
    found.pages.told[TWO] = page(2)
    await found.settle()
    assert weight(found) == 50
    for told in ({ONE: page(2)}, {ONE: page(2), TWO: page(0)}, {ONE: page(0), TWO: page()}, {}):
        found.pages.told = told
        await found.settle()
        assert weight(found) == 50, "pods that can't hand over answer themselves"
    assert found.condition("Ready") == ("True", "Serving")
    found.pages.told = {ONE: page(0), TWO: page(0)}
    await found.settle()
    assert weight(found) == 0


async def test_a_pod_of_stable_that_is_not_ready_has_no_say(serving: Serving) -> None:
    found = await a_canary(serving, one=page(1), two=page(0))
    run(found, found.revision("stable"), TWO, ready=False)
    await found.settle()
    assert weight(found) == 50


async def test_a_stable_of_an_earlier_release_answers_and_says_why_no_canary_gets_requests(serving: Serving) -> None:
    found = await a_canary(serving, one=OLD, two=OLD)
    assert weight(found) == 0
    assert found.condition("Ready") == ("True", "Serving")
    assert found.condition("RolloutHealthy") == ("False", "StableCantHandOver")
    assert found.condition("Stalled") == ("True", "StableCantHandOver")
    (told,) = [each["message"] for each in found.status["conditions"] if each["type"] == "RolloutHealthy"]
    assert "Update it while callers come by provider Router" in told
    found.ask("Abort", CANARY)
    await found.settle()
    assert found.condition("Stalled") == ("False", "Progressing")


async def test_a_rollback_waits_for_no_word_of_the_pods_that_it_is_to_replace(serving: Serving) -> None:
    found = await a_canary(serving, one=page(1), two=page(1))
    first = found.revision("stable")
    await later(found, timedelta(minutes=2))
    assert led_to(found) == CANARY
    run(found, CANARY, "10.0.0.3")  # And doesn't answer.
    found.ask("Rollback", first)
    await found.settle()
    assert (found.revision("stable"), led_to(found)) == (first, first)


async def test_pods_are_asked_only_while_there_is_a_canary(serving: Serving) -> None:
    found = await serving(routing={"provider": "Direct"}, rollout=STEPS)
    asked: list[str] = []

    async def fetch(url: str) -> str:
        asked.append(url)
        return page(1)

    found.pages.fetch = fetch  # type: ignore[method-assign]
    found.operator = found.new_operator()
    run(found, found.revision("stable"), ONE)
    await found.settle()
    assert asked == []
    found.change(model=NEW_MODEL)
    await found.settle()
    assert asked


async def test_a_service_leaves_the_router_for_pods_that_can_hand_over_behind_a_service_that_works(
    serving: Serving,
) -> None:
    found = await serving()
    run(found, found.revision("stable"), ONE)
    found.pages.told[ONE] = OLD
    found.change(routing={"provider": "Direct"})
    await found.settle()
    assert led_to(found) == found.revision("stable"), "the new way is built"
    await later(found, 2 * SETTLE)
    assert "the Service churn-direct has no ready endpoint yet" in found.status["routing"]["message"]
    endpoints(found)
    await later(found, 2 * SETTLE)
    assert "can't hand requests over to a canary: Update it while" in found.status["routing"]["message"]
    assert (host(found), found.condition("Ready")) == (ROUTER, ("True", "Serving"))
    found.pages.told[ONE] = page()
    await later(found, SETTLE / 5)
    assert (host(found), found.status["routing"]["coming"]) == (ROUTER, "Direct")
    await later(found, SETTLE)
    assert host(found) == DIRECT
    assert found.status["routing"]["leaving"] == "Router"
    await later(found, LEAVE)
    assert found.status["routing"].keys() == {"provider", "weights", "message"}


async def test_it_goes_over_in_a_rollout_only_once_its_pods_hand_the_same_share_over(serving: Serving) -> None:
    found = await serving(rollout=STEPS)
    run(found, found.revision("stable"), ONE)
    endpoints(found)
    found.change(model=NEW_MODEL)
    await found.settle()
    assert weight(found) == 50
    found.pages.told[ONE] = page(1, percent=10)
    found.change(routing={"provider": "Direct"}, rollout={**STEPS, "paused": True})
    for _ in range(3):
        await later(found, SETTLE)
    assert host(found) == ROUTER
    found.pages.told[ONE] = page(1, percent=50)
    for _ in range(3):
        await later(found, SETTLE)
    assert (host(found), weight(found)) == (DIRECT, 50)


async def test_both_services_for_pods_stand_beside_each_other_while_callers_go_over(serving: Serving) -> None:
    found = await serving(routing={"provider": "Service"})
    run(found, found.revision("stable"), ONE)
    found.pages.told[ONE] = page()
    endpoints(found)
    found.change(routing={"provider": "Direct"})
    for _ in range(3):
        await later(found, SETTLE)
    assert host(found) == DIRECT
    assert {"churn", "churn-direct", "churn-pods"} <= set(found.cluster.of_kind("Service"))
    await later(found, LEAVE)
    await found.settle()
    assert "churn-pods" not in found.cluster.of_kind("Service")
