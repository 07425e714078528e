"""The controller as a process of this tree: what it costs, what it says, and how it is ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from lab.kubectl import ROOT, Object
from localcluster.ports import free_ports
from localcluster.waiting import wait_for
from scale.controlplane import ControlPlane

NAMESPACE = "tidegate-system"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Operator:
    """A controller's process."""

    process: subprocess.Popen[bytes]
    log: Path
    admin_port: int

    @property
    def cpu_seconds(self) -> float:
        """CPU time so far, the user's and the system's."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self, which: str = "VmHWM") -> float:
        """Resident memory: the highest so far, or with `VmRSS` the present one."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(which)) / 1024

    def complaints(self) -> list[Object]:
        """What it logged as warning or error."""
        return [line for line in self.lines() if line.get("level") not in ("debug", "info")]

    def lines(self) -> list[Object]:
        """What it logged; what isn't JSON counts as an error."""
        return [_line(text) for text in self.log.read_text(errors="replace").splitlines()]

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def metrics(self) -> dict[str, float]:
        """Its metrics, by name with labels."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.admin_port}/metrics") as page,
        ):
            families = text_string_to_metric_families(await page.text())
            return {
                _named(sample.name, sample.labels): sample.value for family in families for sample in family.samples
            }

    async def leads(self) -> bool:
        """Whether it says that it leads."""
        try:
            return (await self.metrics()).get("tidegate_controller_leader") == 1
        except aiohttp.ClientError:
            return False


@contextlib.contextmanager
def operator(plane: ControlPlane, client: str) -> Iterator[Operator]:
    """A controller that was started, as a client of the API server, and is ended with the block.

    Raises:
        ClusterError: it isn't ready within a minute.
    """
    log, (admin_port,) = plane.folder / f"{client}.log", free_ports(1)
    environment = {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig(client)),
        "TIDEGATE_NAMESPACE": NAMESPACE,
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_ADMIN_PORT": str(admin_port),
        "HOSTNAME": client,
    }
    words = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tidegate_operator", "controller"]
    with log.open("ab") as said:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd=ROOT)
    try:
        wait_for(client, lambda: _not_ready(process, admin_port, log), seconds=60)
        yield Operator(process, log, admin_port)
    finally:
        process.kill()
        process.wait()


def _not_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> str | None:
    if process.poll() is not None:
        raise RuntimeError(f"the controller ended with {process.returncode}: {log.read_text()[-2000:]}")
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return None
    except OSError as error:
        return str(error)


def _named(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{told}}}" if told else name


def _line(text: str) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"level": "error", "message": text}
