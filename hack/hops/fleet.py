"""Three runtimes on addresses of their own, as the pods of one service, and what they and the router use."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from bench.usage import cpu_seconds_in
from localcluster.ports import free_ports

ADDRESSES: Final = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


@dataclass(frozen=True)
class Pod:
    """One runtime."""

    revision: str
    address: str
    port: int
    grpc_port: int
    admin_port: int
    process: "subprocess.Popen[bytes]"

    def ready(self) -> bool:
        """Whether it says so."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.admin_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def samples(self, name: str, label: str) -> Mapping[str, float]:
        """The samples of a metric, by one of its labels."""
        with urllib.request.urlopen(f"http://{self.address}:{self.admin_port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        return {
            sample.labels.get(label, ""): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name
        }


@contextlib.contextmanager
def running(name: str, model: Path, revisions: Sequence[str], xds_port: int, logs: Path) -> Iterator[list[Pod]]:
    """A pod of each of the revisions, of the service `name`; all share their ports, as pods do."""
    port, grpc_port, admin_port = free_ports(3, "")
    pods: list[Pod] = []
    with contextlib.ExitStack() as stack:
        for address, revision in zip(ADDRESSES, revisions, strict=True):
            words = [sys.executable, "-m", "tidegate_runtime", "serve", str(model), "--name", name]
            words += ["--model-version", revision, "--host", address, "--threads", "1"]
            words += ["--port", str(port), "--grpc-port", str(grpc_port), "--admin-port", str(admin_port)]
            words += ["--share-url", f"http://127.0.0.1:{xds_port}/v1/share/ml/{revision}"]
            log = stack.enter_context((logs / f"{address}.log").open("wb"))
            process = stack.enter_context(subprocess.Popen(words, stdout=log, stderr=log))
            stack.callback(process.kill)
            pods.append(Pod(revision, address, port, grpc_port, admin_port, process))
        yield pods


def cpu_seconds(processes: Sequence[Any]) -> float:
    """User and system time that these have used so far."""
    return sum(cpu_seconds_in(Path(f"/proc/{process.pid}/stat").read_text()) for process in processes)
