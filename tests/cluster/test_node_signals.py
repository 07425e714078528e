"""Which processes of a node get the signals that the lab sends."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import signals


def sleeper(**environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"], env={**os.environ, **environment})


@pytest.fixture
def pod() -> str:
    return f"pod-{uuid.uuid4().hex}"


@pytest.fixture
def processes(pod: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """One of the pod, and one of another whose name begins alike."""
    both = [sleeper(HOSTNAME=pod), sleeper(HOSTNAME=f"{pod}-2")]
    yield both
    for process in both:
        process.kill()
        process.wait()


def test_a_pod_that_is_killed_loses_its_processes_alone(pod: str, processes: list["subprocess.Popen[bytes]"]) -> None:
    assert signals.main({"kill": pod}) == 1
    assert processes[0].wait(10) == -signal.SIGKILL
    assert processes[1].poll() is None


def test_what_stood_still_goes_on_though_it_was_not_told_to(tmp_path: Path) -> None:
    # A name that no other process of the machine has; the kernel keeps 15 characters of it.
    program = tmp_path / f"s{uuid.uuid4().hex[:12]}"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "3"]) as process:
        assert signals.main({"stop": program.name, "seconds": 0.1}) == 1
        assert process.wait(10) == 0


def test_nobody_of_that_name_is_no_process() -> None:
    assert signals.main({"stop": f"s{uuid.uuid4().hex[:12]}", "seconds": 0}) == 0
