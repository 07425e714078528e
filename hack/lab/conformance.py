"""The conformance checks against our runtime, each model in a process of its own. Run by `make conformance`.

Arguments are those of `tidegate-conformance serve`: `--only rest.infer`, `--json FILE`, `--junit FILE`.
"""

import shlex
import sys

from tidegate_conformance.command import app

RUNTIME = (
    f"{shlex.quote(sys.executable)} -m tidegate_runtime serve {{path}} --name {{name}} --model-version {{version}} "
    "--host 127.0.0.1 --port {port} --admin-port {admin_port} --threads 1"
)
"""One model a process is what the runtime serves; a command with {repository} in it would be one for all."""

if __name__ == "__main__":
    app(["serve", RUNTIME, *sys.argv[1:]])
