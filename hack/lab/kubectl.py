"""kubectl as a function, and waits that are watches with a deadline."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A command that ended badly, or a wait that saw something else than it waited for."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl, helm and the kubeconfig of one cluster."""

    binaries: Path
    kubeconfig: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @classmethod
    def of_cluster(cls) -> "Kubectl":
        """The tools for the cluster that `hack/cluster` has up, chosen by the same environment."""

        def ask(what: str) -> Path:
            told = subprocess.run([ROOT / "hack/cluster", what], capture_output=True, text=True, check=False)
            if told.returncode:
                raise Failed(f"hack/cluster {what}: {told.stderr.strip()}\nIs a cluster up? make cluster-up")
            return Path(told.stdout.strip())

        return cls(ask("bin"), ask("kubeconfig"))

    def command(self, *arguments: str, program: str = "kubectl") -> list[str]:
        """The command line of a call."""
        return [str(self.binaries / program), *arguments]

    @property
    def process_environment(self) -> dict[str, str]:
        """The environment of a call."""
        return {**self.environment, "KUBECONFIG": str(self.kubeconfig)}

    def run(self, *arguments: str, stdin: str | bytes | None = None, program: str = "kubectl") -> str:
        """What the call printed; raises Failed with what it said if it ended badly."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.command(*arguments, program=program),
            input=data,
            capture_output=True,
            env=self.process_environment,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise Failed(f"{program} {' '.join(arguments)}: {said}")
        return done.stdout.decode(errors="replace")

    @contextlib.contextmanager
    def conversing(self, arguments: Sequence[str], told: Object) -> "Iterator[subprocess.Popen[str]]":
        """A call that is told a line of JSON, and goes on until it ends, or the block does."""
        with subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # By WebSockets, kubectl gives up a command that is silent for two minutes, or whose way stands still.
            env={**self.process_environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"},
            text=True,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            try:
                yield process
            finally:
                process.kill()

    def apply(self, *manifests: Object) -> None:
        """Apply objects, server-side."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))

    def get(self, *arguments: str) -> Object:
        """An object or a list."""
        found: Object = json.loads(self.run("get", *arguments, "-o", "json"))
        return found

    def names(self, *arguments: str) -> list[str]:
        """The names of objects, as `kind/name`."""
        return self.run("get", *arguments, "-o", "name").split()

    def wait(
        self,
        reached: Callable[[Object], bool],
        what: Sequence[str],
        *,
        for_what: str,
        seconds: float = 90,
    ) -> Object:
        """The first version of an object that `reached` accepts, by a watch.

        `what` are kubectl's words for exactly one object, such as `("-n", "ml", "isv", "churn")`. Raises Failed after
        `seconds`, with the version seen last.
        """
        last: Object | None = None
        with contextlib.closing(self._versions(what, seconds)) as versions:
            for item in versions:
                if reached(item):
                    return item
                last = item
        seen = json.dumps(last.get("status", last), indent=1) if last else "no such object"
        raise Failed(f"waited {seconds:g} s for {' '.join(what)} {for_what}; seen last: {seen}")

    def _versions(self, what: Sequence[str], seconds: float) -> Generator[Object, None, None]:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            # An object that isn't there yet can't be watched by name; its list can.
            *place, kind, name = what
            command = self.command("get", *place, kind, "--field-selector", f"metadata.name={name}", "-o", "json", "-w")
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.process_environment, text=True
            ) as watch:
                timer = threading.Timer(left, watch.kill)
                timer.start()
                try:
                    assert watch.stdout is not None
                    yield from _documents(watch.stdout)
                finally:
                    timer.cancel()
                    watch.kill()


def _documents(lines: Iterable[str]) -> Iterator[Object]:
    """JSON documents written one after another, each over several lines."""
    text = ""
    for line in lines:
        text += line
        if line.startswith("}"):
            yield json.loads(text)
            text = ""
