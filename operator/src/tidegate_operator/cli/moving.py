"""The command that moves manifests in from KServe."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tidegate_operator.cli.conversion import Conversion
from tidegate_operator.cli.conversion import convert as converted
from tidegate_operator.cli.desk import Desk
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.running import command

_TOLD = {"essential": "essential", "lost": "not carried over", "noted": "note"}


async def convert(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="KServe's manifest; - for standard input.")],
    strict: Annotated[bool, typer.Option("--strict", help="Fail if anything can't be carried over as it is.")] = False,
) -> None:
    """Turn KServe InferenceServices into ours; what can't be carried over is told on standard error."""
    done = [converted(document) for document in _documents(_text(file))]
    if not done:
        raise Stop(f"{file}: there is no document in it", Code.USAGE)
    for conversion in done:
        _tell(desk, conversion)
    manifests = [conversion.manifest for conversion in done if conversion.manifest]
    if desk.place.output == "json":
        desk.show({"apiVersion": "v1", "kind": "List", "items": manifests}, "")
    elif manifests:
        typer.echo(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True), nl=False)
    told = {note.gravity for conversion in done for note in conversion.notes}
    if "essential" in told or (strict and "lost" in told):
        raise typer.Exit(Code.FAILED)


def _tell(desk: Desk, conversion: Conversion) -> None:
    for note in conversion.notes:
        desk.say(f"{conversion.name}: {note.field}: {_TOLD[note.gravity]}: {note.reason}")


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{file}: {error}", Code.USAGE) from error


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """The documents of a YAML or JSON text; those of a List one by one."""
    try:
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise Stop(f"not YAML: {error}", Code.USAGE) from error
    for document in found:
        listed = isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List")
        for entry in document.get("items") or [] if listed else [document]:
            if not isinstance(entry, Mapping):
                raise Stop(f"a document that is no object: {str(entry)[:80]!r}", Code.USAGE)
            yield entry


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(command(convert))
