"""The checks of trace and log settings can fail: each kind of mistake is found, and a right server passes."""

import json
from typing import Any, cast

import pytest

from tidegate_conformance import checks
from tidegate_conformance.check import ALL
from tidegate_conformance.expect import Mismatch
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.client import RestClient
from tidegate_conformance.subject import Subject
from tidegate_conformance.target import Endpoint

checks.load()
OURS = [name for name in ALL if name.startswith(("admin.trace.", "admin.logging."))]
TRACE, LOGGING, MODEL = "/v2/trace/setting", "/v2/logging", "/v2/models/rows/trace/setting"


class Administered:
    """A right server's settings, in the form of a client that asks it. A test overrides what is to go wrong."""

    def __init__(self) -> None:
        self.start: dict[str, dict[str, Any]] = {
            TRACE: {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1"},
            LOGGING: {"log_info": True, "log_verbose_level": 0},
        }
        self.general = {path: dict(settings) for path, settings in self.start.items()}
        self.own: dict[str, Any] = {}

    def told(self, path: str) -> dict[str, Any]:
        return self.general[TRACE] | self.own if path == MODEL else self.general[path]

    def change(self, path: str, name: str, value: Any) -> None:
        if path == MODEL:
            self.own.pop(name, None)
            self.own |= {} if value is None else {name: value}
        else:
            self.general[path][name] = self.start[path][name] if value is None else value

    def known(self, path: str, wanted: dict[str, Any]) -> bool:
        return path in {TRACE, LOGGING, MODEL} and set(wanted) <= set(self.told(path))

    def get(self, path: str) -> Answer:
        return self.post(path, {})

    def post(self, path: str, wanted: dict[str, Any]) -> Answer:
        if not self.known(path, wanted):
            return answer(400, {"error": "no such setting, or no such model"})
        for name, value in wanted.items():
            self.change(path, name, value)
        return answer(200, self.told(path))


def answer(status: int, content: Any) -> Answer:
    return Answer(status, (("content-type", "application/json"),), json.dumps(content).encode())


class TakesAnything(Administered):
    def known(self, path: str, wanted: dict[str, Any]) -> bool:
        return True

    def told(self, path: str) -> dict[str, Any]:
        return super().told(path if path in {TRACE, LOGGING, MODEL} else TRACE)

    def change(self, path: str, name: str, value: Any) -> None:
        pass


class ChangesNothing(Administered):
    def change(self, path: str, name: str, value: Any) -> None:
        pass


class ChangesAll(Administered):
    def change(self, path: str, name: str, value: Any) -> None:
        super().change(path, name, value)
        self.general[TRACE]["trace_level"] = ["TENSORS"]
        self.general[LOGGING]["log_info"] = "maybe"


class TellsTheChangeAlone(Administered):
    def post(self, path: str, wanted: dict[str, Any]) -> Answer:
        found = super().post(path, wanted)
        return (
            answer(200, {name: self.told(path)[name] for name in wanted}) if wanted and found.status == 200 else found
        )


class HasNoModels(Administered):
    """The settings of a model are those for all."""

    def post(self, path: str, wanted: dict[str, Any]) -> Answer:
        return super().post(TRACE if path == MODEL else path, wanted)


class CopiesAll(Administered):
    """What isn't set for a model is what it was for all when something was first."""

    def change(self, path: str, name: str, value: Any) -> None:
        if path == MODEL:
            self.own = self.general[TRACE] | self.own
        super().change(path, name, value)


class KeepsTheModels(Administered):
    def change(self, path: str, name: str, value: Any) -> None:
        if path != MODEL or value is not None:
            super().change(path, name, value)


def subject(server: Administered) -> Subject:
    client = cast(RestClient, server)
    return Subject(KNOWN["rows"], Endpoint("http://127.0.0.1:1"), client, ("1",), frozenset(), "", None, client)


@pytest.mark.parametrize(
    ("check", "mistake"),
    [
        ("admin.trace.unknown", TakesAnything),
        ("admin.trace.unknown-model", TakesAnything),
        ("admin.logging.unknown", TakesAnything),
        ("admin.trace.change", ChangesNothing),
        ("admin.logging.change", ChangesNothing),
        ("admin.trace.change", ChangesAll),
        ("admin.logging.change", ChangesAll),
        ("admin.trace.change", TellsTheChangeAlone),
        ("admin.trace.model", ChangesNothing),
        ("admin.trace.model", TellsTheChangeAlone),
        ("admin.trace.model", HasNoModels),
        ("admin.trace.model", KeepsTheModels),
        ("admin.trace.model-follows", HasNoModels),
        ("admin.trace.model-follows", CopiesAll),
        ("admin.trace.model-follows", KeepsTheModels),
    ],
)
def test_found_is(check: str, mistake: type[Administered]) -> None:
    with pytest.raises(Mismatch):
        ALL[check].run(subject(mistake()))


@pytest.mark.parametrize("check", OURS)
def test_a_right_server_passes_and_is_left_as_it_was(check: str) -> None:
    server = Administered()
    before = json.dumps([server.general, server.own])
    ALL[check].run(subject(server))
    assert json.dumps([server.general, server.own]) == before
