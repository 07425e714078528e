"""Ports for servers that are a while in starting."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from socket import create_server

import pytest

from localcluster.ports import PORTS, free_ports

ASK = "from localcluster.ports import free_ports; print([free_ports(3) for _ in range(20)])"


def test_no_two_processes_get_the_same_port_though_nobody_uses_it_yet() -> None:
    command = [sys.executable, "-c", ASK]
    hack = Path(__file__).parents[2] / "hack"
    with ExitStack() as running:
        asked = [running.enter_context(asking(command, hack)) for _ in range(4)]
        told = [each.communicate()[0] for each in asked]
    ports = [int(port) for each in told for port in each.replace("[", "").replace("]", "").split(",")]
    assert len(ports) == 4 * 20 * 3
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(PORTS)


def asking(command: list[str], hack: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(hack)})


def test_a_port_that_somebody_has_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is counted elsewhere begins at the other end.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"tidegate-ports-{os.getuid()}").write_text(str(len(PORTS) - 100))
    (port,) = free_ports(1)
    (told,) = tmp_path.iterdir()
    told.write_text(str(port - PORTS.start))
    with create_server(("127.0.0.1", port)):
        assert free_ports(1)[0] > port
