"""What Triton's extensions let an operator change while the server runs: trace and log settings, REST and gRPC."""

from collections.abc import Callable
from typing import Any

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Run, Wire, check
from tidegate_conformance.expect import Mismatch, equal, true
from tidegate_conformance.rpc.messages import message
from tidegate_conformance.subject import Subject

TRACE = "/v2/trace/setting"
LOGGING = "/v2/logging"


def _check(name: str, extension: str, wire: Wire = Wire.ADMIN, title: str = "") -> Callable[[Run], Run]:
    source = sources.TRACE if extension == "trace" else sources.LOGGING
    return check(name, source, level=Level.EXTENSION, extension=extension, wire=wire, model="rows", title=title)


def _settings(name: str, path: str, changes: dict[str, Any]) -> None:
    def get(subject: Subject) -> None:
        found = subject.admin.get(path).opened().json()
        for setting in changes:
            true(f'the settings have "{setting}"', setting in found, found)

    def change(subject: Subject) -> None:
        for setting, value in changes.items():
            before = subject.admin.get(path).opened().json()
            try:
                changed = subject.admin.post(path, {setting: value}).must_be(200).json()
                true(f"{setting} is changed", changed.get(setting) in (value, str(value)), changed)
                others = {key: kept for key, kept in changed.items() if key != setting}
                equal("the other settings", {key: kept for key, kept in before.items() if key != setting}, others)
                equal("the settings when they are read", changed, subject.admin.get(path).must_be(200).json())
            finally:
                subject.admin.post(path, {setting: before.get(setting)})

    def unknown(subject: Subject) -> None:
        subject.admin.post(path, {"unheard_of": 1}).refusal()

    for part, run, title in (
        ("get", get, "The settings can be read."),
        ("change", change, "One setting is changed, the others are kept, all are answered."),
        ("unknown", unknown, "An unknown setting is refused."),
    ):
        _check(f"admin.{name}.{part}", name, title=title)(run)


_settings("trace", TRACE, {"trace_rate": "7", "trace_count": "12", "trace_level": ["OFF"]})
_settings("logging", LOGGING, {"log_verbose_level": 1, "log_info": False})


@_check("admin.trace.model", "trace")
def model_trace(subject: Subject) -> None:
    """A setting of one model is that model's alone; null takes it back, and what is set for all holds again."""
    path = f"/v2/models/{subject.model.name}/trace/setting"
    general = subject.admin.get(TRACE).opened().json()
    equal("the model's settings", general, subject.admin.get(path).must_be(200).json())
    try:
        made = general | {"trace_rate": "7"}
        equal("the model's settings", made, subject.admin.post(path, {"trace_rate": "7"}).must_be(200).json())
        equal("the model's settings when they are read", made, subject.admin.get(path).must_be(200).json())
        equal("the settings for all models", general, subject.admin.get(TRACE).must_be(200).json())
    finally:
        after = subject.admin.post(path, {"trace_rate": None})
    equal("the model's settings at the end", general, after.must_be(200).json())


@_check("admin.trace.model-follows", "trace")
def model_follows(subject: Subject) -> None:
    """What isn't set for a model follows what is set for all."""
    path = f"/v2/models/{subject.model.name}/trace/setting"
    before = subject.admin.get(TRACE).opened().json()
    try:
        subject.admin.post(path, {"trace_rate": "7"}).must_be(200)
        subject.admin.post(TRACE, {"trace_rate": "9", "trace_count": "12"}).must_be(200)
        found = subject.admin.get(path).must_be(200).json()
        equal("trace_rate, which is the model's", "7", found.get("trace_rate"))
        equal("trace_count, which isn't", "12", found.get("trace_count"))
        found = subject.admin.post(path, {"trace_rate": None}).must_be(200).json()
        equal("trace_rate, taken back", "9", found.get("trace_rate"))
    finally:
        subject.admin.post(path, {"trace_rate": None})
        subject.admin.post(TRACE, {name: before[name] for name in ("trace_rate", "trace_count")})


@_check("admin.trace.unknown-model", "trace")
def unknown_model(subject: Subject) -> None:
    """The trace settings of a model that isn't there are refused, to be read and to be changed."""
    path = "/v2/models/no-such-model/trace/setting"
    subject.admin.get(path).refusal()
    subject.admin.post(path, {"trace_rate": "7"}).refusal()


@_check("grpc.trace.model", "trace", Wire.GRPC)
def grpc_model_trace(subject: Subject) -> None:
    """A setting of one model is that model's alone; no value takes it back, and what is set for all holds again."""
    general, name = _traces(subject), subject.model.name
    equal("the model's settings", general, _traces(subject, name))
    try:
        equal("the model's settings", general | {"trace_rate": ["7"]}, _traces(subject, name, trace_rate=["7"]))
        equal("the settings for all models", general, _traces(subject))
    finally:
        after = _traces(subject, name, trace_rate=[])
    equal("the model's settings at the end", general, after)
    request = message("inference.TraceSettingRequest", model_name="no-such-model")
    subject.rpc.refusal("TraceSetting", request)


@_check("grpc.trace.get", "trace", Wire.GRPC)
def trace_get(subject: Subject) -> None:
    """TraceSetting without settings tells what is set, as REST does, each a list of strings."""
    found = _traces(subject)
    for setting in ("trace_level", "trace_rate", "trace_count"):
        true(f'the settings have "{setting}"', setting in found, found)
    if subject.endpoint.admin:
        told = subject.admin.get(TRACE).opened().json()
        equal("the settings", {name: _listed(value) for name, value in told.items()}, found)


@_check("grpc.trace.change", "trace", Wire.GRPC)
def trace_change(subject: Subject) -> None:
    """TraceSetting changes one setting, keeps the others and tells all; no value takes the change back."""
    before = _traces(subject)
    try:
        equal("the settings", before | {"trace_rate": ["7"]}, _traces(subject, trace_rate=["7"]))
        equal("the settings when they are read", before | {"trace_rate": ["7"]}, _traces(subject))
    finally:
        after = _traces(subject, trace_rate=[])
    equal("the settings at the end", before, after)


@_check("grpc.logging.get", "logging", Wire.GRPC)
def logging_get(subject: Subject) -> None:
    """LogSettings without settings tells what is set, as REST does."""
    found = _logs(subject)
    for setting in ("log_info", "log_warning", "log_error", "log_verbose_level"):
        true(f'the settings have "{setting}"', setting in found, found)
    if subject.endpoint.admin:
        equal("the settings", subject.admin.get(LOGGING).opened().json(), found)


@_check("grpc.logging.change", "logging", Wire.GRPC)
def logging_change(subject: Subject) -> None:
    """LogSettings changes one setting, keeps the others and tells all."""
    before = _logs(subject)
    was, made = before["log_verbose_level"], before | {"log_verbose_level": 1}
    try:
        equal("the settings", made, _logs(subject, log_verbose_level={"uint32_param": 1}))
        equal("the settings when they are read", made, _logs(subject))
    finally:
        _logs(subject, log_verbose_level={"uint32_param": was})


@_check("grpc.logging.unknown", "logging", Wire.GRPC)
def logging_unknown(subject: Subject) -> None:
    """An unknown log setting is refused."""
    _logs(subject)
    value = message("inference.LogSettingValue", bool_param=True)
    subject.rpc.refusal("LogSettings", message("inference.LogSettingsRequest", settings={"unheard_of": value}))


@_check("grpc.trace.unknown", "trace", Wire.GRPC)
def trace_unknown(subject: Subject) -> None:
    """An unknown trace setting is refused."""
    _traces(subject)
    value = message("inference.TraceSettingValue", value=["1"])
    subject.rpc.refusal("TraceSetting", message("inference.TraceSettingRequest", settings={"unheard_of": value}))


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _traces(subject: Subject, model: str = "", **changes: list[str]) -> dict[str, list[str]]:
    """The trace settings after these changes."""
    settings = {name: message("inference.TraceSettingValue", value=value) for name, value in changes.items()}
    request = message("inference.TraceSettingRequest", settings=settings, model_name=model)
    return {name: list(told.value) for name, told in subject.rpc.offered("TraceSetting", request).settings.items()}


def _logs(subject: Subject, **changes: dict[str, Any]) -> dict[str, Any]:
    """The log settings after these changes."""
    settings = {name: message("inference.LogSettingValue", **value) for name, value in changes.items()}
    answer = subject.rpc.offered("LogSettings", message("inference.LogSettingsRequest", settings=settings))
    found = {}
    for name, told in answer.settings.items():
        choice = told.WhichOneof("choice")
        if choice is None:
            raise Mismatch(f'log setting "{name}" has no value')
        found[name] = getattr(told, choice)
    return found
