"""Calls, as the API server's audit log tells of them."""

import json
from pathlib import Path
from typing import Any

from scale.audit import calls, read, table


def a_line(verb: str, resource: str, *, subresource: str | None = None, code: int = 200, user: str = "a") -> str:
    about: dict[str, Any] = {"resource": resource, "namespace": "ml"}
    if subresource:
        about["subresource"] = subresource
    event = {
        "user": {"username": user},
        "verb": verb,
        "requestURI": "/x",
        "objectRef": about,
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": "2026-11-29T10:00:00.123456Z",
    }
    return json.dumps(event)


def test_writes_and_the_lease_are_told_apart() -> None:
    lines = [
        a_line("list", "deployments"),
        a_line("watch", "pods"),
        a_line("patch", "deployments"),
        a_line("update", "inferenceservices", subresource="status"),
        a_line("update", "leases"),
    ]
    found = calls(lines)
    assert [call.writes for call in found] == [False, False, True, True, True]
    assert [call.leads for call in found] == [False, False, False, False, True]
    assert found[3].resource == "inferenceservices/status"


def test_a_request_for_no_object_is_told_by_its_path() -> None:
    event = json.loads(a_line("get", "x"))
    del event["objectRef"]
    (call,) = calls([json.dumps(event)])
    assert call.resource == "/x"


def test_a_log_is_read_on_from_where_it_was_left_and_never_half_a_line(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    whole, half = a_line("get", "pods") + "\n", a_line("patch", "services") + "\n"
    log.write_text(whole + half[:20])
    first, offset = read(log)
    assert [call.verb for call in first] == ["get"]
    log.write_text(whole + half)
    second, end = read(log, offset)
    assert [call.verb for call in second] == ["patch"]
    assert end == len(whole + half)


def test_calls_are_told_for_each_service_and_refusals_apart() -> None:
    found = calls([a_line("patch", "services")] * 4 + [a_line("patch", "services", code=409)] * 2)
    assert table(found, 2).splitlines()[2:] == ["| patch services  | 2.00 |", "| patch services 409 | 1.00 |"]
