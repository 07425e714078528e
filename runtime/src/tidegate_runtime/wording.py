"""Names as messages show them: what a client sends is never repeated at whatever length."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

MAX_NAMES: Final = 16
MAX_NAME: Final = 64
"""Characters of a name."""


def quoted(names: Iterable[str]) -> str:
    """The first names in quotes, with commas between them, each cut to 64 characters; of the others how many.

    >>> quoted(["a", "b"])
    '"a", "b"'
    """
    left = iter(names)
    shown = [f'"{name}"' if len(name) <= MAX_NAME else f'"{name[:MAX_NAME]}…"' for name in islice(left, MAX_NAMES)]
    more = sum(1 for _ in left)
    return ", ".join(shown) + (f" and {more} more" if more else "")
