"""What the scheduling rule is for, on virtual days of an engine."""

from collections.abc import Callable
from itertools import count, pairwise
from math import ceil

import numpy as np
import pytest

from tidegate_runtime.batching import sizes
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility

from .simulation import Arrival, Cost, Outcome, feeds, poisson, simulate, warm

SECONDS = 5.0


def noisy(base: float, per_row: float, spread: float = 0.1, seed: int = 0) -> Cost:
    """Affine in rows, times a log-normal factor of mean 1."""
    generator = np.random.default_rng(seed)
    return lambda _width, rows: (base + per_row * rows) * float(np.exp(generator.normal(-(spread**2) / 2, spread)))


def policy(max_rows: int, queue_size: int = 4096, max_delay_seconds: float = 0.005) -> BatchPolicy:
    return BatchPolicy(max_rows, max_delay_seconds, queue_size)


@pytest.mark.parametrize(
    ("base", "per_row", "max_rows"),
    [
        pytest.param(0.005, 0.0, 1, id="5 ms a request, unbatched"),
        pytest.param(0.0049, 0.0001, 32, id="5 ms, batches nearly for free"),
        pytest.param(0.001, 0.004, 8, id="5 ms, batches hardly pay off"),
    ],
)
@pytest.mark.parametrize("load", [2.0, 5.0])
def test_under_overload_the_engine_answers_what_it_can_and_in_time(
    base: float, per_row: float, max_rows: int, load: float
) -> None:
    cost = noisy(base, per_row)
    capacity = max_rows / (base + per_row * max_rows)
    within = 8 * (base + per_row * max_rows)
    arrivals = [Arrival(at, within=within) for at in poisson(load * capacity, SECONDS, seed=1)]
    outcome = simulate(arrivals, cost, policy(max_rows), warm(cost, [1], max_rows))
    assert len(outcome.answered) >= 0.95 * capacity * SECONDS
    # Warm-up measures five runs a size; the first second brings the figures to what they are.
    late = [arrival for arrival in outcome.late if arrival.at > 1.0]
    assert len(late) <= 0.01 * len(outcome.answered)
    assert np.quantile(outcome.latencies(), 0.99) <= within


@pytest.mark.parametrize("batches", [pytest.param(1.5, id="1.5 batches"), pytest.param(2.0, id="2 batches")])
@pytest.mark.parametrize(
    ("base", "per_row"),
    [
        pytest.param(0.001, 0.0125, id="no gain by batches"),
        pytest.param(0.003, 0.0041, id="a sentence transformer on one core"),
        pytest.param(0.020, 0.0060, id="some gain"),
    ],
)
def test_with_deadlines_of_hardly_more_than_a_full_batch_what_is_let_in_is_answered(
    base: float, per_row: float, batches: float
) -> None:
    full = base + 32 * per_row
    seconds = 60 * full
    arrivals = [Arrival(at, within=batches * full) for at in poisson(2 * 32 / full, seconds, seed=9)]
    cost = noisy(base, per_row, spread=0.03)
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32))
    assert len(outcome.answered) >= 0.95 * 32 / full * seconds
    assert len(outcome.late) <= 0.002 * len(outcome.answered)


@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(lambda rows: 0.012 * rows, id="each row for itself"),
        pytest.param(lambda rows: 0.050 * ceil(rows / 8), id="steps of eight"),
    ],
)
def test_rows_that_gain_nothing_by_company_do_not_wait_for_it(
    cost: Callable[[int], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def latencies() -> list[float]:
        return [seconds for seed in range(1, 5) for seconds in day(seed)]

    def day(seed: int) -> list[float]:
        scatter = noisy(1.0, 0.0, spread=0.03, seed=seed)
        run: Cost = lambda width, rows: cost(rows) * scatter(width, rows)  # noqa: E731
        arrivals = [Arrival(at, within=2.0) for at in poisson(0.8 * 32 / cost(32), 30.0, seed=seed)]
        return simulate(arrivals, run, policy(32), warm(run, [1], 32)).latencies()

    small = latencies()
    monkeypatch.setattr(sizes, "LOSS", -1.0)
    large = latencies()
    assert np.quantile(small, 0.99) <= 0.95 * np.quantile(large, 0.99)
    assert np.mean(small) <= np.mean(large)


@pytest.mark.parametrize("batches", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_was_let_in_by_a_small_size_is_not_made_late_by_a_larger_one(batches: float, seed: int) -> None:
    cost = noisy(0.0, 0.012, spread=0.03, seed=seed)
    arrivals = [Arrival(at, within=batches * 0.384) for at in poisson(2 / 0.012, 24.0, seed=seed)]
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32), between=0.001)
    assert len(outcome.late) <= 0.002 * len(outcome.answered)
    assert len(outcome.answered) >= 0.95 * 32 / 0.385 * 24.0


def test_what_a_row_costs_more_in_batches_hardly_any_are_tried_for() -> None:
    cost: Cost = lambda _width, rows: 0.001 * rows**1.15  # noqa: E731
    arrivals = [Arrival(at, within=0.4) for at in poisson(1500, 10.0, seed=13)]
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32))
    tried = [rows for _, rows in outcome.batches if rows > 1]
    assert tried
    assert sum(tried) <= 0.04 * sum(rows for _, rows in outcome.batches)
    assert len(outcome.answered) >= 0.98 * 1000 * 10.0
    assert len(outcome.late) <= 0.01 * len(outcome.answered)


def test_a_model_that_comes_to_gain_by_company_is_batched() -> None:
    arrivals = [Arrival(at, within=0.5) for at in poisson(400, 20.0, seed=14)]
    apart: Cost = lambda _width, rows: 0.010 * rows  # noqa: E731
    together: Cost = lambda _width, rows: 0.009 + 0.001 * rows  # noqa: E731
    outcome = simulate(arrivals, together, policy(32), warm(apart, [1], 32))
    later = [arrival for arrival, _ in outcome.answered if arrival.at > 5.0]
    assert len(later) >= 0.95 * 400 * 15.0


def test_what_the_event_loop_takes_between_runs_makes_nobody_late() -> None:
    full = 0.003 + 32 * 0.0041
    between = 0.05 * full
    arrivals = [Arrival(at, within=0.5) for at in poisson(2 * 32 / full, 20.0, seed=10)]
    cost = noisy(0.003, 0.0041, spread=0.01)
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32), between)
    assert len(outcome.answered) >= 0.95 * 32 / (full + between) * 20.0
    assert [arrival for arrival in outcome.late if arrival.at > 1.0] == []


def test_a_shape_of_which_only_one_row_and_full_batches_ran_is_batched_all_the_same() -> None:
    cost = noisy(0.003, 0.0041, spread=0.03)
    full = 0.003 + 32 * 0.0041
    table = CostTable(32)
    shape = table.shape(compatibility(feeds(1)), 1)
    for rows in [1, 1, 1, 1, 32, 32]:
        shape.observe(rows, cost(1, rows))
    # Less than a full batch takes.
    arrivals = [Arrival(at, within=0.9 * full) for at in poisson(2 * 32 / full, 20.0, seed=11)]
    outcome = simulate(arrivals, cost, policy(32), table)
    assert len(outcome.answered) >= 0.9 * 32 / full * 20.0


def test_a_size_that_was_measured_in_a_stall_is_run_again_in_time() -> None:
    cost = noisy(0.0049, 0.0001, spread=0.03)
    stalled: Cost = lambda width, rows: 0.050 if rows == 32 else cost(width, rows)  # noqa: E731 -- of 8 ms
    table = warm(stalled, [1], 32)
    arrivals = [Arrival(at, within=0.024) for at in poisson(2 * 32 / 0.0081, 8.0, seed=12)]
    outcome = simulate(arrivals, cost, policy(32), table)
    later = [arrival for arrival, _ in outcome.answered if arrival.at > 5.0]
    assert len(later) >= 0.95 * 32 / 0.0081 * 3.0


def test_below_capacity_nothing_is_refused() -> None:
    cost = noisy(0.004, 0.0001)
    arrivals = [Arrival(at) for at in poisson(0.8 * 32 / 0.0072, SECONDS, seed=2)]
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32))
    assert len(outcome.answered) == len(arrivals)


def test_at_low_load_a_request_waits_for_nobody() -> None:
    cost: Cost = lambda _width, _rows: 0.005  # noqa: E731
    arrivals = [Arrival(0.1 * index) for index in range(100)]
    outcome = simulate(arrivals, cost, policy(32), warm(cost, [1], 32))
    assert outcome.latencies() == pytest.approx([0.005] * 100)


def test_mixed_shapes_reach_the_throughput_of_one() -> None:
    cost = noisy(0.004, 0.0001)
    rate = 2 * 32 / 0.0072

    def answered(widths: tuple[int, ...]) -> int:
        order = zip(poisson(rate, 3.0, seed=3), (width for _ in count() for width in widths), strict=False)
        arrivals = [Arrival(at, width, within=0.1) for at, width in order]
        return len(simulate(arrivals, cost, policy(32), warm(cost, [1, 2], 32)).answered)

    assert answered((1, 2)) >= 0.9 * answered((1,))


def test_a_model_that_is_slower_in_batches_is_not_batched() -> None:
    cost: Cost = lambda _width, rows: 0.001 * rows**1.5  # noqa: E731
    arrivals = [Arrival(0.0, within=1.0) for _ in range(100)]
    outcome = simulate(arrivals, cost, policy(8), warm(cost, [1], 8))
    ran = [rows for _, rows in outcome.batches]
    assert len(outcome.answered) == 100
    # A 33rd of the rows run in larger ones, to see whether it still doesn't pay off.
    assert ran.count(1) >= 0.95 * len(ran)


@pytest.mark.parametrize("rare", [Arrival(1.0, 2, within=0.5), Arrival(1.0, within=0.5, priority=4)])
def test_the_rare_and_the_unimportant_are_answered_beside_a_flood(rare: Arrival) -> None:
    cost = noisy(0.004, 0.0001)
    arrivals = [Arrival(at, within=0.5, priority=1) for at in poisson(0.95 * 32 / 0.0072, 4.0, seed=4)]
    outcome = simulate([*arrivals, rare], cost, policy(32), warm(cost, [1, 2], 32))
    assert rare in [arrival for arrival, _ in outcome.answered]


def mean_wait(outcome: Outcome, priority: int) -> float:
    return float(np.mean([seconds for arrival, seconds in outcome.answered if arrival.priority == priority]))


def test_the_important_wait_less_than_the_unimportant() -> None:
    cost = noisy(0.005, 0.0)
    times = poisson(2 * 200, SECONDS, seed=5)
    arrivals = [Arrival(at, within=1.0, priority=1 if index % 4 == 0 else 0) for index, at in enumerate(times)]
    outcome = simulate(arrivals, cost, policy(1), warm(cost, [1], 1))
    assert mean_wait(outcome, 1) < 0.5 * mean_wait(outcome, 0)


def test_while_the_table_knows_nothing_nothing_is_refused_for_its_deadline() -> None:
    cost: Cost = lambda _width, _rows: 0.010  # noqa: E731
    arrivals = [Arrival(0.001 * index, within=0.015) for index in range(20)]
    outcome = simulate(arrivals, cost, policy(1), CostTable(1))
    assert not [arrival for arrival in outcome.refused if arrival.at < 0.030]
    assert outcome.answered


def test_a_figure_that_is_far_too_high_mends_itself() -> None:
    table = warm(lambda _width, _rows: 5.0, [1], 8)
    arrivals = [Arrival(0.01 * index) for index in range(2000)]
    outcome = simulate(arrivals, lambda _width, _rows: 0.001, policy(8), table)
    assert not [arrival for arrival in outcome.refused if arrival.at > 5.0]


def test_a_model_that_turns_slow_is_noticed() -> None:
    changed: Callable[[int], float] = lambda index: 0.002 if index < 500 else 0.02  # noqa: E731
    runs = count()
    cost: Cost = lambda _width, _rows: changed(next(runs))  # noqa: E731
    arrivals = [Arrival(at, within=0.1) for at in poisson(200, 10.0, seed=6)]
    outcome = simulate(arrivals, cost, policy(1), CostTable(1))
    settled = [seconds for arrival, seconds in outcome.answered if arrival.at > 6.0]
    assert len(settled) >= 0.9 * 50 * 4.0
    assert len([arrival for arrival in outcome.late if arrival.at > 6.0]) <= 0.02 * len(settled)


def test_requests_of_one_shape_are_answered_in_the_order_of_their_coming() -> None:
    cost = noisy(0.004, 0.001)
    arrivals = [Arrival(at, within=1.0) for at in poisson(800, SECONDS, seed=7)]
    outcome = simulate(arrivals, cost, policy(8), warm(cost, [1], 8))
    assert all(one.at <= other.at for (one, _), (other, _) in pairwise(outcome.answered))


def bursts(size: int, spread: float, every: float, within: float = 1.0) -> list[Arrival]:
    """`size` requests that come within `spread` seconds, again and again: clients who were answered together."""
    starts = [every * index for index in range(int(SECONDS / every))]
    return [Arrival(start + spread * index / size, within=within) for start in starts for index in range(size)]


def test_holding_back_for_company_that_comes_shortens_the_mean_time_to_the_answer() -> None:
    cost: Cost = lambda _width, rows: 0.010 + 0.0001 * rows  # noqa: E731
    arrivals = bursts(16, 0.004, 0.030)
    table = warm(cost, [1], 16)
    at_once = simulate(arrivals, cost, policy(16, max_delay_seconds=0.0), table)
    held = simulate(arrivals, cost, policy(16, max_delay_seconds=0.005), table)
    assert len(held.answered) == len(at_once.answered) == len(arrivals)
    assert np.mean(held.latencies()) < 0.95 * np.mean(at_once.latencies())


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("per_row", [0.0001, 0.002, 0.008])
def test_holding_back_never_costs_much_where_arrivals_know_nothing_of_each_other(load: float, per_row: float) -> None:
    cost = noisy(0.010, per_row)
    arrivals = [Arrival(at, within=5.0) for at in poisson(load * 8 / (0.010 + 8 * per_row), 20.0, seed=8)]
    at_once = simulate(arrivals, cost, policy(8, max_delay_seconds=0.0), warm(cost, [1], 8))
    held = simulate(arrivals, cost, policy(8, max_delay_seconds=0.005), warm(cost, [1], 8))
    assert np.mean(held.latencies()) <= 1.03 * np.mean(at_once.latencies())


def test_tiny_models_never_wait() -> None:
    cost: Cost = lambda _width, _rows: 0.0015  # noqa: E731
    arrivals = bursts(16, 0.004, 0.010)
    table = warm(cost, [1], 16)
    at_once = simulate(arrivals, cost, policy(16, max_delay_seconds=0.0), table)
    held = simulate(arrivals, cost, policy(16, max_delay_seconds=60.0), table)
    assert held.batches == at_once.batches
    assert held.latencies() == at_once.latencies()


def test_holding_back_makes_nobody_late() -> None:
    cost: Cost = lambda _width, rows: 0.010 + 0.001 * rows  # noqa: E731
    arrivals = bursts(16, 0.004, 0.060, within=0.015)
    outcome = simulate(arrivals, cost, policy(16, max_delay_seconds=60.0), warm(cost, [1], 16))
    assert outcome.late == []
