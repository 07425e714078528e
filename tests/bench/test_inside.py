from inspect import isfunction

from bench import inside
from tidegate_runtime.metrics import ModelMetrics

COUNT_NOTHING = {"apart", "detach", "utilization", "failed"}


def test_nothing_that_counts_is_left_on() -> None:
    methods = {name for name, value in vars(ModelMetrics).items() if isfunction(value) and not name.startswith("_")}
    assert set(inside.COUNTING) == methods - COUNT_NOTHING
