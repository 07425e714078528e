"""Which batches are run as CUDA graphs: tables with figures worked out by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.model.graph_policy import NODE_BYTES, Graphs, Ladder, Node, objection, plan, rungs
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Datatype, TensorSpec

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def signature(*shapes: tuple[int | str, ...]) -> Signature:
    specs = tuple(TensorSpec(f"x{index}", Datatype.FP32, shape) for index, shape in enumerate(shapes))
    return Signature(specs, specs)


@pytest.mark.parametrize(
    ("nodes", "shapes", "batched", "why"),
    [
        ([Node("MatMul", CUDA), Node("Add", CUDA)], [("N", 4)], True, None),
        ([Node("MatMul", CUDA)], [("N",)], True, None),
        ([Node("MatMul", CUDA)], [(1, 4)], False, None),
        ([Node("MatMul", CUDA)], [()], False, None),
        ([Node("MatMul", CUDA), Node("If", CPU)], [("N", 4)], True, "If is control flow, which a graph can't follow"),
        ([Node("Loop", CUDA)], [("N", 4)], True, "Loop is control flow, which a graph can't follow"),
        ([Node("Scan", CUDA)], [("N", 4)], True, "Scan is control flow, which a graph can't follow"),
        ([Node("Gather", CPU)], [("N", 4)], True, "Gather runs on CPUExecutionProvider, outside the graph"),
        ([Node("MatMul", CUDA)], [("N", "S")], True, 'input "x0" has sizes that only requests tell'),
        ([Node("MatMul", CUDA)], [("N", 4), ("N", "")], True, 'input "x1" has sizes that only requests tell'),
        ([Node("MatMul", CUDA)], [("N", 4)], False, 'input "x0" has sizes that only requests tell'),
    ],
)
def test_a_model_is_captured_if_all_of_it_is_fixed_and_on_the_device(
    nodes: list[Node], shapes: list[tuple[int | str, ...]], batched: bool, why: str | None
) -> None:
    assert objection(nodes, signature(*shapes), CUDA, batched=batched) == why


@pytest.mark.parametrize(
    ("max_rows", "row_bytes", "nodes", "budget", "taken"),
    [
        (8, 100, 0, 1500, (1, 2, 4, 8)),  # 100 + 200 + 400 + 800
        (8, 100, 0, 1499, (1, 2, 4)),
        (12, 100, 0, 2700, (1, 2, 4, 8, 12)),
        (1, 100, 0, 100, (1,)),
        (1, 100, 0, 99, ()),
        (4, 0, 2, 5 * NODE_BYTES, (1, 2)),  # two nodes a graph
        (4, 0, 2, 0, ()),
    ],
)
def test_the_ladder_ends_where_the_budget_does(
    max_rows: int, row_bytes: int, nodes: int, budget: int, taken: tuple[int, ...]
) -> None:
    assert rungs(max_rows, row_bytes, nodes, budget) == taken


EAGER = {1: 10.0, 2: 12.0, 4: 16.0, 8: 24.0}


@pytest.mark.parametrize(
    ("replay", "may_pad", "chosen"),
    [
        # 3 rows cost 14 without a graph and 5, 6, 7 and 8 cost 18, 20, 22 and 24: replays of 4 and 8 are below 95 %.
        ({1: 2.0, 2: 3.0, 4: 5.0, 8: 9.0}, True, (0, 1, 2, 4, 4, 8, 8, 8, 8)),
        ({1: 2.0, 2: 3.0, 4: 5.0, 8: 9.0}, False, (0, 1, 2, 0, 4, 0, 0, 0, 8)),
        # 8 at 18.5: dearer than 95 % of 18 for 5 rows (17.1), cheaper than 95 % of 20 for 6 (19).
        ({1: 2.0, 2: 3.0, 4: 5.0, 8: 18.5}, True, (0, 1, 2, 4, 4, 0, 8, 8, 8)),
        # A graph that is no faster isn't run, and doesn't make room for padding to it.
        ({1: 10.0, 2: 3.0, 4: 16.0, 8: 30.0}, True, (0, 2, 2, 0, 0, 0, 0, 0, 0)),
        # Padding has to beat a graph of the right size as well: 2.9 isn't below 95 % of 3, 2.8 is.
        ({1: 3.0, 2: 2.9}, True, (0, 1, 2, 0, 0, 0, 0, 0, 0)),
        ({1: 3.0, 2: 2.8}, True, (0, 2, 2, 0, 0, 0, 0, 0, 0)),
        # Beyond the last rung there is none.
        ({1: 2.0, 2: 3.0}, True, (0, 1, 2, 0, 0, 0, 0, 0, 0)),
        ({}, True, (0,) * 9),
    ],
)
def test_rows_are_padded_where_the_replay_is_cheaper(
    replay: Mapping[int, float], may_pad: bool, chosen: tuple[int, ...]
) -> None:
    assert plan(EAGER, replay, 8, may_pad=may_pad) == chosen


FIGURES = st.dictionaries(st.sampled_from([1, 2, 4, 8, 12]), st.floats(1e-6, 1.0), min_size=1)


@given(FIGURES, FIGURES, st.booleans())
def test_a_plan_never_cuts_rows_nor_names_a_graph_that_is_not_there(
    eager: dict[int, float], replay: dict[int, float], may_pad: bool
) -> None:
    eager |= {rows: 1.0 for rows in replay if rows not in eager}
    chosen = plan(eager, replay, 12, may_pad=may_pad)
    assert len(chosen) == 13
    for rows, rung in enumerate(chosen):
        assert rung == 0 or (rung in replay and rung >= max(rows, 1) and (may_pad or rung == rows))


BATCHED = Ladder(Graphs((1, 2, 4)), {"x0": (4,), "x1": ()}, True, (0, 1, 2, 4, 4))
SINGLE = Ladder(Graphs((1,)), {"x0": (3, 4), "x1": ()}, False, (0, 1))


@pytest.mark.parametrize(
    ("ladder", "shapes", "rung"),
    [
        (BATCHED, [(1, 4), (1,)], (1, 1)),
        (BATCHED, [(3, 4), (3,)], (3, 4)),
        (BATCHED, [(5, 4), (5,)], (5, 0)),
        (BATCHED, [(2, 5), (2,)], (1, 0)),
        (BATCHED, [(2, 4), (2, 1)], (2, 0)),
        (SINGLE, [(3, 4), ()], (1, 1)),
        (SINGLE, [(2, 4), ()], (1, 0)),
        (SINGLE, [(3, 4), (1,)], (1, 0)),
    ],
)
def test_a_rung_is_of_the_captured_shape_alone(
    ladder: Ladder, shapes: list[tuple[int, ...]], rung: tuple[int, int]
) -> None:
    assert ladder.rung({f"x{index}": np.empty(shape) for index, shape in enumerate(shapes)}) == rung


def test_numbers_begin_at_one_since_onnx_runtime_keeps_zero() -> None:
    assert [BATCHED.number(rows) for rows in (1, 2, 4)] == [1, 2, 3]
