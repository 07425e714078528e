"""What a check is, and the list of all of them in the order in which they are declared."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidegate_conformance.subject import Subject

Run = Callable[["Subject"], None]


class Level(StrEnum):
    """Who says that it must be so."""

    REQUIRED = "required"
    """The specification, of every server that speaks the protocol."""

    EXTENSION = "extension"
    """The document of an extension, of servers that name it in their metadata or otherwise offer it."""

    ROBUSTNESS = "robustness"
    """Us: the exact answer to input that is wrong, which the specification leaves open."""


class Wire(StrEnum):
    """The port that a check needs."""

    REST = "rest"
    GRPC = "grpc"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` gets a known model on the server and raises `Mismatch` or `Skip`."""

    id: str
    title: str
    source: str
    level: Level
    model: str
    wire: Wire
    extension: str
    run: Run

    @property
    def area(self) -> str:
        """What the report groups by: the id without its last part."""
        return self.id.rpartition(".")[0]


ALL: Final[dict[str, Check]] = {}


def check(
    name: str,
    source: str,
    *,
    level: Level = Level.REQUIRED,
    model: str = "add_sub",
    wire: Wire = Wire.REST,
    extension: str = "",
    title: str = "",
) -> Callable[[Run], Run]:
    """Declares the function below as the check `name`; its docstring is the title unless one is given.

    `extension` names what the server's metadata must list for the check to be made.
    """

    def declare(run: Run) -> Run:
        if name in ALL:
            raise ValueError(f"two checks are called {name}")
        ALL[name] = Check(name, title or (run.__doc__ or "").strip(), source, level, model, wire, extension, run)
        return run

    return declare
