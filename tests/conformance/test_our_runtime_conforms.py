"""The tool against our runtime."""

from collections import Counter
from pathlib import Path

import pytest

from lab.conformance import NODES, OPEN, RUNTIME
from localcluster.ports import free_ports
from tidegate_conformance import checks
from tidegate_conformance.check import ALL, Check, Level
from tidegate_conformance.models.repository import write_repository
from tidegate_conformance.nodes.checks import AREA, BATCHED
from tidegate_conformance.nodes.sending import send_cases
from tidegate_conformance.run import Result, Verdict, run
from tidegate_conformance.serving import Command, LocalServers
from tidegate_conformance.subject import Subjects

pytestmark = pytest.mark.integration


def test_no_required_check_fails(tmp_path: Path) -> None:
    results = results_of(Level.REQUIRED, tmp_path)
    assert failures(results) == []
    assert Counter(result.verdict for result in results)[Verdict.PASSED] >= 200


def test_no_extension_check_fails(tmp_path: Path) -> None:
    results = results_of(Level.EXTENSION, tmp_path)
    assert failures(results) == []
    assert Counter(result.verdict for result in results)[Verdict.PASSED] >= 100


def test_no_robustness_check_fails(tmp_path: Path) -> None:
    """Two need administration on the data ports, and are made below, where the server has it."""
    results = results_of(Level.ROBUSTNESS, tmp_path)
    assert failures(results) == []
    skipped = {result.check.id for result in results if result.verdict is Verdict.SKIPPED}
    assert skipped == {"admin.repository.load-outside", "grpc.shared-memory.register-bad"}


def results_of(level: Level, folder: Path) -> list[Result]:
    """Of all checks of the level, on a server as it is by default."""
    checks.load()
    write_repository(folder / "models")
    with LocalServers(Command(RUNTIME), folder / "models", folder, free_ports) as servers:
        return run([check for check in ALL.values() if check.level is level], Subjects(servers))


def failures(results: list[Result]) -> list[tuple[str, str]]:
    return [(result.check.id, result.detail) for result in results if result.verdict is Verdict.FAILED]


def test_onnx_s_operators_that_differ_most_are_answered_bit_by_bit_alone_and_batched(tmp_path: Path) -> None:
    results = send_cases(Command(NODES), tmp_path, 48, ports=free_ports).results
    assert failures(results) == []
    passed = Counter(result.check.area for result in results if result.verdict is Verdict.PASSED)
    # The others are what no wire has a datatype for, what ONNX Runtime doesn't load, and what has no rows.
    assert min(passed[f"{AREA}.{wire}"] for wire in ("json", "binary", "grpc")) >= 25
    assert min(passed[f"{BATCHED}.{wire}"] for wire in ("json", "binary", "grpc")) >= 12


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
