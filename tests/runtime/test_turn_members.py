"""What a turn's requests are to the scheduler."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.members import alone, together
from tidegate_runtime.protocol.plain import Layout, Read

X = np.zeros((1, 2), np.float32)


@pytest.mark.parametrize(
    ("limit", "own", "left", "deadline"),
    [
        pytest.param(60.0, None, None, 70.0, id="the model's limit"),
        pytest.param(60.0, 2.0, None, 12.0, id="what the request says"),
        pytest.param(60.0, 90.0, None, 70.0, id="not more than the model's limit"),
        pytest.param(60.0, 2.0, 1.5, 11.5, id="what its client gave it, where that is less"),
        pytest.param(60.0, 2.0, 3.0, 12.0, id="and not where it is more"),
        pytest.param(60.0, None, 80.0, 70.0, id="nor beyond the limit"),
    ],
)
def test_a_request_alone_has_the_deadline_that_it_has_in_company(
    limit: float, own: float | None, left: float | None, deadline: float
) -> None:
    call: Any = SimpleNamespace(received=10.0, seconds_left=left, deliver=print, client="c")
    model: Any = SimpleNamespace(limits=SimpleNamespace(timeout_seconds=limit))
    layout, read = Layout(rows=1, size=8, priority=0, timeout_seconds=own), Read({"x": X}, 1)
    lone, (calls, company) = alone(call, read, layout, model), together([call], read, layout, model)
    assert calls == [call]
    assert (lone.number, lone.earliest, lone.latest) == (company.number, company.earliest, company.latest)
    assert lone.asked() == company.asked() == [({"x": X}, deadline, print, "c")]
