"""The last word of a command, where Kubernetes picks it up: why it can't go on, or what came of it."""

import json
import logging
import os
from pathlib import Path
from typing import Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import TERMINATION_LOG, TERMINATION_LOG_ENV

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 4096
"""What the kubelet keeps of a termination message."""


def report(failure: StartupFailure) -> None:
    """Logs the failure and writes it to the termination log, if there is one: a file that the kubelet has mounted."""
    logger.error("can't go on", extra={"reason": failure.reason.value, "detail": failure.message})
    _write(message(failure))


def tell_fetched(sha256: str) -> None:
    """Writes to the termination log which model was fetched, so that later pods can be held to the same."""
    _write(json.dumps({"sha256": sha256}))


def _write(text: str) -> None:
    path = Path(os.environ.get(TERMINATION_LOG_ENV, TERMINATION_LOG))
    if not path.exists():
        return
    try:
        path.write_text(text)
    except OSError as error:
        logger.warning("termination log not written", extra={"error": str(error)})


def message(failure: StartupFailure) -> str:
    """The failure as JSON of at most 4,096 bytes, in ASCII, so that a cut never falls into a character."""
    text = failure.message
    while True:
        line = json.dumps({"reason": failure.reason.value, "message": text})
        if len(line) <= MAX_BYTES:
            return line
        text = text[: len(text) - max(1, (len(line) - MAX_BYTES) // 6)]
