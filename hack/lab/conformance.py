"""The conformance checks against our runtime, which serves all the known models. Run by `make conformance`.

Without arguments, all checks on a server as it is by default, then those of administration on one that has it on its
data ports, too, and then all of onnx's operator tests. Arguments are those of `tidegate-conformance serve`, such as
`--only rest.infer`, `--json FILE` or `--junit FILE`, and ask the first of these; behind the word `open` they ask the
second, and behind `nodes`, as those of `tidegate-conformance onnx-nodes`, the last.
"""

import shlex
import sys
from collections.abc import Sequence
from typing import Final

from tidegate_conformance.command import app

_SERVE: Final = (
    f"{shlex.quote(sys.executable)} -m tidegate_runtime serve {{repository}} --host 127.0.0.1 "
    "--port {port} --grpc-port {grpc_port} --admin-port {admin_port} --threads 1 --no-vetting"
)
"""Vetting would start a process for each of the models, which are our own."""

RUNTIME: Final = f"{_SERVE} --max-batch-size 1024 --shared-memory-bytes 1048576"

OPEN: Final = f"{RUNTIME} --admin-on-data-port --trace-endpoint http://127.0.0.1:9/v1/traces --trace-ratio 0"
"""Names all its extensions, and registers shared memory over gRPC. Nothing is recorded, so that nothing is sent."""

NODES: Final = f"{_SERVE} --max-batch-size 8 --arena-bytes {256 << 20}"
"""Batches are small, or each of a thousand models would be measured up to large ones. Some models make tensors of the
sizes that they are told; to make those that warm-up guesses, the machine's memory may not do."""

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
    if arguments[:1] == ["nodes"]:
        return _run(["onnx-nodes", NODES, *arguments[1:]])
    if arguments:
        return _run(["serve", RUNTIME, *arguments])
    chosen = [word for name in ADMINISTRATIVE for word in ("--only", name)]
    return max(
        _run(["serve", RUNTIME]),
        _run(["serve", OPEN, "--admin-on-data-port", *chosen]),
        _run(["onnx-nodes", NODES, "--sample", "0"]),
    )


def _run(words: list[str]) -> int:
    try:
        app(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
