"""The check for machines with a GPU, run on the CPU: its own mistakes are found here, not on a lent machine."""

from pathlib import Path

import pytest

from gpu.__main__ import main
from gpu.finding import Finding
from gpu.report import file_name, page

pytestmark = pytest.mark.integration


def written(folder: Path, *arguments: str) -> list[str]:
    """The page's rows."""
    assert main(["--device", "cpu", "--tokens", "2", "--into", str(folder), *arguments]) == 0
    (report,) = folder.glob("gpu-*.md")
    return [line for line in report.read_text().splitlines() if line.startswith("| ")][2:]


def test_the_cpu_agrees_with_itself_on_every_known_model(tmp_path: Path) -> None:
    rows = written(tmp_path, "--only", "agreement")
    assert len(rows) > 20
    assert all("| yes |" in row for row in rows), rows


def test_graphs_are_not_held_against_a_device_that_has_none(tmp_path: Path) -> None:
    assert written(tmp_path, "--only", "graphs") == [
        "| graphs: tabular | – |  | cpu has none |",
        "| graphs: minilm | – |  | cpu has none |",
    ]


def test_a_batch_beyond_the_arena_fails_alone(tmp_path: Path) -> None:
    (row,) = written(tmp_path, "--only", "memory")
    assert row.startswith("| memory: a batch beyond the arena | yes |"), row


def test_both_protocols_are_measured_beside_raw_onnx_runtime(tmp_path: Path) -> None:
    raw, http, grpc = written(tmp_path, "--only", "serving", "--seconds", "0.5")
    assert raw.startswith("| raw ONNX Runtime: minilm | – | rows/s ")
    for row in (http, grpc):
        assert "share of raw" in row
        assert "failures" not in row


def test_a_check_that_breaks_is_a_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr("gpu.memory.check", broken)
    assert written(tmp_path, "--only", "memory") == ["| memory | **no** |  | OSError: no such thing |"]


def test_the_page_says_what_holds_and_where() -> None:
    findings = [
        Finding("one", True, "", {"rows/s": 12345.678}),
        Finding("two", False, "a|b"),
        Finding("three", None, "why"),
    ]
    assert page("NVIDIA H200", {"driver": "580.1"}, findings).splitlines()[2:] == [
        "Written by `python -m gpu`. driver 580.1",
        "",
        "| check | holds | figures | detail |",
        "| --- | --- | --- | --- |",
        "| one | yes | rows/s 1.235e+04 |  |",
        "| two | **no** |  | a/b |",
        "| three | – |  | why |",
    ]
    assert file_name("NVIDIA H200 (MIG 1g)") == "gpu-nvidia-h200-mig-1g.md"
