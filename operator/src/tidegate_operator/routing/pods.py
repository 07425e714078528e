"""What a service's pods tell of the requests that they answered."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, Self

from tidegate_operator.evidence.page import calls_of, copies_of, times_of
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Readings, Times
from tidegate_operator.process.pages import Fetch
from tidegate_operator.routing.asking import Pod, ask, known

Object = Mapping[str, Any]


class _Told(NamedTuple):
    times: Times | None
    copies: Mapping[str, Copies] | None
    calls: Calls | None

    @classmethod
    def by(cls, page: str, *, counting: bool) -> Self:
        return cls(times_of(page), copies_of(page), calls_of(page) if counting else None)


async def read_pods(fetch: Fetch, pods: Iterable[Object], *, counting: bool = False) -> dict[str, Readings]:
    """What the pods tell now, by revision. One that doesn't answer, or not as it should, isn't a source.

    `pods` are objects of Kubernetes; those without a revision's label are passed over. What they count of requests and
    failures is read where nobody else does, `counting`.
    """
    asked = known(pods)
    told = await ask(fetch, asked, partial(_Told.by, counting=counting))
    return {revision: _readings(revision, asked, told) for revision in {pod.revision for pod in asked}}


def _readings(revision: str, asked: Iterable[Pod], told: Mapping[Pod, _Told]) -> Readings:
    own = [pod for pod in asked if pod.revision == revision]
    others = {pod.source: answer.copies for pod, answer in told.items() if pod.revision != revision}
    others |= {pod.source: None for pod in asked if pod.revision != revision and not pod.tells}
    copying = {source: copies for source, copies in others.items() if copies is not None}
    times = {pod.source: told[pod].times for pod in own if pod in told}
    calls = {pod.source: told[pod].calls for pod in own if pod in told}
    return Readings(
        calls={source: counted for source, counted in calls.items() if counted is not None},
        times={source: counted for source, counted in times.items() if counted is not None},
        restarts=sum(pod.restarts for pod in own),
        started={pod.source: pod.started for pod in asked if pod.started is not None},
        copies={source: copies.get(revision, NO_COPIES) for source, copies in copying.items()},
        mute=0 if copying else len(others),
        untimed=bool(own) and not any(pod.tells for pod in own),
    )
