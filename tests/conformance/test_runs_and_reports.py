"""What a run does with its checks, and how it is reported."""

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import onnxruntime
import pytest
from rich.console import Console

from tidegate_conformance import checks, datatypes
from tidegate_conformance.check import ALL, Check, Level, Wire
from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.models.repository import write_repository
from tidegate_conformance.report import print_report, summary, to_json, to_junit
from tidegate_conformance.run import Result, run
from tidegate_conformance.serving import Command
from tidegate_conformance.subject import Subject, Subjects
from tidegate_conformance.target import Endpoint, OneServer, ServerPerModel, read_endpoints

checks.load()


def made(name: str, work: Any, level: Level = Level.REQUIRED, extension: str = "", model: str = "rows") -> Check:
    return Check(name, f"{name}.", "a source", level, model, Wire.REST, extension, work)


def passes(subject: Subject) -> None:
    del subject


def fails(subject: Subject) -> None:
    subject.rest.get("/v2/health/live")
    raise Mismatch(f"{subject.model.name} \x00 <wrong>")


def skips(subject: Subject) -> None:
    raise Skip(f"{subject.model.name} can't")


def breaks(subject: Subject) -> None:
    raise KeyError(subject.model.name)


def verdicts(results: list[Result]) -> dict[str, str]:
    return {result.check.id: result.verdict.value for result in results}


def test_there_are_many_checks_each_with_a_title_a_source_and_a_known_model() -> None:
    assert len(ALL) >= 150
    for check in ALL.values():
        assert check.title.endswith(".")
        assert check.source
        assert check.model in KNOWN


def test_each_outcome_has_its_verdict(serve: Any) -> None:
    mixed = [made("a.passes", passes), made("a.fails", fails), made("a.skips", skips), made("a.breaks", breaks)]
    with serve() as endpoint:
        results = run(mixed, Subjects(OneServer(endpoint)))
    assert verdicts(results) == {"a.passes": "passed", "a.fails": "failed", "a.skips": "skipped", "a.breaks": "failed"}


def test_what_the_server_lacks_is_skipped_with_the_reason(serve: Any) -> None:
    known = KNOWN["rows"]
    lacking = [made("a.extension", fails, extension="unheard_of"), made("a.model", fails, model="absent")]
    with serve() as endpoint:
        results = run(lacking, Subjects(OneServer(endpoint), models=KNOWN | {"absent": known}))
    assert [result.detail for result in results] == [
        'the server doesn\'t name the extension "unheard_of"',
        'the server has no model "absent"',
    ]


def test_without_a_server_everything_is_skipped() -> None:
    results = run([made("a.b", fails)], Subjects(OneServer(Endpoint("http://127.0.0.1:1"))))
    assert verdicts(results) == {"a.b": "skipped"}


def test_bad_input_comes_last_and_a_server_that_it_ends_is_left_alone(serve: Any) -> None:
    dead: list[bool] = []  # empty while the server lives

    def dying(reply: Any) -> Any:
        return type(reply)(reply.path, None, drop=True) if dead else reply

    def kills(subject: Subject) -> None:
        del subject
        dead.append(True)

    ordered = [
        made("a.kills", kills, Level.ROBUSTNESS),
        made("a.after", fails, Level.ROBUSTNESS),
        made("a.first", passes),
    ]
    with serve(dying) as endpoint:
        results = run(ordered, Subjects(OneServer(endpoint)))
    assert verdicts(results) == {"a.first": "passed", "a.kills": "failed", "a.after": "skipped"}
    assert "doesn't answer /v2/health/live" in results[1].detail
    assert results[2].detail == "the server doesn't answer since a.kills"


@pytest.fixture
def results(serve: Any) -> list[Result]:
    with serve() as endpoint:
        return run(
            [made("a.b.passes", passes), made("a.b.fails", fails), made("a.c.skips", skips)],
            Subjects(OneServer(endpoint)),
        )


def test_the_table_counts_by_area(results: list[Result]) -> None:
    console = Console(file=io.StringIO(), width=120)
    print_report(results, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "FAILED a.b.fails (required)" in text
    assert "GET /v2/health/live HTTP/1.1" in text
    assert '{"live": true}' in text
    assert "skipped    1  rows can't" in text
    assert ["a.b", "1", "1", "0"] in [line.split() for line in text.splitlines()]
    assert summary(results) == "1 passed, 1 failed, 1 skipped of 3 checks"


def test_json_and_junit_hold_every_check(results: list[Result]) -> None:
    document = json.loads(to_json(results))
    assert document["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert [entry["verdict"] for entry in document["checks"]] == ["passed", "failed", "skipped"]
    suite = ET.fromstring(to_junit(results))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert [case.get("name") for case in suite] == ["a.b.passes", "a.b.fails", "a.c.skips"]


def test_a_command_says_whether_it_serves_all_models() -> None:
    assert Command("serve {repository} --port {port}").serves_all
    single = Command("serve '{path}' --name {name} --port {port}")
    assert not single.serves_all
    assert single.words({"path": "/a b", "name": "m", "port": "1"}) == ["serve", "/a b", "--name", "m", "--port", "1"]


def test_a_map_of_servers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text('{"rows": {"rest": "http://a:1", "grpc": "a:2"}}')
    target = read_endpoints(path)
    assert isinstance(target, ServerPerModel)
    assert target.endpoint("rows") == Endpoint("http://a:1", "a:2", "")
    with pytest.raises(Skip, match="no server is given"):
        target.endpoint("add_sub")


def test_every_known_model_answers_as_numpy_says(tmp_path: Path) -> None:
    for path in write_repository(tmp_path):
        model, version = KNOWN[path.parent.parent.name], path.parent.name
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        if any(spec.datatype in (Datatype.BF16, Datatype.BYTES) for spec in model.inputs):
            continue  # ONNX Runtime takes neither from numpy as they are; both are Identity
        feeds = model.example() if model.name != "counting" else {"n": np.array([1000])}
        for spec, value in zip(model.outputs, session.run(None, feeds), strict=True):
            expected = np.asarray(model.answer(feeds, version)[spec.name])
            assert datatypes.same(np.asarray(value), expected), (model.name, version)
