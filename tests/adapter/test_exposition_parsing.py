import math
import random

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from tidegate_operator.adapter.exposition import parse
from tidegate_operator.adapter.percentile import Bucket
from tidegate_operator.exposition import Malformed

PAGE = """\
# HELP tidegate_queue_depth requests waiting
# TYPE tidegate_queue_depth gauge
tidegate_queue_depth{model="churn"} 3.0
tidegate_queue_depth{model="fraud"} 4.0
tidegate_inflight{model="churn"} 9 1763805600000
tidegate_queue_seconds_bucket{le="0.1",model="churn"} 77.0
tidegate_request_duration_seconds_bucket{le="0.1",model="churn"} 2.0
tidegate_request_duration_seconds_bucket{le="0.2",model="churn"} 5.0
tidegate_request_duration_seconds_bucket{le="+Inf",model="churn"} 6.0
tidegate_request_duration_seconds_bucket{model="fraud",le="0.1"} 1.0
tidegate_request_duration_seconds_bucket{model="fraud",le="+Inf"} 1.0
tidegate_request_duration_seconds_count{model="churn"} 6.0
"""


def test_parse_sums_the_models_and_takes_only_the_families_it_serves() -> None:
    reading = parse(PAGE)
    assert reading.gauges == {"tidegate_queue_depth": 7.0, "tidegate_inflight": 9.0}
    assert reading.answered == {Bucket(0.1, 0.0): 3, Bucket(0.2, 0.1): 3, Bucket(math.inf, 0.2): 1}


def test_parse_reads_what_the_prometheus_library_writes() -> None:
    registry = CollectorRegistry()
    queue = Gauge("tidegate_queue_depth", "x", ["model"], registry=registry)
    durations = Histogram(
        "tidegate_request_duration_seconds", "x", ["model"], buckets=[0.1, 0.2, 0.4], registry=registry
    )
    name = 'a "quoted",le="0.5"} \\ model\n'
    queue.labels(name).set(2.5)
    generator = random.Random(7)
    values = [generator.uniform(0, 0.6) for _ in range(500)]
    for value in values:
        durations.labels(name).observe(value)
    reading = parse(generate_latest(registry).decode())
    assert reading.gauges == {"tidegate_queue_depth": 2.5}
    assert reading.answered == {
        Bucket(0.1, 0.0): sum(value <= 0.1 for value in values),
        Bucket(0.2, 0.1): sum(0.1 < value <= 0.2 for value in values),
        Bucket(0.4, 0.2): sum(0.2 < value <= 0.4 for value in values),
        Bucket(math.inf, 0.4): sum(value > 0.4 for value in values),
    }


def test_parse_accepts_a_release_without_one_of_the_families() -> None:
    reading = parse("tidegate_inflight 2\n")
    assert reading.gauges == {"tidegate_inflight": 2.0}
    assert reading.answered == {}


@pytest.mark.parametrize(
    ("page", "message"),
    [
        pytest.param("", "none of tidegate_queue_depth", id="an empty page"),
        pytest.param("<html>hello</html>", "none of", id="another server's page"),
        pytest.param("go_goroutines 5\n", "none of", id="another program's metrics"),
        pytest.param("tidegate_queue_depth NaN\n", "tidegate_queue_depth is 'NaN'", id="not a number"),
        pytest.param("tidegate_queue_depth -1\n", "tidegate_queue_depth is '-1'", id="negative"),
        pytest.param("tidegate_inflight +Inf\n", "tidegate_inflight is '\\+Inf'", id="infinite"),
        pytest.param("tidegate_inflight 1e300\n", "tidegate_inflight is '1e300'", id="absurdly large"),
        pytest.param("tidegate_inflight many\n", "tidegate_inflight is 'many'", id="a word"),
        pytest.param(
            'tidegate_request_duration_seconds_bucket{le="x"} 1\n', "le='x', not a positive number", id="a bad bound"
        ),
        pytest.param(
            "tidegate_request_duration_seconds_bucket 1\n", "le='', not a positive number", id="a bucket without bound"
        ),
        pytest.param(
            'tidegate_request_duration_seconds_bucket{le="0.1"} 5\n'
            'tidegate_request_duration_seconds_bucket{le="0.2"} 4\n',
            "falls from 5 to 4 at le=0.2",
            id="counts that fall with the bound",
        ),
        pytest.param(
            "".join(f'tidegate_request_duration_seconds_bucket{{le="{k}"}} {k}\n' for k in range(1, 1100)),
            "more than 1000 samples",
            id="too many buckets",
        ),
    ],
)
def test_parse_refuses_what_no_runtime_writes(page: str, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        parse(page)
