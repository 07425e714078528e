"""What warm-up measures: which batch sizes, how often, and for how long at most."""

import itertools
from dataclasses import dataclass, field

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.model.ladder import batch_ladder, measure
from tidegate_runtime.model.loading import load_model


@dataclass
class Machine:
    """Takes `fixed` seconds for a run and `each` for a row of it; a shape's first two runs take ten times as long."""

    fixed: float
    each: float
    now: float = 0.0
    runs: list[int] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def run(self, rows: int) -> None:
        self.runs.append(rows)
        self.now += (self.fixed + self.each * rows) * (10 if self.runs.count(rows) <= 2 else 1)


@pytest.mark.parametrize(
    ("max_rows", "ladder"),
    [
        pytest.param(1, (1,), id="one row"),
        pytest.param(2, (1, 2), id="two"),
        pytest.param(32, (1, 2, 4, 8, 16, 32), id="a power of two"),
        pytest.param(33, (1, 2, 4, 8, 16, 32, 33), id="one more"),
        pytest.param(100, (1, 2, 4, 8, 16, 32, 64, 100), id="a hundred"),
    ],
)
def test_ladder_is(max_rows: int, ladder: tuple[int, ...]) -> None:
    assert batch_ladder(max_rows) == ladder


def test_quick_sizes_are_run_twenty_times_after_two_that_do_not_count() -> None:
    machine = Machine(fixed=2**-10, each=0)
    assert measure(machine.run, (1, 2), machine.clock, 10) == {1: (2**-10,) * 20, 2: (2**-10,) * 20}
    assert machine.runs == [1] * 22 + [2] * 22


def test_slow_sizes_are_run_three_times_after_two_that_do_not_count() -> None:
    machine = Machine(fixed=0, each=2**-4)
    assert measure(machine.run, (1, 2), machine.clock, 100) == {1: (2**-4,) * 3, 2: (2**-3,) * 3}


def test_a_size_that_would_not_fit_the_budget_is_left_out_with_all_above_it() -> None:
    # 1 row takes 2 * 2.5 s and 3 * 0.25 s, so 5 runs of 2 rows at 0.5 s would end at 8.25 s; they do at 17.25 s.
    machine = Machine(fixed=0, each=0.25)
    assert tuple(measure(machine.run, (1, 2, 4, 8), machine.clock, 9)) == (1, 2)
    machine = Machine(fixed=0, each=0.25)
    assert tuple(measure(machine.run, (1, 2, 4, 8), machine.clock, 8)) == (1,)


def test_nothing_is_run_without_a_budget() -> None:
    machine = Machine(fixed=1, each=1)
    assert measure(machine.run, (1, 2), machine.clock, 0) == {}
    assert machine.runs == []


@given(st.floats(0, 1), st.floats(1e-6, 1), st.floats(0.1, 50), st.integers(1, 4096))
def test_sizes_are_measured_from_the_smallest_on_without_gaps(
    fixed: float, each: float, budget: float, max_rows: int
) -> None:
    machine = Machine(fixed, each)
    ladder = batch_ladder(max_rows)
    measured = measure(machine.run, ladder, machine.clock, budget)
    assert tuple(measured) == ladder[: len(measured)]
    assert all(3 <= len(seconds) <= 20 for seconds in measured.values())
    assert [rows for rows, _ in itertools.groupby(machine.runs)] == list(measured)


@pytest.mark.parametrize(("max_rows", "sizes"), [(6, (1, 2, 4, 6)), (1, (1,))])
def test_a_loaded_model_brings_its_costs(
    max_rows: int, sizes: tuple[int, ...], double: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("costs") / "m.onnx"
    onnx.save(double, path)
    costs = load_model(path, "cpu", 1, max_rows).costs
    assert tuple(costs.seconds) == sizes
    assert costs.shapes == {"x": (1, 4)}
    assert all(seconds > 0 for measured in costs.seconds.values() for seconds in measured)
