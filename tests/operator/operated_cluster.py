"""A fake cluster with an operator, and kubelets and routers that do as a test says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tidegate_operator import naming
from tidegate_operator.analyst import Analyst
from tidegate_operator.controller.command import WATCHED
from tidegate_operator.desired import Manifest
from tidegate_operator.errors import ApiError
from tidegate_operator.evidence.answers import Answer
from tidegate_operator.evidence.queries import Names
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Readings, Source, Times
from tidegate_operator.fit import Inventory
from tidegate_operator.foresight import Foresight
from tidegate_operator.install import Install
from tidegate_operator.kube import listing
from tidegate_operator.kube.objects import DEPLOYMENT, SERVICES
from tidegate_operator.kube.recorder import Recorder
from tidegate_operator.kube.store import Key, Store
from tidegate_operator.reconcile import Outcome, Reconciler
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.direct import Direct
from tidegate_operator.routing.gateway import Gateway
from tidegate_operator.routing.plain import PlainService
from tidegate_operator.routing.provider import Outlook, Subject
from tidegate_operator.routing.ways import Ways

from .builders import NOW, Object
from .fake_cluster import FakeCluster, Killed

KEY = Key("ml", "churn")
PATH = SERVICES.path("ml", "churn")


class Routers:
    """Routers that see every ready pod at once, unless told otherwise."""

    def __init__(self) -> None:
        self.answer: bool | None = True
        self.when_asked: Callable[[], None] = lambda: None

    def host(self, subject: Subject) -> str:
        return "tidegate-router.tidegate-system.svc.cluster.local"

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        return ()

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        self.when_asked()
        return Outlook(dict.fromkeys(revisions, self.answer))

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        return {}

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        return True


class Callers:
    """Sources that say what a test lets callers see: nothing, unless told otherwise."""

    def __init__(self) -> None:
        self.sees: dict[str, Readings] = {}
        self.restarts: dict[str, int] = {}
        self.share: bool | None = True

    async def read(
        self, namespace: str, revisions: Iterable[str], pods: Iterable[Mapping[str, Any]]
    ) -> Mapping[str, Readings]:
        # Who has counted nothing says so.
        nothing = Readings(calls={"router": Calls()}, times={"pod": Times()}, copies={"pod": NO_COPIES})
        seen = {name: self.sees.get(name, nothing) for name in revisions}
        return {name: replace(found, restarts=self.restarts.get(name, 0)) for name, found in seen.items()}

    async def shared(self, key: Key, weights: Mapping[str, int]) -> bool | None:
        return self.share

    def exact(self, key: Key, *, matches: bool) -> bool:
        return True


class Prometheus:
    """One that says to each query what a test lets it say: nothing yet, unless told otherwise."""

    def __init__(self) -> None:
        self.says: dict[str, Answer] = {}
        self.asked: list[tuple[Names, object, tuple[str, ...]]] = []

    def answers(self, names: Names, window: object, queries: Sequence[str]) -> tuple[Answer, ...] | None:
        self.asked.append((names, window, tuple(queries)))
        return tuple(self.says[query] for query in queries) if self.says.keys() >= set(queries) else None

    def forget(self, namespace: str, service: str) -> None:
        pass


class Nodes:
    """A census that finds what a test says, or fails: room for everybody, unless told otherwise."""

    def __init__(self) -> None:
        offered = {"cpu": "1000", "memory": "1000Gi", "pods": "1000", "nvidia.com/gpu": "1000"}
        self.found = Inventory([{"metadata": {"name": "n1"}, "status": {"allocatable": offered}}], {})
        self.quota: list[Object] = []
        self.failure: ApiError | None = None
        self.asked = 0

    def offer(self, **amounts: str) -> None:
        """What the node has."""
        self.found.nodes[0]["status"]["allocatable"].update(amounts)

    async def inventory(self, kept_seconds: float = 0) -> Inventory:
        self.asked += 1
        if self.failure:
            raise self.failure
        return self.found

    async def quotas(self, namespace: str, kept_seconds: float = 0) -> list[Object]:
        return self.quota


class Pages:
    """Metrics pages of pods by their address; a pod without one doesn't answer."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    async def fetch(self, url: str) -> str:
        address = url.removeprefix("http://").partition(":")[0]
        if address not in self.told:
            raise TimeoutError(f"{address} doesn't answer")
        return self.told[address]


class Operator:
    """One process of the controller: its own view, its own memory."""

    def __init__(
        self,
        cluster: FakeCluster,
        routers: Routers,
        analyst: Analyst,
        nodes: Nodes | None,
        install: Install,
        pages: Pages,
    ) -> None:
        self.store = Store()
        self._cluster = cluster
        recorder, foresight = Recorder(cluster, lambda: NOW), Foresight(nodes, install)
        plain, gateway = PlainService(install, self.store, cluster), Gateway(install, self.store, cluster)
        direct = Direct(install, self.store, cluster, pages.fetch)
        ways = Ways({"Router": routers, "Service": plain, "Gateway": gateway, "Direct": direct}, self.store)
        self._reconciler = Reconciler(cluster, self.store, ways, analyst, foresight, recorder, install)

    async def look(self) -> None:
        await listing.refresh(self._cluster, self.store, WATCHED)

    async def reconcile(self, now: datetime) -> Outcome:
        return await self._reconciler.reconcile(KEY, now)


class OperatedCluster:
    """A cluster with one InferenceService at most, `churn` in `ml`."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.routers = Routers()
        self.callers = Callers()
        self.pages = Pages()
        self.prometheus = Prometheus()
        self.nodes: Nodes | None = Nodes()
        self.install = Install()
        self.now = NOW
        self.failing: set[str] = set()
        """Revisions whose pods don't get ready."""
        self.refused: set[str] = set()
        """Revisions whose pods the API server doesn't take."""
        self.operator = self.new_operator()

    def new_operator(self) -> Operator:
        analyst = Analyst(self.callers, self.prometheus)
        return Operator(self.cluster, self.routers, analyst, self.nodes, self.install, self.pages)

    def change(self, **parts: Any) -> None:
        """The spec is changed, as by kubectl apply."""
        self.cluster.edit(PATH, lambda item: item["spec"].update(parts))

    def ask(self, action: str, revision: str, number: str = "1") -> None:
        """A request is written into the status, as by kubectl patch."""
        request = {"action": action, "revision": revision, "id": number}
        self.cluster.edit(PATH, lambda item: item["status"]["rollout"].update(request=request))

    def scale(self, revision: str, count: int) -> None:
        """An HPA, or a person, writes through the scale subresource."""
        self.cluster.edit(DEPLOYMENT.path("ml", revision), lambda item: item["spec"].update(replicas=count))

    def run_pods(self) -> None:
        """Every Deployment has the pods that it should have, ready unless they fail."""
        for name, deployment in self.cluster.of_kind("Deployment").items():
            refused = name in self.refused
            count = 0 if refused else deployment["spec"]["replicas"]
            status = {
                "observedGeneration": deployment["metadata"]["generation"],
                "replicas": count,
                "updatedReplicas": count,
                "readyReplicas": 0 if name in self.failing else count,
                "conditions": [{"type": "ReplicaFailure", "status": str(refused), "message": "exceeded quota: gpus"}],
            }
            self.cluster.put({**deployment, "status": status})

    async def settle(self) -> None:
        """Passes and kubelets take turns until a pass changes nothing; a killed operator is started again."""
        for _ in range(40):
            before = self.cluster.versions()
            try:
                await self.operator.look()
                outcome = await self.operator.reconcile(self.now)
            except Killed:
                self.cluster.kill_at = None
                self.operator = self.new_operator()
                continue
            self.run_pods()
            if self.cluster.versions() == before and (outcome.due is None or outcome.due.total_seconds() > 0):
                return
        raise AssertionError(f"no rest in sight; the last writes were {self.cluster.writes[-10:]}")

    async def flow(self, seconds: int) -> None:
        """Time goes by, with passes as they fall due."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            await self.settle()

    @property
    def service(self) -> Object:
        return self.cluster.objects[PATH]

    @property
    def status(self) -> Object:
        found: Object = self.service["status"]
        return found

    @property
    def replicas(self) -> dict[str, int]:
        return {name: item["spec"]["replicas"] for name, item in self.cluster.of_kind("Deployment").items()}

    def condition(self, kind: str) -> tuple[str, str]:
        """A condition's status and reason."""
        found = next(condition for condition in self.status["conditions"] if condition["type"] == kind)
        return found["status"], found["reason"]

    def revision(self, role: str) -> str:
        """The name of the revision that is stable, or the canary."""
        name: str = self.status[role]["revision"]
        return name


def children_of(cluster: FakeCluster) -> set[tuple[str, str]]:
    """Kind and name of everything that is labelled as ours."""
    return {
        (item["kind"], item["metadata"]["name"])
        for item in cluster.objects.values()
        if item["metadata"].get("labels", {}).get(naming.MANAGED_BY_LABEL) == naming.MANAGED_BY
    }
