"""The conformance checks against our runtime, which serves all the known models. Run by `make conformance`.

Without arguments, all checks on a server as it is by default, and then those of administration on one that has it on
its data ports, too. Arguments are those of `tidegate-conformance serve`, such as `--only rest.infer`, `--json FILE` or
`--junit FILE`, and ask the former; behind the word `open` they ask the latter.
"""

import shlex
import sys
from collections.abc import Sequence
from typing import Final

from tidegate_conformance.command import app

RUNTIME: Final = (
    f"{shlex.quote(sys.executable)} -m tidegate_runtime serve {{repository}} --host 127.0.0.1 "
    "--port {port} --grpc-port {grpc_port} --admin-port {admin_port} --threads 1 --no-vetting --max-batch-size 1024 "
    "--shared-memory-bytes 1048576"
)
"""Vetting would start a process for each of the models, which are our own."""

OPEN: Final = f"{RUNTIME} --admin-on-data-port --trace-endpoint http://127.0.0.1:9/v1/traces --trace-ratio 0"
"""Names all its extensions, and registers shared memory over gRPC. Nothing is recorded, so that nothing is sent."""

ADMINISTRATIVE: Final = (
    "admin",
    "grpc.repository",
    "grpc.shared-memory",
    "grpc.trace",
    "grpc.logging",
    "client.tritonclient.*-shared-memory",
)
"""The checks that say more of `OPEN`."""


def main(arguments: Sequence[str]) -> int:
    """Runs the checks; the greatest exit code."""
    if arguments[:1] == ["open"]:
        return _run(["serve", OPEN, "--admin-on-data-port", *arguments[1:]])
    if arguments:
        return _run(["serve", RUNTIME, *arguments])
    chosen = [word for name in ADMINISTRATIVE for word in ("--only", name)]
    return max(_run(["serve", RUNTIME]), _run(["serve", OPEN, "--admin-on-data-port", *chosen]))


def _run(words: list[str]) -> int:
    try:
        app(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
