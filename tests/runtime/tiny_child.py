"""An engine's process without ONNX Runtime, which does at once what it is told and else returns its inputs.

What it loads is the path of its task: "crash", "refuse", "numbers" (inputs "a" and "b") or "words" (the first of "a"
and "b" is an order); "capture" loses the device while it loads, unless there are to be no graphs. A file's path has
each load take the file's next line away and do what that says: "hang", or anything else to serve as "numbers" does.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import orjson

from tidegate_runtime.errors import DeviceLost, RejectedByModel, StartupFailure
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.child.report import LoadReport
from tidegate_runtime.model.child.worker import attend
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

SEGFAULT = "segfault"
EXIT = "exit"
LOST = "lost"
HANG = "hang"
REJECT = "reject"


class Options:
    """Of a run that can't be ended, for nothing looks at them."""

    terminate = False


class Session:
    def run(self, feeds: Feeds, options: Any) -> Sequence[Array]:
        match feeds["a"].ravel().tolist()[:1]:
            case ["hang"]:
                threading.Event().wait()
            case ["segfault"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            case ["exit"]:
                os._exit(3)
            case ["lost"]:
                raise DeviceLost("CUDA error 700, an illegal memory access was encountered")
            case ["reject"]:
                raise RejectedByModel("none of that, 水")
        return list(feeds.values())


def load() -> tuple[Session, LoadReport]:
    task = orjson.loads(sys.argv[3])
    path = task["path"]
    if path == "capture" and task["options"]["graph_bytes"] != 0:
        raise DeviceLost("CUDA error 719, unspecified launch failure")
    if Path(path).is_file() and _next_line(Path(path)) == HANG:
        threading.Event().wait()
    if path == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path == "refuse":
        raise StartupFailure(Reason.UNSUPPORTED_SIGNATURE, "not this one")
    datatype = Datatype.BYTES if path == "words" else Datatype.FP32
    specs = (TensorSpec("a", datatype, ("",)), TensorSpec("b", datatype, ("",)))
    return Session(), LoadReport(Signature(specs, specs), Verdict(False, "it returns its inputs"))


def _next_line(script: Path) -> str:
    line, _, rest = script.read_text().partition("\n")
    script.write_text(rest)
    return line


def main() -> NoReturn:
    line, second_line = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:3])
    attend(line, second_line, load, Options)


if __name__ == "__main__":
    main()
