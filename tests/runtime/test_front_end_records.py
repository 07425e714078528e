"""What a front end and the hub say to each other, and the memory that they share: rules that hold for anything sent."""

import errno
import gc
import os
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_runtime.errors import EngineLost, InvalidTensor, Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child.faults import decode_fault, encode_fault
from tidegate_runtime.model.child.slab import Slab, create
from tidegate_runtime.tensors import Array
from tidegate_runtime.workers import records, tally
from tidegate_runtime.workers.accepting import hesitates
from tidegate_runtime.workers.arena import KEPT_BYTES, SLAB_BYTES, Arena, Region
from tidegate_runtime.workers.cargo import PACKET_TENSOR_BYTES, Incoming, Outgoing
from tidegate_runtime.workers.records import Cargo, Request, Requests, Times
from tidegate_runtime.workers.stacks import shares, sorted_out, stacked

WORD = st.integers(0, 2**32 - 1)
BLOB = st.binary(max_size=100)


@given(st.lists(st.tuples(WORD, WORD, WORD, st.booleans(), st.binary(max_size=40), BLOB, st.integers(0, 3))))
def test_requests_in_one_packet_are_told_apart(told: list[tuple[int, int, int, bool, bytes, bytes, int]]) -> None:
    sent = [
        Request(
            number,
            model,
            rows,
            2,
            12.5,
            timed,
            Cargo(text, slab, 64 if slab else 0, len(blob), b"" if slab else blob),
            number << 32 | model,
        )
        for number, model, rows, timed, text, blob, slab in told
    ]
    packet = b"".join(map(records.request, sent))
    at = 0
    for request in sent:
        got, at = records.read_request(packet, at)
        assert got._replace(cargo=request.cargo) == request
        cargo = got.cargo
        assert (cargo.description, cargo.slab, cargo.size) == (
            request.cargo.description,
            request.cargo.slab,
            request.cargo.size,
        )
        if not cargo.slab:
            assert packet[cargo.offset : cargo.offset + cargo.size] == request.cargo.blob
            assert cargo.offset % 16 == 0, "tensors are aligned"
    assert at == len(packet)


@given(
    WORD,
    BLOB,
    st.none() | st.builds(Times, *[st.floats(allow_nan=False)] * 5, st.integers(0, 2**40)),
    BLOB,
    st.booleans(),
)
def test_outcomes_and_faults_are_read_as_they_were_written(
    number: int, blob: bytes, times: Times | None, text: bytes, leads: bool
) -> None:
    packet = records.fault(number, text) + records.outcome(number, Cargo(text, 0, 0, len(blob), blob), times, leads)
    got_number, got_text, at = records.read_said(packet, 0)
    assert (got_number, got_text) == (number, text)
    outcome, end = records.read_outcome(packet, at)
    assert (outcome.number, outcome.times, outcome.cargo.description, end) == (number, times, text, len(packet))
    assert outcome.leads is leads
    assert packet[outcome.cargo.offset :][: outcome.cargo.size] == blob


@given(
    st.lists(st.tuples(WORD, st.floats(allow_nan=False), st.integers(0, 2**64 - 1)), min_size=1, max_size=40),
    WORD,
    st.binary(max_size=40),
    BLOB,
    st.integers(0, 3),
    st.booleans(),
)
def test_requests_and_outcomes_of_several_are_read_as_they_were_written(
    each: list[tuple[int, float, int]], model: int, text: bytes, blob: bytes, slab: int, leads: bool
) -> None:
    cargo = Cargo(text, slab, 64 if slab else 0, len(blob), b"" if slab else blob)
    numbers = [number for number, _, _ in each]
    packet = records.requests(Requests(model, 3, 2, cargo, each)) + records.outcomes(numbers, cargo, leads)
    got, at = records.read_requests(packet, 0)
    assert got._replace(cargo=cargo) == Requests(model, 3, 2, cargo, each)
    told, its_cargo, its_leads, end = records.read_outcomes(packet, at)
    assert ([*told], its_leads, end) == (numbers, leads, len(packet))
    for other in (got.cargo, its_cargo):
        assert (other.description, other.slab, other.size) == (text, slab, len(blob))
        if not slab:
            assert packet[other.offset : other.offset + other.size] == blob
            assert other.offset % 16 == 0, "tensors are aligned"


def test_more_requests_than_a_record_may_have_are_refused() -> None:
    cargo = Cargo(b"", 0, 0, 0)
    with pytest.raises(ValueError, match="1025 requests"):
        records.read_requests(records.requests(Requests(1, 1, 0, cargo, [(1, 1.0, 0)] * 1025)), 0)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(0, 3), st.integers(0, 2))
def test_each_gets_its_own_share_of_what_was_stacked(keys: list[str], rows: int, width: int) -> None:
    count = len(keys)
    each = [(np.full((rows, width), place), np.full((2 * rows,), -place)) for place in range(count)]
    stacks = stacked(each)
    for got, (one, other) in zip(shares(stacks, count), each, strict=True):
        assert np.array_equal(got[0], one)
        assert np.array_equal(got[1], other)
    seen: list[int] = []
    for key, places, own in sorted_out(range(count), keys, stacks):
        assert {keys[place] for place in places} == {key}
        for place, got in zip(places, shares(own, len(places)), strict=True):
            assert np.array_equal(got[0], each[place][0])
            assert np.array_equal(got[1], each[place][1])
        seen += places
    assert sorted(seen) == [*range(count)]


@pytest.mark.parametrize("shape", [(), (5, 2)])
def test_what_has_no_equal_shares_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no 3 equal shares"):
        shares([np.zeros(shape)], 3)


def test_a_description_beyond_its_length_is_refused() -> None:
    with pytest.raises(struct.error):
        records.request(Request(1, 1, 1, 0, 0.0, False, Cargo(bytes(0x10000), 0, 0, 0)))


@pytest.mark.parametrize(
    "fault",
    [
        InvalidTensor('input "x": expected FP32, got FP64'),
        EngineLost("the engine's process ended"),
        Overloaded("512 requests are waiting", "QueueFull", 7),
    ],
)
def test_a_fault_means_the_same_in_the_other_process(fault: RuntimeFault) -> None:
    told = decode_fault(encode_fault(fault))
    assert (type(told), str(told)) == (type(fault), str(fault))
    assert (told.refusal, told.retry_after_seconds) == (fault.refusal, fault.retry_after_seconds)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5 * 1024 * 1024) | st.none(), max_size=200), st.randoms(use_true_random=False))
def test_no_two_places_of_an_arena_overlap_and_all_that_is_given_back_is_free(
    sizes: list[int | None], random: object
) -> None:
    arena = Arena()
    slabs: dict[int, int] = {}
    taken: dict[Region, int] = {}
    for size in sizes:
        if size is None:
            if taken:
                region = random.choice(sorted(taken))  # type: ignore[attr-defined]
                del taken[region]
                if arena.give(region):
                    del slabs[region.slab]
            continue
        region = arena.take(size)
        if region is None:
            number, slab_bytes = arena.next_slab(size)
            arena.add(size)
            assert number not in slabs
            slabs[number] = slab_bytes
            region = arena.take(size)
        assert region is not None
        assert region.offset + size <= slabs[region.slab]
        for other, length in taken.items():
            apart = region.offset + size <= other.offset or other.offset + length <= region.offset
            assert other.slab != region.slab or apart
        taken[region] = size
    assert arena.taken == len(taken)
    assert arena.bytes == sum(slabs.values())
    for region in taken:
        if arena.give(region):
            del slabs[region.slab]
    assert arena.taken == 0
    assert arena.bytes <= max(KEPT_BYTES, max(slabs.values(), default=0))


def test_an_arena_gives_slabs_back_beyond_what_it_keeps() -> None:
    arena = Arena()
    regions = []
    for _ in range(KEPT_BYTES // SLAB_BYTES + 2):
        arena.add(SLAB_BYTES)
        region = arena.take(SLAB_BYTES)
        assert region is not None
        regions.append(region)
    assert [arena.give(region) for region in regions] == [True, True, *[False] * (KEPT_BYTES // SLAB_BYTES)]


class Ends:
    """A writing and a reading end without a line between them."""

    def __init__(self) -> None:
        self.released: list[tuple[int, int]] = []
        self.incoming = Incoming(lambda slab, offset: self.released.append((slab, offset)))
        self.outgoing = Outgoing(
            lambda number, descriptor: self.incoming.attach(number, os.dup(descriptor)), self.incoming.drop
        )

    def sent(self, *arrays: Array) -> list[Array]:
        cargo = self.outgoing.write(arrays)
        return self.incoming.arrays(cargo.blob, cargo)


@pytest.mark.parametrize("rows", [0, 1, PACKET_TENSOR_BYTES])
@pytest.mark.parametrize(
    "column",
    [
        lambda rows: np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
        lambda rows: np.arange(rows * 2, dtype=np.int64).reshape(rows, 2)[:, ::-1],
        lambda rows: np.array([f"é{row}\ud800" for row in range(rows)], np.object_).reshape(rows, 1),
    ],
    ids=["numbers", "strides", "strings"],
)
def test_tensors_arrive_as_they_were_sent(rows: int, column: Callable[[int], Array]) -> None:
    ends = Ends()
    first, second = column(rows), np.arange(rows, dtype=np.uint8)
    for _ in range(2):
        got = ends.sent(first, second)
        assert [array.dtype for array in got] == [first.dtype, second.dtype]
        assert np.array_equal(got[0], first)
        assert np.array_equal(got[1], second)


def test_a_place_is_released_when_the_last_array_in_it_goes_and_not_before() -> None:
    ends = Ends()
    wide = np.ones((4, PACKET_TENSOR_BYTES), np.float32)
    one, other = ends.sent(wide), ends.sent(wide)
    part = one[0][1:, ::2][0]
    del one
    gc.collect()
    assert ends.released == []
    assert ends.outgoing.lent == 2
    del part
    assert len(ends.released) == 1
    ends.outgoing.released(*ends.released[0])
    assert ends.outgoing.lent == 1
    (third,) = ends.sent(2 * wide)
    assert np.array_equal(other[0], wide), "the other's place is not written to"
    assert np.array_equal(third, 2 * wide)


def test_small_tensors_need_no_release() -> None:
    ends = Ends()
    assert ends.sent(np.ones(4, np.float32))[0].tolist() == [1, 1, 1, 1]
    assert ends.outgoing.lent == 0
    assert ends.released == []


def test_more_than_an_end_may_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_runtime.workers.cargo.MAX_SLAB_BYTES", 3 * SLAB_BYTES)
    ends = Ends()
    large = np.ones(2 * SLAB_BYTES, np.uint8)
    kept = ends.sent(large)
    with pytest.raises(Overloaded) as refused:
        ends.sent(large)
    assert refused.value.refusal == "QueueBytes"
    del kept
    ends.outgoing.released(*ends.released[0])
    assert ends.sent(large)[0].nbytes == large.nbytes


@pytest.mark.parametrize("step", ["made", "told of"])
def test_a_slab_that_cannot_be_had_leaves_no_places_behind(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends()
    told: list[int] = []

    def announce(number: int, descriptor: int) -> None:
        if not told:
            told.append(number)
            raise OSError(errno.EMFILE, "too many open files")
        ends.incoming.attach(number, os.dup(descriptor))

    def make(least_bytes: int) -> tuple[Slab, int]:
        monkeypatch.setattr("tidegate_runtime.workers.cargo.create", create)
        raise OSError(errno.ENOMEM, "no memory")

    if step == "made":
        monkeypatch.setattr("tidegate_runtime.workers.cargo.create", make)
    else:
        ends.outgoing = Outgoing(announce, ends.incoming.drop)
    wide = np.ones((4, PACKET_TENSOR_BYTES), np.float32)
    with pytest.raises(OSError, match=r"no memory|too many"):
        ends.sent(wide)
    assert (ends.outgoing.lent, ends.outgoing.held_bytes) == (0, 0)
    for _ in range(2):
        got = ends.sent(wide)
        assert np.array_equal(got[0], wide)
        assert (ends.outgoing.lent, ends.outgoing.held_bytes) == (1, SLAB_BYTES)
        del got
        ends.outgoing.released(*ends.released.pop())


def test_the_sums_of_a_model_that_runs_can_be_sent_to_a_front_end() -> None:
    metrics = ModelMetrics("m", "1", "cpu")
    metrics.margin = lambda: 1.25  # A scheduler's, which can't be sent.
    metrics.passed(3, 2, 0.5, 9.0)
    (told,) = tally.decode_totals(tally.encode_totals([tally.total(metrics, [])]))
    assert (told.batch_rows.total, sum(told.queue_seconds.counts), told.compute_seconds.total) == (3, 2, 0.5)
    assert metrics.margin() == 1.25
    metrics.passed(3, 1, 0.5, 9.5)
    assert (metrics.batch_rows.total, sum(metrics.queue_seconds.counts)) == (6, 3)
    # What is counted since then isn't among the sums, and is counted once.
    assert [(each.batches[3].runs, each.last_run) for each in (told, metrics)] == [(1, 9.0), (2, 9.5)]


def test_a_scrape_sums_what_all_front_ends_count_also_those_that_are_gone() -> None:
    def counted(good: int, seconds: float) -> tally.Counts:
        metrics = ModelMetrics("m", "1", "cpu")
        for _ in range(good):
            metrics.answered(200)
            metrics.served(0.0, 0.25 * seconds, 0.5 * seconds, seconds)
        metrics.together = good - 1
        metrics.answered(429, 0.5)
        metrics.refuse("QueueBytes")
        counts, lost = tally.decode(tally.encode([metrics], 9))
        assert lost == 9
        return counts

    hub = ModelMetrics("m", "1", "cpu")
    hub.refuse("Deadline")
    past = tally.merged(tally.merged({}, counted(3, 1.0)), counted(2, 2.0))
    for _ in range(2):
        total = tally.total(hub, [past, counted(1, 4.0), {}])
        assert total.codes == {200: 6, 429: 3}
        assert total.failed_seconds == 1.5
        assert total.together == 2 + 1 + 0
        assert total.request_duration.total == 3 * 1.0 + 2 * 2.0 + 4.0
        assert sum(total.request_duration.counts) == 6
        assert total.parse_seconds.total == 0.25 * (3 * 1.0 + 2 * 2.0 + 4.0)
        assert {reason: count for reason, count in total.refused.items() if count} == {"QueueBytes": 3, "Deadline": 1}
    assert hub.codes == {}, "the hub's own counts are not changed"


@pytest.mark.parametrize(
    ("own", "fewest", "expected"),
    [(0, 0, False), (1, 0, True), (8, 7, True), (8, 8, False), (9, 8, False), (10, 8, True), (112, 100, False)],
)
def test_who_has_more_connections_lets_others_go_first(own: int, fewest: int, expected: bool) -> None:
    assert hesitates(own, fewest) is expected
