"""One fetch from URI to final name."""

import logging
import re
import time
from pathlib import Path
from typing import Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch.download import download
from tidegate_runtime.fetch.incoming import Incoming
from tidegate_runtime.fetch.local import copy_file, copy_from_claim
from tidegate_runtime.fetch.progress import Progress
from tidegate_runtime.fetch.uri import FileSource, HttpSource, PvcSource, parse
from tidegate_runtime.naming import Reason

logger = logging.getLogger(__name__)

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def fetch_model(uri: str, directory: Path, *, expected_sha256: str, pvc_root: Path, max_bytes: int) -> str:
    """Brings the model to `directory`/model.onnx. An older file is replaced in one step, or left alone on failure.

    Returns its SHA-256. `expected_sha256` is 64 hex digits, or empty to take what comes. Raises `StartupFailure` with
    its reason.
    """
    if expected_sha256 and not _SHA256.fullmatch(expected_sha256):
        raise StartupFailure(Reason.DIGEST_MISMATCH, "the expected sha256 must be 64 hex digits")
    source = parse(uri)
    started = time.monotonic()
    with Incoming(directory, max_bytes, Progress(time.monotonic)) as incoming:
        match source:
            case HttpSource():
                download(source, incoming, time.sleep, time.monotonic)
            case FileSource():
                copy_file(source, incoming)
            case PvcSource():
                copy_from_claim(source, pvc_root, incoming)
        digest = incoming.commit(expected_sha256.lower())
        seconds = time.monotonic() - started
        logger.info("model fetched", extra={"bytes": incoming.received, "sha256": digest, "seconds": round(seconds, 3)})
        return digest
