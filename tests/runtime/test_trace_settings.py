"""Trace settings in Triton's words: what each changes, what is refused and why, and that the tracer goes by them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service
from tidegate_runtime.trace_settings import MAX_COUNT, Own, Sampling, TraceSettings, changed, told
from tidegate_runtime.tracing.administration import change_settings, settings_of
from tidegate_runtime.tracing.request import Asked, Tracer
from tidegate_runtime.workers.budget import Budget

START = Sampling(ratio=0.25)
ASKED = Asked("http", "/v2/models/{name}/infer", "/v2/models/m/infer")
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = f"{SAMPLED[:-2]}00"


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
    assert changed(wanted, TraceSettings(START, Sampling(False, 0.5, 3))) == TraceSettings(START, made)


@pytest.mark.parametrize(
    ("wanted", "own", "made"),
    [
        ({}, None, None),
        ({"trace_level": "TIMESTAMPS"}, None, Own(on=True)),
        ({"trace_level": ["OFF"], "trace_rate": "8"}, None, Own(on=False, ratio=0.125)),
        ({"trace_rate": "0"}, None, Own(ratio=0.0)),
        ({"trace_count": "-1"}, None, Own(count=-1)),
        ({"trace_count": "7"}, Own(ratio=0.5), Own(ratio=0.5, count=7)),
        ({"trace_count": "7"}, Own(count=2), Own(count=7)),
        ({"trace_mode": "opentelemetry"}, None, None),
        ({"trace_mode": None}, Own(on=True), Own(on=True)),
        ({"trace_level": None}, Own(on=True, ratio=0.5), Own(ratio=0.5)),
        ({"trace_rate": []}, Own(on=True, ratio=0.5), Own(on=True)),
        ({"trace_level": None, "trace_rate": None, "trace_count": None}, Own(True, 0.5, 3), None),
        ({"trace_level": None}, None, None),
        ({"trace_level": None, "trace_count": "1"}, Own(on=True), Own(count=1)),
    ],
)
def test_a_change_by_name_is_the_models_own_and_null_takes_it_back(
    wanted: dict[str, Any], own: Own | None, made: Own | None
) -> None:
    others = {"other": Own(count=5)}
    before = TraceSettings(START, Sampling(False, 0.5, 3), others | ({} if own is None else {"m": own}))
    after = TraceSettings(START, Sampling(False, 0.5, 3), others | ({} if made is None else {"m": made}))
    assert changed(wanted, before, "m") == after


@pytest.mark.parametrize(
    ("own", "of"),
    [
        (None, Sampling(True, 0.5, 3)),
        (Own(on=False), Sampling(False, 0.5, 3)),
        (Own(ratio=0.0), Sampling(True, 0.0, 3)),
        (Own(count=0), Sampling(True, 0.5, 0)),
        (Own(False, 1.0, -1), Sampling(False, 1.0, -1)),
    ],
)
def test_what_a_model_has_no_own_setting_for_is_as_for_all(own: Own | None, of: Sampling) -> None:
    settings = TraceSettings(START, Sampling(True, 0.5, 3), {} if own is None else {"m": own})
    assert settings.of("m") == of
    assert settings.of("other") == settings.of("") == Sampling(True, 0.5, 3)


@pytest.mark.parametrize(
    ("general", "own", "general_after", "own_after"),
    [
        (3, None, 2, None),
        (1, None, 0, None),
        (0, None, 0, None),
        (-1, None, -1, None),
        (3, Own(ratio=0.5), 2, Own(ratio=0.5)),
        (3, Own(count=3), 3, Own(count=2)),
        (0, Own(count=1), 0, Own(count=0)),
        (3, Own(count=0), 3, Own(count=0)),
        (3, Own(count=-1), 3, Own(count=-1)),
    ],
)
def test_a_count_is_of_whom_it_was_set_for(
    general: int, own: Own | None, general_after: int, own_after: Own | None
) -> None:
    def settings(count: int, own: Own | None) -> TraceSettings:
        return TraceSettings(START, Sampling(count=count), {} if own is None else {"m": own})

    assert settings(general, own).recorded("m") == settings(general_after, own_after)


LEVELS = {"OFF": False, "TIMESTAMPS": True}
CHANGES = st.tuples(
    st.sampled_from(["", "m", "n"]),
    st.fixed_dictionaries(
        {},
        optional={
            "trace_level": st.sampled_from([None, *LEVELS]),
            "trace_rate": st.sampled_from([None, "0", "1", "2", "4"]),
            "trace_count": st.sampled_from([None, "-1", "0", "5"]),
        },
    ),
)


@given(st.lists(CHANGES))
def test_whatever_was_changed_a_model_has_what_was_last_said_of_it_or_else_of_all(
    changes: list[tuple[str, dict[str, str | None]]],
) -> None:
    settings, said = TraceSettings(START, START), dict[tuple[str, str], str | None]()
    for model, wanted in changes:
        made = changed(wanted, settings, model)
        assert made is not None
        settings = made
        said |= {(model, name): value for name, value in wanted.items()}

    def last(model: str, name: str, start: str) -> str:
        return said.get((model, name)) or said.get(("", name)) or start

    for model in ("", "m", "n"):
        rate = int(last(model, "trace_rate", "4"))
        assert settings.of(model) == Sampling(
            LEVELS[last(model, "trace_level", "TIMESTAMPS")],
            1 / rate if rate else 0.0,
            int(last(model, "trace_count", "-1")),
        )
    assert all(own != Own() for own in settings.own.values())


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
@pytest.mark.parametrize("model", ["", "m"])
def test_refused_with_its_name_is(wanted: dict[str, Any], said: str, model: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        changed({"trace_rate": "7"} | wanted, TraceSettings(START, START), model)
    assert str(refusal.value).startswith(f'trace setting "{next(iter(wanted))}" ')
    assert said in str(refusal.value)


def test_without_an_endpoint_off_is_all_that_can_be_set() -> None:
    values: list[Any] = ["OFF", ["OFF"], [], None]
    for nothing in [{}, *({"trace_level": value} for value in values)]:
        assert changed(nothing, None) is None
    for wanted in ({"trace_level": "TIMESTAMPS"}, {"trace_rate": "1"}):
        with pytest.raises(InvalidRequest, match="start the server with --trace-endpoint"):
            changed(wanted, None)


def tracing(general: Sampling, **own: Own) -> Tracer:
    tracer = Tracer(1.0, lambda: 1.0)
    tracer.settings = TraceSettings(START, general, own)
    return tracer


def begun(tracer: Tracer, *asked: tuple[str | None, str]) -> list[bool]:
    """Whether each request, by its caller's header and its model, is recorded."""
    return [tracer.begin(header, None, ASKED, model) is not None for header, model in asked]


def test_off_means_nothing_whatever_a_caller_decides() -> None:
    assert begun(tracing(Sampling(on=False)), (SAMPLED, "m"), (None, "m")) == [False, False]


def test_after_the_count_nothing_more_is_recorded_and_what_is_not_does_not_count() -> None:
    tracer = tracing(Sampling(count=2))
    assert begun(tracer, (UNSAMPLED, "m"), (None, "m"), (SAMPLED, "n"), (SAMPLED, "m"), (None, "")) == [
        *(False, True),
        *(True, False, False),
    ]
    assert told(tracer.settings.of(""))["trace_count"] == "0"


def test_a_model_of_its_own_settings_is_recorded_by_them() -> None:
    tracer = tracing(Sampling(on=False), m=Own(on=True))
    assert begun(tracer, (SAMPLED, "n"), (SAMPLED, "m"), (None, "m"), (None, "")) == [False, True, True, False]
    tracer = tracing(Sampling(), m=Own(on=False), n=Own(ratio=0.0))
    assert begun(tracer, (SAMPLED, "m"), (None, "n"), (SAMPLED, "n"), (None, "o")) == [False, False, True, True]


def test_a_models_count_and_everyones_are_counted_apart() -> None:
    tracer = tracing(Sampling(count=1), m=Own(count=1), n=Own(ratio=1.0))
    assert begun(tracer, (None, "m"), (None, "m"), (None, "n"), (None, "n"), (None, "o")) == [
        *(True, False),
        *(True, False, False),
    ]
    assert tracer.settings == TraceSettings(START, Sampling(count=0), {"m": Own(count=0), "n": Own(ratio=1.0)})


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
    first = tracer.budgets[""]
    others = [Tracer(1.0, lambda: 1.0) for _ in range(2)]
    for other in others:
        other.settings, other.budgets = tracer.settings, tracer.budgets
    assert others[0].begin(None, None, ASKED, "m") is not None
    assert settings_of(service, "")["trace_count"] == "2"
    assert change_settings(service, "", {"trace_rate": "1"})["trace_count"] == "2", "what isn't given stays"
    assert tracer.budgets[""] is first
    begun = [other.begin(None, None, ASKED, "m") is not None for _ in range(2) for other in others]
    assert begun == [True, True, False, False]
    assert settings_of(service, "")["trace_count"] == "0"
    assert change_settings(service, "", {"trace_count": None})["trace_count"] == "-1"
    assert not tracer.budgets
    with pytest.raises(OSError, match="Bad file descriptor"):
        first.take()


def test_a_models_count_is_counted_down_between_others_apart_from_everyones(service: Service) -> None:
    tracer = service.tracer
    assert tracer is not None
    tracer.share = Budget.of
    tracer.change(TraceSettings(START, Sampling(count=2)), "")
    tracer.change(TraceSettings(START, Sampling(count=2), {"m": Own(count=1), "n": Own(ratio=1.0)}), "m")
    assert sorted(tracer.budgets) == ["", "m"]
    others = [Tracer(1.0, lambda: 1.0) for _ in range(2)]
    for other in others:
        other.settings, other.budgets = tracer.settings, tracer.budgets
    assert [begun(other, (None, "m")) for other in others] == [[True], [False]]
    assert [begun(other, (None, "n"), (None, "o")) for other in others] == [[True, True], [False, False]]
    assert tracer.in_force() == TraceSettings(START, Sampling(count=0), {"m": Own(count=0), "n": Own(ratio=1.0)})
    tracer.change(TraceSettings(START, Sampling(count=2)), "m")
    assert list(tracer.budgets) == [""], "a count that was taken back is counted no more"


def test_a_budget_of_any_size_is_told() -> None:
    for count in (1, 16, MAX_COUNT):
        budget = Budget.of(count)
        assert budget.left() == count
        assert budget.take()
        assert budget.left() == count - 1
        assert budget.take() is (count > 1)
        budget.close()


@pytest.mark.parametrize(("model", "said"), [("none", "no model of that name"), ("m", "the model is loading")])
def test_a_model_that_is_not_loaded_has_no_settings(service: Service, model: str, said: str) -> None:
    service.expect("m", "1", "cpu")
    with pytest.raises(InvalidRequest, match=f"those of a model that is loaded: {said}"):
        settings_of(service, model)
    for wanted in ({}, {"trace_rate": "7"}):
        with pytest.raises(InvalidRequest, match=said):
            change_settings(service, model, wanted)
