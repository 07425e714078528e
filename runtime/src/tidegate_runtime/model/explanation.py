"""What of ONNX Runtime's words goes on to people: its finding, without its source lines and the host's paths. Pure."""

import re
from typing import Final

LIMIT: Final = 300
"""Characters that are passed on."""

_SOURCE_LINE: Final = re.compile(r"(?:/\S*/)?\w+\.(?:cc|h|cu|cuh|hpp|cpp):\d+ (?:.*?\) (?=\[|[A-Z])|\w+ )", re.DOTALL)
"""The file, the line and the function that threw, with its parameters or, in newer throws, by its name alone."""
_STATUS: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PREFIX: Final = re.compile(r"(?:Load model from .*? failed:|Exception during initialization: )")
_MEMORY: Final = re.compile(
    r"bad_alloc|[Ff]ailed to allocate memory|[Oo]ut of memory|Cannot allocate memory"
    r"|Available memory of \d+ is smaller than requested"  # bfc_arena.cc, at the arena's limit
    r"|ALLOC(?:ATION)?_FAILED"  # cuBLAS and cuDNN, by their status' name
)
_SIZE: Final = re.compile(r"(?:buffer of size|requested bytes of) (\d+)")


def finding(text: str, directory: str = "") -> str:
    """The first line of ONNX Runtime's message that says something, at most 300 characters, without control characters.

    `directory`, where the model lies as an absolute path, is taken out wherever it is named.
    """
    for pattern in (_PREFIX, _SOURCE_LINE, _STATUS):
        text = pattern.sub("", text)
    if len(directory) > 1:
        text = text.replace(directory + "/", "").replace(directory, "the model's directory")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return printable(lines[0] if lines else "no reason given")


def memory_shortage(text: str) -> str | None:
    """How much memory was asked for in vain, in words; None if the message is about anything else."""
    if not _MEMORY.search(text):
        return None
    size = _SIZE.search(text)
    return f"a buffer of {size[1]} bytes can't be had" if size else "memory can't be had"


def printable(text: str, limit: int = LIMIT) -> str:
    """At most `limit` characters of a text that a model's author chose; control characters come out escaped."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[:limit])
    return shown if len(shown) <= limit and len(text) <= limit else shown[: limit - 1] + "…"
