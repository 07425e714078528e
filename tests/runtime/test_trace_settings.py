"""Trace settings in Triton's words: what each changes, what is refused and why, and that the tracer goes by them."""

from typing import Any

import pytest

from tidegate_runtime.errors import InvalidRequest, NotFound
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.trace_settings import MAX_COUNT, Sampling, changed, told
from tidegate_runtime.tracing.administration import change_settings, settings_of
from tidegate_runtime.tracing.request import Asked, Tracer
from tidegate_runtime.workers.budget import Budget

START = Sampling(ratio=0.25)
ASKED = Asked("http", "/v2/models/{name}/infer", "/v2/models/m/infer")
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sampling", "settings"),
    [
        (None, {"trace_level": ["OFF"]}),
        (Sampling(), {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1"}),
        (Sampling(False, 0.001, 7), {"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "7"}),
        (Sampling(ratio=0.3), {"trace_level": ["TIMESTAMPS"], "trace_rate": "3", "trace_count": "-1"}),
        (Sampling(ratio=0.0), {"trace_level": ["TIMESTAMPS"], "trace_rate": "0", "trace_count": "-1"}),
    ],
)
def test_what_is_in_force_is_told(sampling: Sampling | None, settings: dict[str, Any]) -> None:
    mode = {} if sampling is None else {"trace_mode": "opentelemetry"}
    assert told(sampling) == settings | mode


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ({}, Sampling(False, 0.5, 3)),
        ({"trace_level": ["TIMESTAMPS"]}, Sampling(True, 0.5, 3)),
        ({"trace_level": "TIMESTAMPS"}, Sampling(True, 0.5, 3)),
        ({"trace_level": "OFF"}, Sampling(False, 0.5, 3)),
        ({"trace_rate": "8"}, Sampling(False, 0.125, 3)),
        ({"trace_rate": 8}, Sampling(False, 0.125, 3)),
        ({"trace_rate": ["8"]}, Sampling(False, 0.125, 3)),
        ({"trace_rate": "0"}, Sampling(False, 0.0, 3)),
        ({"trace_count": "-1"}, Sampling(False, 0.5, -1)),
        ({"trace_count": "100"}, Sampling(False, 0.5, 100)),
        ({"trace_mode": "opentelemetry"}, Sampling(False, 0.5, 3)),
        ({"trace_level": None, "trace_rate": [], "trace_count": None, "trace_mode": None}, START),
    ],
)
def test_a_change_leaves_the_rest_and_null_goes_back_to_the_start(wanted: dict[str, Any], made: Sampling) -> None:
    assert changed(wanted, Sampling(False, 0.5, 3), START) == made


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"trace_level": "TENSORS"}, "spans hold times, not tensors"),
        ({"trace_level": ["TIMESTAMPS", "TENSORS"]}, "it takes one value"),
        ({"trace_level": "MAX"}, "neither OFF nor TIMESTAMPS"),
        ({"trace_level": True}, "must be a string"),
        ({"trace_rate": "-1"}, "a whole number from 0 to 4294967295"),
        ({"trace_rate": "1.5"}, "a whole number from 0"),
        ({"trace_rate": 1.5}, "must be a string"),
        ({"trace_rate": "4294967296"}, "a whole number from 0 to 4294967295"),
        ({"trace_rate": "9" * 5000}, "a whole number from 0"),
        ({"trace_rate": "٣"}, "a whole number from 0"),
        ({"trace_rate": ""}, "a whole number from 0"),
        ({"trace_count": "-2"}, "a whole number from -1 to 2147483647"),
        ({"trace_count": "--1"}, "a whole number from -1"),
        ({"trace_count": "2147483648"}, "a whole number from -1"),
        ({"trace_mode": "triton"}, 'it is "opentelemetry" here'),
        ({"trace_file": "/tmp/x"}, "sent to --trace-endpoint, not written to files"),
        ({"log_frequency": "100"}, "not written to files"),
        ({"unheard_of": "1"}, "the settings are trace_level, trace_rate, trace_count and trace_mode"),
    ],
)
def test_refused_with_its_name_is(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        changed({"trace_rate": "7"} | wanted, START, START)
    assert str(refusal.value).startswith(f'trace setting "{next(iter(wanted))}" ')
    assert said in str(refusal.value)


def test_without_an_endpoint_off_is_all_that_can_be_set() -> None:
    values: list[Any] = ["OFF", ["OFF"], [], None]
    for nothing in [{}, *({"trace_level": value} for value in values)]:
        assert changed(nothing, None, None) is None
    for wanted in ({"trace_level": "TIMESTAMPS"}, {"trace_rate": "1"}):
        with pytest.raises(InvalidRequest, match="start the server with --trace-endpoint"):
            changed(wanted, None, None)


def test_off_means_nothing_whatever_a_caller_decides() -> None:
    tracer = Tracer(1.0, lambda: 1.0)
    tracer.sampling = Sampling(on=False)
    assert tracer.begin(SAMPLED, None, ASKED) is None
    assert tracer.begin(None, None, ASKED) is None


def test_after_the_count_nothing_more_is_recorded_and_what_is_not_does_not_count() -> None:
    tracer = Tracer(1.0, lambda: 1.0)
    tracer.sampling = Sampling(count=2)
    assert tracer.begin(SAMPLED[:-2] + "00", None, ASKED) is None
    begun = [tracer.begin(header, None, ASKED) is not None for header in (None, SAMPLED, SAMPLED, None)]
    assert begun == [True, True, False, False]
    assert told(tracer.sampling)["trace_count"] == "0"


@pytest.fixture
def service() -> Service:
    made = Service(Limits(8, 0.005, 8, 65536, 30.0))
    made.tracer = Tracer(1.0, lambda: 1.0)
    return made


def test_a_change_that_is_refused_changes_nothing(service: Service) -> None:
    before = settings_of(service, "")
    with pytest.raises(InvalidRequest):
        change_settings(service, "", {"trace_rate": "7", "trace_file": "x"})
    assert settings_of(service, "") == before
    assert change_settings(service, "", {"trace_rate": "7"}) == before | {"trace_rate": "7"}
    assert settings_of(service, "") == before | {"trace_rate": "7"}


def test_what_others_record_is_counted_down_between_them(service: Service) -> None:
    tracer = service.tracer
    assert tracer is not None
    tracer.share = Budget.of
    assert change_settings(service, "", {"trace_count": "3"})["trace_count"] == "3"
    first = tracer.budget
    assert first is not None
    others = [Tracer(1.0, lambda: 1.0) for _ in range(2)]
    for other in others:
        other.sampling, other.budget = tracer.sampling, first
    assert others[0].begin(None, None, ASKED) is not None
    assert settings_of(service, "")["trace_count"] == "2"
    assert change_settings(service, "", {"trace_rate": "1"})["trace_count"] == "2", "what isn't given stays"
    assert tracer.budget is first
    begun = [other.begin(None, None, ASKED) is not None for _ in range(2) for other in others]
    assert begun == [True, True, False, False]
    assert settings_of(service, "")["trace_count"] == "0"
    assert change_settings(service, "", {"trace_count": None})["trace_count"] == "-1"
    assert tracer.budget is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        first.take()


def test_a_budget_of_any_size_is_told() -> None:
    for count in (1, 16, MAX_COUNT):
        budget = Budget.of(count)
        assert budget.left() == count
        assert budget.take()
        assert budget.left() == count - 1
        assert budget.take() is (count > 1)
        budget.close()


def test_a_model_that_is_not_there_has_no_settings(service: Service) -> None:
    service.expect("m", "1", "cpu")
    with pytest.raises(NotFound):
        settings_of(service, "none")
    with pytest.raises(NotFound):
        change_settings(service, "none", {})
