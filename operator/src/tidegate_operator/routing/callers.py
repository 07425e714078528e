"""What callers saw of revisions: how many requests and failures the way of routing counted, how long the pods took."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tidegate_operator import naming
from tidegate_operator.evidence.readings import Readings
from tidegate_operator.kube.objects import Object
from tidegate_operator.kube.store import Key
from tidegate_operator.process.pages import Fetch
from tidegate_operator.routing.pods import read_pods
from tidegate_operator.routing.ways import Ways


class Callers:
    """`analyst.Sources` by the ways of routing and the pods' own metrics."""

    def __init__(self, ways: Ways, fetch: Fetch) -> None:
        self._ways = ways
        self._fetch = fetch

    async def read(self, namespace: str, revisions: Iterable[str], pods: Iterable[Object]) -> Mapping[str, Readings]:
        """See `analyst.Sources.read`."""
        names = tuple(revisions)
        way, _ = self._ways.of(Key(namespace, naming.service_of(names[0])))
        calls = await way.calls(namespace, names)
        told = await read_pods(self._fetch, pods, counting=calls is None)
        if calls is None:
            return {name: told.get(name, Readings()) for name in names}
        return {name: replace(told.get(name, Readings()), calls=calls.get(name, {})) for name in names}

    async def shared(self, key: Key, weights: Mapping[str, int]) -> bool | None:
        """See `analyst.Sources.shared`."""
        way, _ = self._ways.of(key)
        return await way.accepted(key.namespace, key.name, weights)

    def exact(self, key: Key, *, matches: bool) -> bool:
        """See `analyst.Sources.exact`: most pods don't tell those that were chosen apart from others."""
        _, can = self._ways.of(key)
        return can.exact and (can.counts or not matches) and self._ways.counts_all(key)
