"""What a command works at: the cluster it looks at, and the terminal, file or pipe it prints to."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import typer
import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tidegate_operator.cli.place import Place
from tidegate_operator.cli.words import plain

if TYPE_CHECKING:
    from tidegate_operator.cli.cluster import Cluster

_WIDE: Final = 2000
"""Columns where nobody looks at a terminal: lines in files and pipes are whole."""


class Desk:
    """A command's cluster and output."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.console = _console(stderr=False)
        self._aside = _console(stderr=True)

    @contextlib.asynccontextmanager
    async def cluster(self) -> AsyncIterator["Cluster"]:
        """The cluster that the options mean; raises `errors.OperatorError` if they mean none."""
        # The official client takes as long to import as all the rest: commands without a cluster do without.
        from tidegate_operator.cli.cluster import Cluster  # noqa: PLC0415

        kubeconfig = str(self.place.kubeconfig) if self.place.kubeconfig else None
        cluster = await Cluster.open(kubeconfig, self.place.context, self.place.namespace)
        try:
            yield cluster
        finally:
            await cluster.close()

    def show(self, data: object, readable: RenderableType) -> None:
        """Print a result: `data` as JSON or YAML if that was asked for, else `readable`."""
        match self.place.output:
            case "json":
                typer.echo(json.dumps(document(data), indent=2, ensure_ascii=False))
            case "yaml":
                typer.echo(yaml.safe_dump(document(data), sort_keys=False, allow_unicode=True), nl=False)
            case _:
                self.console.print(readable)

    def say(self, text: str) -> None:
        """Tell on standard error what goes on beside the result."""
        self._aside.print(Text(plain(text)))


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Rows under headings, in kubectl's manner."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True)
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def document(data: object) -> Any:
    """What JSON and YAML have for a result: fields in camelCase, times as Kubernetes writes them, nothing for None."""
    match data:
        case BaseModel():
            return data.model_dump(mode="json", by_alias=True, exclude_none=True)
        case datetime():
            return data.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case dict():
            return {key: document(value) for key, value in data.items()}
        case list() | tuple():
            return [document(entry) for entry in data]
    if is_dataclass(data) and not isinstance(data, type):
        told = ((to_camel(field.name), getattr(data, field.name)) for field in fields(data))
        return {name: document(value) for name, value in told if value is not None}
    return data


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console
