"""The tool against our runtime."""

from collections import Counter
from pathlib import Path

import pytest

from lab.conformance import OPEN, RUNTIME
from localcluster.ports import free_ports
from tidegate_conformance import checks
from tidegate_conformance.check import ALL, Check, Level
from tidegate_conformance.models.repository import write_repository
from tidegate_conformance.run import Verdict, run
from tidegate_conformance.serving import Command, LocalServers
from tidegate_conformance.subject import Subjects

pytestmark = pytest.mark.integration


def test_no_required_check_fails(tmp_path: Path) -> None:
    checks.load()
    write_repository(tmp_path / "models")
    with LocalServers(Command(RUNTIME), tmp_path / "models", tmp_path, free_ports) as servers:
        results = run([check for check in ALL.values() if check.level is Level.REQUIRED], Subjects(servers))
    assert [(result.check.id, result.detail) for result in results if result.verdict is Verdict.FAILED] == []
    assert Counter(result.verdict for result in results)[Verdict.PASSED] >= 100


def test_what_administers_it_and_shared_memory_conform_on_the_data_ports(tmp_path: Path) -> None:
    """None of them is skipped: the server names the extensions, and is on this host."""
    checks.load()
    write_repository(tmp_path / "models")
    areas = ("admin.", "grpc.repository.", "grpc.trace.", "grpc.logging.")
    chosen = [check for check in ALL.values() if check.id.startswith(areas) or "shared-memory" in check.id]
    command = Command(OPEN, administers_data_port=True)
    with LocalServers(command, tmp_path / "models", tmp_path, free_ports) as servers:
        results = run([check for check in chosen if not _closed(check)], Subjects(servers))
    assert [(result.check.id, result.detail) for result in results if result.verdict is not Verdict.PASSED] == []
    assert len(results) >= 70


def _closed(check: Check) -> bool:
    """Whether the check is of servers whose data ports don't administer."""
    return ".bad.data-port." in check.id
