"""Handing over on virtual time: which pods take requests, what becomes of each, and what is counted."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest

from tidegate_runtime.handover.choice import Choice
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.handover.pods import (
    ANSWER_SECONDS,
    LOOK_SECONDS,
    LOOK_SOON_SECONDS,
    MAX_BYTES,
    MAX_CONNECTIONS,
    MAX_PODS,
    Pods,
)
from tidegate_runtime.naming import HandoverReason
from tidegate_runtime.share.client import Answer, BadAnswer, Header, Room, TooLong, Unreachable
from tidegate_runtime.share.document import Handover, Match, Target

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

WEIGHT, MATCH = HandoverReason.WEIGHT, HandoverReason.MATCH
HERE, THERE = Target("10.0.0.5", 8080), Target("10.0.0.6", 8080)
TEN = Handover(10, "2")
NOTHING: dict[str, str] = {}
GOOD = Answer(200, {b"content-type": b"application/json"}, b"{}")


class Cluster:
    """Pods; each is ready as `ready` says, and answers other requests as `answer` says, after `seconds`."""

    def __init__(self) -> None:
        self.ready: dict[Target, bool] = {HERE: True, THERE: True}
        self.answer: Answer | Exception = GOOD
        self.seconds = 0.0
        self.body_seconds = 0.0
        """From the first byte of an answer's body to the last."""
        self.look_seconds = 0.0
        self.look_error: Exception | None = None
        self.asked: list[tuple[Target, bytes, dict[bytes, bytes], bytes]] = []
        self.open = 0

    def connect(self, target: Target) -> "Line":
        return Line(self, target)


class Line:
    def __init__(self, cluster: Cluster, target: Target) -> None:
        self.cluster = cluster
        self.target = target
        self.used = False

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        cluster = self.cluster
        cluster.open += not self.used
        self.used = True
        if method == b"GET":
            assert path == b"/2/ready"
            if cluster.look_error is not None:
                raise cluster.look_error
            await asyncio.sleep(cluster.look_seconds)
            return Answer(200 if cluster.ready.get(self.target) else 503, {}, b"")
        cluster.asked.append((self.target, path, dict(headers), b"".join(parts)[:100]))
        await asyncio.sleep(cluster.seconds)
        if isinstance(cluster.answer, Exception):
            raise cluster.answer
        if room is not None and not room(len(cluster.answer.body)):
            raise TooLong("no room")
        await asyncio.sleep(cluster.body_seconds)
        return cluster.answer

    def close(self) -> None:
        self.cluster.open -= self.used
        self.used = False


class Bench:
    def __init__(self, handover: Handover) -> None:
        self.cluster = Cluster()
        draw = random.Random(1)
        self.pods = Pods(self.cluster.connect, lambda revision: f"/{revision}/ready".encode(), draw)
        self.figures = HandoverFigures("m", "1", "2")
        self.choice = Choice(handover, draw.random)
        self.own_seconds = 0.0
        self.handing = self.handed_by()

    def handed_by(self) -> Handing:
        return Handing(self.choice, self.pods, self.figures, lambda: self.own_seconds)

    async def ask(
        self, reason: HandoverReason = WEIGHT, seconds: float = 10.0, *, hurried: bool = False
    ) -> Answer | None:
        path, headers = b"/v2/models/m/infer", [(b"x-user", b"u")]
        return await self.handing.ask(reason, path, headers, b"body", seconds, hurried=hurried)

    def counted(self) -> dict[tuple[str, str], int]:
        return {(why.value, what.value): count for (why, what), count in self.figures.outcomes.items() if count}


@asynccontextmanager
async def bench(*targets: Target, handover: Handover = TEN) -> AsyncIterator[Bench]:
    made = Bench(handover)
    made.pods.to(targets, "2")
    await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        await made.pods.close()
        assert made.cluster.open == 0


async def test_a_request_goes_on_as_it_came_and_is_marked() -> None:
    async with bench(HERE) as made:
        assert await made.ask() == GOOD
        assert made.cluster.asked == [
            (HERE, b"/v2/models/m/infer", {b"x-user": b"u", b"x-tidegate-hop": b"handover"}, b"body")
        ]
    assert made.counted() == {("weight", "answered"): 1}


async def test_one_that_is_chosen_for_what_it_is_says_so_for_its_time_is_no_evidence() -> None:
    async with bench(HERE) as made:
        assert await made.ask(MATCH) == GOOD
        assert made.cluster.asked[0][2][b"x-tidegate-route"] == b"match"
    assert made.counted() == {("match", "answered"): 1}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(201, {}, b""), "failed"),
        (GOOD, "answered"),
        (Answer(500, {}, b""), "failed"),
        (Answer(400, {}, b""), "failed"),
        (Answer(404, {}, b""), "failed"),
        (Answer(302, {}, b""), "failed"),
        (Answer(429, {}, b""), "overloaded"),
        (Answer(503, {}, b""), "failed"),
        (Answer(504, {}, b""), "timeout"),
        (Unreachable("refused"), "unreachable"),
        (ConnectionResetError("gone"), "unreachable"),
        (BadAnswer("not HTTP"), "failed"),
        # Stable may give as long a one.
        (TooLong("over 64 MiB"), "overloaded"),
        (OSError("broken"), "failed"),
        (ValueError("a bug"), "failed"),
    ],
)
async def test_all_but_a_good_answer_leaves_the_request_to_be_answered_here(
    answer: Answer | Exception, outcome: str
) -> None:
    async with bench(HERE) as made:
        made.cluster.answer = answer
        told = await made.ask()
        assert told == (answer if outcome == "answered" else None)
    assert made.counted() == {("weight", outcome): 1}


async def test_a_canary_that_takes_too_long_is_given_up() -> None:
    async with bench(HERE) as made:
        began = asyncio.get_running_loop().time()
        made.cluster.seconds = 4.9
        assert await made.ask(seconds=5.0) == GOOD
        made.cluster.seconds = 5.1
        assert await made.ask(seconds=5.0) is None
        assert asyncio.get_running_loop().time() - began == pytest.approx(9.9)
    assert made.counted() == {("weight", "answered"): 1, ("weight", "timeout"): 1}


@pytest.mark.parametrize(
    ("p95", "seconds", "hurried", "outcome"),
    [
        (0.005, 0.019, True, "overloaded"),
        (0.005, 0.020, True, "timeout"),
        # By our own bound, of which it has no less than any.
        (0.005, 0.019, False, "timeout"),
        # How long it takes is not known.
        (0.0, 1.0, True, "overloaded"),
        (0.0, 1.0, False, "timeout"),
    ],
)
async def test_a_canary_isnt_blamed_for_deadlines_that_we_couldnt_keep_ourselves(
    p95: float, seconds: float, hurried: bool, outcome: str
) -> None:
    """Any caller could end any rollout by a deadline of some milliseconds."""
    async with bench(HERE) as made:
        made.own_seconds = p95
        made.cluster.seconds = 2.0
        made.handing = made.handed_by()
        assert await made.ask(seconds=seconds, hurried=hurried) is None
        made.cluster.seconds, made.cluster.answer = 0.0, Answer(504, {}, b"")
        assert await made.ask(seconds=seconds, hurried=hurried) is None
    assert made.counted() == {("weight", outcome): 2}


async def test_what_we_would_mostly_be_late_for_ourselves_is_hopeless() -> None:
    made = Bench(TEN)
    made.own_seconds = 0.005
    handing = made.handed_by()
    assert [handing.hopeless(seconds) for seconds in (0.001, 0.005, 1.0)] == [True, False, False]


async def test_what_was_hopeless_is_no_more_once_our_own_answers_come_sooner() -> None:
    made = Bench(TEN)
    made.own_seconds = 1.0
    handing = made.handed_by()
    made.own_seconds = 0.005
    assert [handing.hopeless(0.1) for _ in range(257)].count(True) == 256


async def test_our_own_time_is_reckoned_as_soon_as_there_is_one() -> None:
    async with bench(HERE) as made:
        assert not made.handing.hopeless(0.001)
        made.own_seconds = 0.005
        await made.ask()
        assert made.handing.hopeless(0.001)


@pytest.mark.parametrize(
    ("p95", "seconds", "patience"),
    [
        (0.005, 30.0, 15.0),
        (7.5, 30.0, 15.0),
        # Twice within the time isn't to be had, so a canary as good as this one isn't cut off.
        (7.6, 30.0, 30.0),
        # By its caller's own deadline.
        (0.005, 0.1, 0.05),
        (0.05, 0.1, 0.1),
    ],
)
async def test_the_canary_has_half_of_the_time_where_that_would_do_for_us(
    p95: float, seconds: float, patience: float
) -> None:
    figures, pods = HandoverFigures("m", "1", "2"), Pods(Cluster().connect, lambda _: b"/", random.Random(1))
    assert Handing(Choice(TEN, lambda: 0.0), pods, figures, lambda: p95).patience(seconds) == patience


@pytest.mark.parametrize(
    ("canary", "draining", "longest"), [(90.0, False, 90.0), (10.0, False, 30.0), (90.0, True, 30.0)]
)
async def test_a_request_has_the_longer_of_both_revisions_times_unless_the_process_is_about_to_end(
    canary: float, draining: bool, longest: float
) -> None:
    figures, pods = HandoverFigures("m", "1", "2"), Pods(Cluster().connect, lambda _: b"/", random.Random(1))
    handing = Handing(Choice(TEN, lambda: 0.0), pods, figures, lambda: 0.0, canary, lambda: draining)
    assert handing.longest(30.0) == longest


async def test_nothing_is_handed_over_or_counted_before_a_pod_was_asked_whether_it_is_ready() -> None:
    made = Bench(Handover(100, "2"))
    made.pods.to([HERE], "2")
    assert made.pods.reachable is None
    assert made.handing.reason(NOTHING.get) is None
    await asyncio.sleep(0.01)
    assert made.handing.reason(NOTHING.get) is WEIGHT
    await made.pods.close()


async def test_a_pod_that_is_late_once_is_still_ready_and_one_that_says_no_is_not() -> None:
    async with bench(HERE) as made:
        made.cluster.look_seconds = ANSWER_SECONDS + 1
        await asyncio.sleep(2 * (LOOK_SECONDS + ANSWER_SECONDS))
        assert made.pods.reachable == 1
        await asyncio.sleep(2 * (LOOK_SECONDS + ANSWER_SECONDS))
        assert made.pods.reachable == 0
        made.cluster.look_seconds = 0.0
        await asyncio.sleep(LOOK_SECONDS + ANSWER_SECONDS)
        assert made.pods.reachable == 1
        made.cluster.ready[HERE] = False
        await asyncio.sleep(LOOK_SECONDS)
        assert made.pods.reachable == 0


@pytest.mark.parametrize(
    "error", [UnicodeError("label empty or too long"), OSError("broken"), ArithmeticError("a bug")]
)
async def test_a_pod_is_looked_at_again_whatever_became_of_a_look(error: Exception) -> None:
    """A name that can't be asked for ended the task, and the pod was what it had been for good."""
    async with bench(HERE) as made:
        made.cluster.look_error = error
        await asyncio.sleep(LOOK_SECONDS)
        assert made.pods.reachable == 0
        made.cluster.look_error = None
        await asyncio.sleep(LOOK_SECONDS)
        assert made.pods.reachable == 1


async def test_the_bodies_that_are_under_way_are_bounded() -> None:
    async with bench(HERE) as made:
        made.cluster.seconds = 1.0
        body = bytes(MAX_BYTES // 2 - len(GOOD.body))
        asked = [made.handing.ask(WEIGHT, b"/", [], body, 10.0) for _ in range(3)]
        assert (await asyncio.gather(*asked)).count(None) == 1
        assert await made.handing.ask(WEIGHT, b"/", [], body, 10.0) == GOOD
    assert made.counted() == {("weight", "answered"): 3, ("weight", "overloaded"): 1}


async def test_answers_are_within_the_bound_as_bodies_are() -> None:
    """A thousand requests of 4 bytes had as many answers of 64 MiB held at once."""
    async with bench(HERE) as made:
        made.cluster.answer = Answer(200, {}, bytes(MAX_BYTES // 4))
        made.cluster.body_seconds = 1.0
        answers = await asyncio.gather(*[made.ask() for _ in range(10)])
        assert answers.count(None) == 7  # Of the four that would fit, the bodies leave room for three.
        assert made.pods.bytes == 0
        assert await made.ask() is not None
    assert made.counted() == {("weight", "answered"): 4, ("weight", "overloaded"): 7}


async def test_a_pod_that_isnt_ready_gets_nothing_until_it_is() -> None:
    async with bench(HERE) as made:
        made.cluster.ready[HERE] = False
        await asyncio.sleep(LOOK_SECONDS)
        assert made.pods.reachable == 0
        assert await made.ask() is None
        made.cluster.ready[HERE] = True
        await asyncio.sleep(LOOK_SECONDS)
        assert await made.ask() == GOOD
    assert made.counted() == {("weight", "unreachable"): 1, ("weight", "answered"): 1}


async def test_a_pod_that_was_never_ready_is_looked_at_more_often() -> None:
    async with bench() as made:
        made.cluster.ready[HERE] = False
        made.pods.to([HERE], "2")
        await asyncio.sleep(0.25)
        made.cluster.ready[HERE] = True
        await asyncio.sleep(LOOK_SOON_SECONDS)
        assert made.pods.reachable == 1


async def test_of_two_pods_the_one_with_fewer_requests_gets_the_next() -> None:
    async with bench(HERE, THERE) as made:
        made.cluster.seconds = 1.0
        answers = await asyncio.gather(*[made.ask() for _ in range(10)])
        assert answers == [GOOD] * 10
        targets = [target for target, *_ in made.cluster.asked]
        assert (targets.count(HERE), targets.count(THERE)) == (5, 5)


async def test_connections_are_kept_and_bounded() -> None:
    async with bench(HERE) as made:
        made.cluster.seconds = 1.0
        answers = await asyncio.gather(*[made.ask() for _ in range(MAX_CONNECTIONS + 3)])
        assert answers.count(None) == 3
        assert made.cluster.open == MAX_CONNECTIONS + 1  # And the one that looks.
        await asyncio.gather(*[made.ask() for _ in range(10)])
        assert made.cluster.open == MAX_CONNECTIONS + 1
    assert made.counted() == {("weight", "answered"): MAX_CONNECTIONS + 10, ("weight", "overloaded"): 3}


async def test_what_is_under_way_to_a_pod_that_leaves_is_answered() -> None:
    async with bench(HERE) as made:
        made.cluster.seconds = 1.0
        asking = asyncio.create_task(made.ask())
        await asyncio.sleep(0.5)
        made.pods.to([THERE], "2")
        assert await asking == GOOD
        await asyncio.sleep(0.5)
        assert await made.ask() == GOOD
        assert [target for target, *_ in made.cluster.asked] == [HERE, THERE]


async def test_of_many_pods_each_process_asks_some() -> None:
    async with bench() as made:
        made.pods.to([Target(f"10.0.1.{number}", 8080) for number in range(200)], "2")
        await asyncio.sleep(0.01)
        assert made.cluster.open == MAX_PODS


async def test_a_caller_that_leaves_ends_its_request_there_too() -> None:
    async with bench(HERE) as made:
        made.cluster.seconds = 1.0
        asking = asyncio.create_task(made.ask())
        await asyncio.sleep(0.5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert made.counted() == {}


@pytest.mark.parametrize(("waited", "counted"), [(0.019, {}), (0.021, {("weight", "timeout"): 1})])
async def test_a_canary_that_hangs_is_blamed_though_callers_give_up_before_we_do(
    waited: float, counted: dict[tuple[str, str], int]
) -> None:
    """Else callers who wait less than half of the time would see it hang, and nobody else."""
    async with bench(HERE) as made:
        made.own_seconds = 0.005
        made.cluster.seconds = 10.0
        made.handing = made.handed_by()
        asking = asyncio.create_task(made.ask())
        await asyncio.sleep(waited)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert made.counted() == counted


async def test_a_share_counts_though_nobody_takes_it_and_a_match_is_answered_here() -> None:
    handover = Handover(100, "2", matches=(Match(headers=(("x-beta", "1"),)),))
    async with bench(HERE, handover=handover) as made:
        made.cluster.ready[HERE] = False
        await asyncio.sleep(LOOK_SECONDS)
        assert made.handing.reason(NOTHING.get) is WEIGHT
        assert made.handing.reason({"x-beta": "1"}.get) is None
        made.cluster.ready[HERE] = True
        await asyncio.sleep(LOOK_SECONDS)
        assert made.handing.reason({"x-beta": "1"}.get) is MATCH


async def test_a_canary_isnt_blamed_for_a_node_that_kubernetes_doesnt_hear_from() -> None:
    async with bench(HERE, handover=Handover(100, "2")) as made:
        assert made.handing.reason(NOTHING.get) is WEIGHT
        # Its pods are ready, but not as Kubernetes sees them, and so aren't told.
        made.pods.to([], "2")
        assert made.handing.reason(NOTHING.get) is None
    assert made.counted() == {}
