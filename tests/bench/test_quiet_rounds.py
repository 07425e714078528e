import pytest

from bench.results import Record, best_rate, late, series

from .recorded import latency, point

KEY = ("mosec", "tabular", "json", "closed", 32)


def test_the_median_is_of_the_quiet_rounds_alone() -> None:
    stolen = [0.0, 0.05, 0.06, 0.3]
    records = [
        point("mosec", rate, steal=steal, round_number=number)
        for number, (rate, steal) in enumerate(zip([100, 300, 7, 9], stolen, strict=True))
    ]
    found = series(records, steal_bound=0.05)[KEY]
    assert (found.median("rate"), found.noisy, found.measured) == (200, False, 4)


def test_a_round_counts_once_by_its_quiet_attempt() -> None:
    tries = [point("mosec", 7, steal=0.5), point("mosec", 100), point("mosec", 300, round_number=1)]
    found = series(tries, steal_bound=0.05)[KEY]
    assert found.values("rate") == [100, 300]
    assert found.measured == 3


def test_a_wrong_answer_counts_however_disturbed_its_measurement_was() -> None:
    tries = [point("mosec", steal=0.5, errors={"wrong": 2, "status 500": 1}), point("mosec")]
    assert series(tries, steal_bound=0.05)[KEY].errors == 3


def test_rounds_of_one_number_in_two_runs_both_count() -> None:
    runs = [{"kind": "machine"}, point("mosec", 100), {"kind": "machine"}, point("mosec", 300)]
    assert series(runs, steal_bound=0.05)[KEY].values("rate") == [100, 300]


def test_a_point_without_a_quiet_round_is_kept_and_marked() -> None:
    records = [point("mosec", rate, steal=0.5, round_number=number) for number, rate in enumerate([5, 6, 7])]
    found = series(records, steal_bound=0.05)[KEY]
    assert found.noisy
    assert found.median("rate") == 6


@pytest.mark.parametrize(
    ("lateness", "p50", "expected"),
    [(0.9, 0.1, False), (1.1, 0.1, True), (1.1, 10.0, False), (2.1, 10.0, True)],
    ids=["under a millisecond", "over it", "under a fifth of the median", "over it and a fifth"],
)
def test_a_generator_that_was_late_is_noise(lateness: float, p50: float, expected: bool) -> None:
    record = point("mosec", lateness=lateness, latency_ms=latency(p50))
    assert late(record) is expected
    assert series([record], steal_bound=0.05)[KEY].noisy is expected


def test_half_range_is_a_share_of_the_median() -> None:
    records = [point("mosec", rate, round_number=number) for number, rate in enumerate([80, 100, 140])]
    assert series(records, steal_bound=0.05)[KEY].half_range("rate") == pytest.approx(0.3)


def test_cpu_is_for_good_answers_and_none_without_one() -> None:
    def cpu(*records: Record) -> float | None:
        return series(records, steal_bound=0.05)[KEY].cpu_us()

    assert cpu(point("mosec", cpu_us=40, good=500)) == pytest.approx(40)
    assert cpu(point("mosec", good=0, cpu_seconds=1.0)) is None


def test_the_best_rate_is_the_highest_median_over_servers_and_concurrencies() -> None:
    records = [
        point("mosec", 900, connections=8),
        point("mosec", 1500, connections=128),
        point("naive", 1200),
        point("tidegate", 9000),
        point("mosec", 8000, load="fixed", connections=1024),
        point("mosec", 7000, protocol="binary"),
    ]
    assert best_rate(records, ("mosec", "naive"), "tabular", "json", 0.05) == 1500
    assert best_rate(records, ("mosec",), "cnn", "json", 0.05) is None
