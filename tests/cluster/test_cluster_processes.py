import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import processes
from localcluster.errors import ClusterError
from localcluster.waiting import wait_for

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Where the process is recorded that the test starts; it is ended afterwards."""
    path = tmp_path / "pids" / "one"
    yield path
    if path.exists():
        processes.kill(int(path.read_text()))


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def test_a_started_process_is_recorded_and_found_by_its_words_until_it_ends(tmp_path: Path, pid_file: Path) -> None:
    processes.start(["tail", "-f", "/dev/null"], pid_file=pid_file, log=tmp_path / "log", env=ENVIRONMENT)
    pid = processes.running(pid_file, ["tail", "/dev/null"])
    assert pid is not None
    assert os.getsid(pid) == pid
    assert processes.running(pid_file, ["tail", "another"]) is None
    processes.kill(pid)
    wait_for("its end", lambda: "running" if processes.running(pid_file, ["tail"]) else None, seconds=5)
    reap(pid)


def test_a_process_that_becomes_another_program_is_not_taken_for_ended(tmp_path: Path, pid_file: Path) -> None:
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\nexec "$0" "$@"\n')
    script.chmod(0o755)
    processes.start([script, "a mark"], pid_file=pid_file, log=tmp_path / "log", env=ENVIRONMENT)
    found = {processes.running(pid_file, ["a mark"]) for _ in range(20_000)}
    assert found == {int(pid_file.read_text())}
    processes.kill(int(pid_file.read_text()))
    wait_for("its end", lambda: "running" if processes.running(pid_file, ["a mark"]) else None, seconds=5)
    reap(int(pid_file.read_text()))


def test_what_a_process_says_is_kept(tmp_path: Path, pid_file: Path) -> None:
    log = tmp_path / "log"
    processes.start(["sh", "-c", "echo out; echo err >&2"], pid_file=pid_file, log=log, env=ENVIRONMENT)
    reap(int(pid_file.read_text()))
    assert processes.tail(log) == "  | out\n  | err"
    assert processes.tail(log, lines=1) == "  | err"


@pytest.mark.parametrize("content", [None, "", "words", "4194304"], ids=["no file", "empty", "words", "none such"])
def test_a_record_without_a_process_counts_as_ended(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pid"
    if content is not None:
        path.write_text(content)
    assert processes.running(path, []) is None


def test_killing_what_has_ended_is_no_error() -> None:
    processes.kill(4194304)


def test_a_wait_that_fails_tells_what_was_missing_last() -> None:
    seen = iter(range(1000))
    with pytest.raises(ClusterError, match=r"etcd: not within 0 s; last seen: state \d"):
        wait_for("etcd", lambda: f"state {next(seen)}", seconds=0.0)


def test_a_stopped_process_goes_on_and_one_that_has_ended_is_no_error() -> None:
    with subprocess.Popen(["sh", "-c", "kill -STOP $$; exit 7"]) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        processes.resume(process.pid)
        assert process.wait(10) == 7
    processes.resume(4194304)
