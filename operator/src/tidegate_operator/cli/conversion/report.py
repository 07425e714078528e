"""What a conversion says of each field that it didn't carry over as it was."""

from dataclasses import dataclass
from typing import Any, Literal

from tidegate_operator.cli.conversion.fields import Fields, Path, written

Gravity = Literal["essential", "lost", "noted"]
"""essential: without it there is no service. lost: the service does without. noted: nothing is missed."""


@dataclass(frozen=True)
class Note:
    """One field, and what became of it."""

    field: str
    reason: str
    gravity: Gravity = "lost"


class Draft:
    """A conversion under way: the source's fields, the spec so far, and the notes."""

    def __init__(self, source: Fields) -> None:
        self.source = source
        self.spec: dict[str, Any] = {}
        self.notes: list[Note] = []

    def put(self, *path_and_value: Any) -> None:
        """Set a field of the spec, the last argument being its value."""
        *path, last, value = path_and_value
        node = self.spec
        for key in path:
            node = node.setdefault(key, {})
        node[last] = value

    def note(self, path: Path, reason: str, gravity: Gravity = "lost") -> None:
        """Tell what became of a field."""
        self.notes.append(Note(written(path), reason, gravity))

    def whole(self, path: Path) -> int | None:
        """The whole number at `path`, taken; None if there is none, and a note if there is something else."""
        value = self.source.take(*path)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self.note(path, f"{value!r} is no whole number", "essential")
            return None
        return value
