import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.costs import EAGER, MAX_COUNTS, ShapeCosts
from tidegate_runtime.batching.durations import WINDOW, Cost, isotonic
from tidegate_runtime.batching.work import Work


def shape(measured: dict[int, float], max_rows: int = 32, overhead: float = 0.0) -> ShapeCosts:
    """A shape whose runs of so many rows always took so long."""
    costs = CostTable(max_rows, overhead).shape("shape", 4)
    for _ in range(2):
        costs.observe(1, 99.0)
    for rows, seconds in measured.items():
        for _ in range(4):
            costs.observe(rows, seconds)
    return costs


def test_a_shapes_first_two_runs_do_not_count() -> None:
    costs = CostTable(8).shape("shape", 4)
    for seconds in (50.0, 40.0):
        costs.observe(1, seconds)
        assert not costs.measured
        assert costs.at(1) is None
    costs.observe(1, 3.0)
    assert costs.at(1) == Cost(3.0, 3.0)


@pytest.mark.parametrize(
    ("rows", "cost"),
    [
        pytest.param(2, Cost(1.0, 1.0), id="a measured count"),
        pytest.param(1, Cost(1.0, 1.0), id="fewer rows take at most as long"),
        pytest.param(4, Cost(2.0, 4.0), id="between two: the mean interpolated, the upper one's p99"),
        pytest.param(8, Cost(4.0, 4.0), id="the largest"),
        pytest.param(12, Cost(6.0, 6.0), id="beyond it: in proportion"),
    ],
)
def test_a_cost_is(rows: int, cost: Cost) -> None:
    assert shape({2: 1.0, 8: 4.0}).at(rows) == cost


@pytest.mark.parametrize(
    ("rows", "p99"),
    [
        pytest.param(2, 4.0, id="of twice the rows"),
        pytest.param(8, 16.0, id="of twice the rows, the upper neighbour itself"),
        pytest.param(12, 16.0, id="of the upper neighbour at most"),
    ],
)
def test_far_from_measured_counts_a_p99_is(rows: int, p99: float) -> None:
    assert shape({1: 1.0, 16: 16.0}).at(rows) == Cost(float(rows), p99)


def test_counts_with_few_runs_share_what_is_known_of_deviations() -> None:
    costs = shape({})
    for _ in range(50):
        for rows in (4, 8):
            costs.observe(rows, 0.9 * rows)
            costs.observe(rows, 1.1 * rows)
    costs.observe(6, 6.0)
    cost = costs.at(6)
    assert cost is not None
    # Every second run took a tenth more than the mean, so m = 0.05 or a little more, for the mean follows the runs.
    assert cost.p99 == pytest.approx(6.0 * (1 + 5.84 * 0.05), rel=0.03)


def test_a_count_measured_in_a_bad_moment_yields_to_its_neighbours() -> None:
    costs = shape({1: 20.0})
    for _ in range(36):
        costs.observe(8, 2.0)
    # Four runs of 20 s and 36 of 2 s, pooled: (80 + 72) / 40.
    assert costs.at(1) == costs.at(8)
    assert costs.at(8) == pytest.approx(Cost(3.8, 3.8))


def test_recent_runs_weigh_more_than_old_ones() -> None:
    costs = shape({})
    for seconds in [1.0] * WINDOW + [1.5] * 40:
        costs.observe(1, seconds)
    cost = costs.at(1)
    assert cost is not None
    assert cost.mean == pytest.approx(1.5 - 0.5 * (15 / 16) ** 40, rel=0.02)
    assert cost.p99 == 1.5


def test_one_pause_of_the_host_moves_the_figures_little_and_not_for_long() -> None:
    costs = shape({})
    for seconds in [0.01] * EAGER + [5.0] + [0.01] * 15:
        costs.observe(1, seconds)
    cost = costs.at(1)
    assert cost is not None
    assert cost.mean < 0.011
    assert cost.p99 == pytest.approx(cost.mean, rel=0.1)


@pytest.mark.parametrize(
    ("seconds", "number", "told"),
    [
        pytest.param(40e-6, 96, 19e-6, id="tiny ones: not yet after 3.8 ms"),
        pytest.param(40e-6, 128, 40e-6, id="tiny ones: after 5.1 ms"),
        pytest.param(1e-3, 31, 19e-6, id="longer ones: not on every one of them"),
        pytest.param(1e-3, 32, 0.86e-3, id="longer ones: on the next thirty-second"),
    ],
)
def test_figures_are_worked_out_anew_every_five_milliseconds_of_runs(seconds: float, number: int, told: float) -> None:
    costs = CostTable(1).shape("shape", 4)
    for each in [10e-6] * 4 * EAGER + [20e-6] * 32 + [seconds] * number:
        costs.observe(1, each)
    cost = costs.at(1)
    assert cost is not None
    assert cost.mean == pytest.approx(told, rel=0.05)


def test_a_p99_is_exceeded_by_one_run_in_a_hundred() -> None:
    costs = shape({})
    for index in range(2 * WINDOW):
        costs.observe(1, 1.0 + (index % WINDOW) / WINDOW)
    cost = costs.at(1)
    assert cost is not None
    # The 127th of 128 runs, in order of their length.
    assert cost.p99 == 1.0 + 126 / 128


@pytest.mark.parametrize(
    ("measured", "waiting", "best"),
    [
        pytest.param({1: 1.0, 8: 2.0}, 8, 8, id="all where batches pay off"),
        pytest.param({1: 1.0, 8: 2.0}, 20, 16, id="twice of what was measured, to see"),
        pytest.param({1: 1.0, 8: 8.0}, 8, 8, id="all where more may gain"),
        pytest.param({1: 1.0, 8: 8.3}, 8, 8, id="all where more may gain, and they seem to cost a little"),
        pytest.param({1: 1.0, 32: 32.0}, 32, 1, id="one where company gains nothing"),
        pytest.param({1: 1.0, 32: 32.0}, 9, 1, id="one where company gains nothing, however few wait"),
        pytest.param({1: 1.0, 8: 7.9, 32: 31.3}, 32, 8, id="as few as lose a hundredth at most"),
        pytest.param({1: 2.0, 24: 24.2, 32: 32.0}, 32, 32, id="all rather than hardly fewer"),
        pytest.param({1: 1.0, 8: 9.0}, 8, 1, id="one where they are slower"),
        pytest.param({1: 1.0, 4: 2.0, 8: 6.0}, 8, 4, id="the count that gives the most rows a second"),
        pytest.param({1: 1.0, 4: 2.0, 8: 6.0}, 3, 3, id="as many as there are below it"),
        pytest.param({}, 7, 7, id="all while nothing is known"),
    ],
)
def test_the_best_size_of_a_batch_is(measured: dict[int, float], waiting: int, best: int) -> None:
    assert shape(measured).best(waiting) == best


def test_company_that_gains_no_more_than_the_way_to_the_engine_gains_that() -> None:
    assert shape({1: 1.0, 8: 8.0, 32: 32.0}, overhead=0.2).best(32) == 32
    # 32.2 s a run and 33 for four of 8 are 2.5 % apart, and of 8.02 they are 0.2 %.
    assert shape({1: 1.0, 8: 8.0, 32: 32.0}, overhead=0.02).best(32) == 8


def test_the_size_that_was_best_stays_so_while_it_may_as_well() -> None:
    costs = shape({1: 1.0, 8: 7.0, 32: 28.0})
    assert costs.best(32) == 8
    for _ in range(2):
        costs.observe(8, 7.3)  # The mean is 7.1 s then, 1.4 % more a row than in 32.
    assert costs.best(32) == 8
    for _ in range(4):
        costs.observe(8, 7.3)
    assert costs.best(32) == 32


def test_where_runs_scatter_no_engine_time_is_given_away() -> None:
    steady, scattered = shape({}), shape({})
    for _ in range(40):
        for rows, seconds in ((8, 8.04), (32, 32.0)):
            for sign in (-1, 1):
                steady.observe(rows, seconds)
                scattered.observe(rows, seconds * (1 + 0.1 * sign))
    assert steady.best(32) == 8
    assert scattered.best(32) == 32


@given(
    st.lists(st.tuples(st.integers(1, 32), st.floats(1e-6, 10)), min_size=3, max_size=100),
    st.integers(1, 64),
    st.floats(0, 1),
)
def test_a_prediction_is_of_the_batches_that_will_be_cut(
    runs: list[tuple[int, float]], rows: int, overhead: float
) -> None:
    costs = CostTable(32, overhead).shape("shape", 1)
    for count, seconds in runs:
        costs.observe(count, seconds)
    best, size, work = costs.best(32), costs.best(rows), costs.work(rows)
    assert work is not None
    assert size <= best
    if rows > best:
        assert size == best
    # Behind a full batch the last will be full, too.
    cut = [best] * -(-rows // best) if rows > best else [*[size] * (rows // size), *[rows % size] * (rows % size > 0)]
    means = [cost.mean for number in cut if (cost := costs.at(number)) is not None]
    assert work.mean == pytest.approx(sum(means) + len(cut) * overhead)


@pytest.mark.parametrize(
    ("rows", "work"),
    [
        pytest.param(1, Work(1.1, 0.0), id="one run and the hop"),
        pytest.param(4, Work(2.1, 0.0), id="a full batch"),
        pytest.param(9, Work(6.3, 0.0), id="three, the last as full as it will be by then"),
    ],
)
def test_waiting_rows_cost(rows: int, work: Work) -> None:
    assert shape({1: 1.0, 4: 2.0}, max_rows=4, overhead=0.1).work(rows) == pytest.approx(work)


def test_deviations_of_batches_add_in_quadrature() -> None:
    costs = CostTable(1).shape("shape", 1)
    for seconds in (9.0, 9.0, 1.0, 1.0, 1.0, 2.0):
        costs.observe(1, seconds)
    # Of the last run 100 % came unforeseen, of the three before it nothing: m = 1/4, and p99 = 1.25 · (1 + 5.84 / 4).
    assert costs.at(1) == pytest.approx(Cost(1.25, 3.075))
    assert costs.work(3) == pytest.approx(Work(3.75, 3 * 1.825**2))


@pytest.mark.parametrize(
    ("elements", "seconds"),
    [
        pytest.param(10, 1.0, id="the smallest one's, unscaled"),
        pytest.param(200, 2.0, id="the nearest one's, in proportion to its size"),
        pytest.param(900, 5.0, id="never less than the lender's"),
        pytest.param(2000, 10.0, id="however large"),
    ],
)
def test_an_unknown_shape_borrows_from_the_nearest(elements: int, seconds: float) -> None:
    table = CostTable(8)
    for size, cost in ((100, 1.0), (1000, 5.0)):
        known = table.shape(size, size)
        for _ in range(3):
            known.observe(1, cost)
    unknown = table.shape("new", elements)
    assert unknown.at(1) == Cost(seconds, seconds)
    assert not unknown.measured


def test_nothing_is_known_until_something_ran() -> None:
    table = CostTable(8)
    assert table.shape("a", 1).at(1) is None
    assert table.shape("a", 1).work(1) is None


def test_memory_is_bounded_in_row_counts() -> None:
    costs = shape({})
    for rows in range(1, 3 * MAX_COUNTS):
        costs.observe(rows, 1.0)
    assert [rows for rows, _ in costs.counts()] == [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        *range(2 * MAX_COUNTS + 8, 3 * MAX_COUNTS),
    ]


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(1e-6, 10)), max_size=300), st.integers(1, 64))
def test_costs_are_monotone_in_rows_and_p99_is_at_least_the_mean(runs: list[tuple[int, float]], rows: int) -> None:
    costs = CostTable(32).shape("shape", 1)
    for count, seconds in runs:
        costs.observe(count, seconds)
    here, above = costs.at(rows), costs.at(rows + 1)
    if costs.measured:
        assert here is not None
        assert above is not None
        assert here.mean <= above.mean * (1 + 1e-9)
        assert here.p99 <= above.p99 * (1 + 1e-9)
        assert here.p99 >= here.mean * (1 - 1e-9)
        assert 1 <= costs.best(rows) <= rows


@pytest.mark.parametrize(
    ("values", "weights", "result"),
    [
        ([1.0, 2.0, 3.0], [1, 1, 1], [1.0, 2.0, 3.0]),
        ([3.0, 1.0], [1, 1], [2.0, 2.0]),
        ([1.0, 4.0, 2.0, 5.0], [1, 1, 3, 1], [1.0, 2.5, 2.5, 5.0]),
        ([4.0, 3.0, 2.0], [1, 1, 2], [2.75, 2.75, 2.75]),
        ([], [], []),
    ],
)
def test_neighbours_out_of_order_are_pooled(values: list[float], weights: list[int], result: list[float]) -> None:
    assert isotonic(values, weights) == result


def test_what_passes_between_runs_says_nothing_of_the_size_of_those_on_the_event_loop() -> None:
    costs = shape({8: 1.0})
    costs.followed(8, 0.0)
    costs.followed(32, 40.0)
    for _ in range(4):
        costs.observe(32, 1.2)
    assert costs.best(32) == 8
    for rows in (8, 32):
        costs.observe(rows, 1.2, on_loop=True)
    costs.observe(1, 1.0)
    assert costs.best(32) == 32
