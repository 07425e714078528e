import logging

import pytest

from tidegate_runtime.fetch.progress import Progress


@pytest.mark.parametrize(
    ("total", "received", "said"),
    [
        pytest.param(1000, [(0.5, 90), (1.0, 95), (2.0, 100), (3.0, 350)], [10, 35], id="each tenth"),
        pytest.param(1000, [(0.1, 500), (0.2, 1000)], [], id="nothing within the first second"),
        pytest.param(1000, [(9.9, 1), (10.0, 2), (19.0, 3), (20.0, 4)], [0, 0], id="every ten seconds if slow"),
        pytest.param(None, [(5.0, 10**9), (10.0, 2 * 10**9)], [None], id="every ten seconds if the total is not known"),
    ],
)
def test_progress_is_told(
    total: int | None, received: list[tuple[float, int]], said: list[int | None], caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    progress = Progress(lambda: now)
    progress.restart(total)
    with caplog.at_level(logging.INFO):
        for now, count in received:  # noqa: B007 -- the clock reads it
            progress.advance(count)
    assert [getattr(record, "percent", None) for record in caplog.records] == said


def test_a_line_has_bytes_percent_and_rate(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    progress = Progress(lambda: now)
    progress.restart(4_000)
    now = 102.0
    with caplog.at_level(logging.INFO):
        progress.advance(1_000)
    fields = caplog.records[0].__dict__
    assert {name: fields[name] for name in ("bytes", "total_bytes", "percent", "bytes_per_second")} == {
        "bytes": 1_000,
        "total_bytes": 4_000,
        "percent": 25,
        "bytes_per_second": 500,
    }
