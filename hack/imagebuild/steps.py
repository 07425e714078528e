"""Running the programs that take long, so that one sees what they are at and, if they fail, why."""

import os
import re
import select
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagebuild.errors import BuildError
from localcluster.progress import Progress

_LAST_WORDS = 25
_MOUNT_OPTION = re.compile(r"--mount=\S+\s*")


def run_step(argv: Sequence[str], progress: Progress, log: Path) -> None:
    """Run the program to its end, its output going to `log`; while it lasts, its latest line is shown now and then.

    Raises:
        BuildError: it failed; shows its last words and names the log.
    """
    last_words: deque[str] = deque(maxlen=_LAST_WORDS)
    with (
        log.open("w") as log_file,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child,
    ):
        assert child.stdout is not None
        for line in _lines(child.stdout.fileno(), progress, last_words):
            log_file.write(line + "\n")
            last_words.append(line)
    if child.returncode != 0:
        said = "\n".join(f"  {line}" for line in last_words)
        raise BuildError(f"`{' '.join(argv[:4])} …` ended with {child.returncode}; whole output in {log}:\n{said}")


def _lines(descriptor: int, progress: Progress, last_words: Sequence[str]) -> Iterator[str]:
    pending = b""
    while True:
        readable, _, _ = select.select([descriptor], [], [], 1)
        progress.beat(f"  … {_brief(last_words[-1])}" if last_words else "  …")
        if not readable:
            continue
        chunk = os.read(descriptor, 65536)
        *lines, pending = (pending + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
        if not chunk:
            if pending:
                yield pending.decode(errors="replace")
            return


def _brief(line: str) -> str:
    return " ".join(_MOUNT_OPTION.sub("", line).split())[:100]
