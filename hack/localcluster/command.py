"""Running other programs to their end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import ClusterError


def output(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """What the program wrote to stdout.

    Raises:
        ClusterError: it isn't there or failed; shows its last words.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{words[0]}: no such program") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ClusterError(f"`{' '.join(words)}` ended with {done.returncode}:\n{said}")
    return done.stdout
