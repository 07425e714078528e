"""The tool against our runtime."""

from collections import Counter
from pathlib import Path

import pytest

from lab.conformance import RUNTIME
from tidegate_conformance import checks
from tidegate_conformance.check import ALL, Level
from tidegate_conformance.models.repository import write_repository
from tidegate_conformance.run import Verdict, run
from tidegate_conformance.serving import Command, LocalServers
from tidegate_conformance.subject import Subjects

pytestmark = pytest.mark.integration


def test_no_required_check_fails(tmp_path: Path) -> None:
    checks.load()
    write_repository(tmp_path / "models")
    with LocalServers(Command(RUNTIME), tmp_path / "models", tmp_path) as servers:
        results = run([check for check in ALL.values() if check.level is Level.REQUIRED], Subjects(servers))
    assert [(result.check.id, result.detail) for result in results if result.verdict is Verdict.FAILED] == []
    assert Counter(result.verdict for result in results)[Verdict.PASSED] >= 100
