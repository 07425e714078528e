"""What callers saw of revisions: how many requests and failures the way of routing counted, how long the pods took."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tidegate_operator.evidence.readings import Readings
from tidegate_operator.kube.objects import Object
from tidegate_operator.kube.store import Key
from tidegate_operator.process.pages import Fetch
from tidegate_operator.routing.pods import read_pods
from tidegate_operator.routing.provider import Provider


class Callers:
    """`analyst.Sources` by a provider of routing and the pods' own metrics."""

    def __init__(self, provider: Provider, fetch: Fetch) -> None:
        self._provider = provider
        self._fetch = fetch

    async def read(self, namespace: str, revisions: Iterable[str], pods: Iterable[Object]) -> Mapping[str, Readings]:
        """See `analyst.Sources.read`."""
        names = tuple(revisions)
        calls = await self._provider.calls(namespace, names)
        times = await read_pods(self._fetch, pods)
        return {name: replace(times.get(name, Readings()), calls=calls.get(name, {})) for name in names}

    async def shared(self, key: Key, weights: Mapping[str, int]) -> bool | None:
        """See `analyst.Sources.shared`."""
        return await self._provider.accepted(key.namespace, key.name, weights)
