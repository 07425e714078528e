"""The conformance checks against our runtime, which serves all the known models. Run by `make conformance`.

Arguments are those of `tidegate-conformance serve`: `--only rest.infer`, `--json FILE`, `--junit FILE`.
"""

import shlex
import sys

from tidegate_conformance.command import app

RUNTIME = (
    f"{shlex.quote(sys.executable)} -m tidegate_runtime serve {{repository}} --host 127.0.0.1 "
    "--port {port} --grpc-port {grpc_port} --admin-port {admin_port} --threads 1 --no-vetting --max-batch-size 1024 "
    "--shared-memory-bytes 1048576"
)
"""Vetting would start a process for each of the models, which are our own."""

if __name__ == "__main__":
    app(["serve", RUNTIME, *sys.argv[1:]])
