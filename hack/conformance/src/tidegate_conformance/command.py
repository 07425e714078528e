"""The command line."""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tidegate_conformance import checks
from tidegate_conformance.check import ALL, Check, Level
from tidegate_conformance.models.repository import write_repository
from tidegate_conformance.report import print_report, to_json, to_junit
from tidegate_conformance.run import Result, Verdict, run
from tidegate_conformance.serving import Command, LocalServers
from tidegate_conformance.subject import Subjects
from tidegate_conformance.target import Endpoint, OneServer, Target, read_endpoints

app = typer.Typer(name="tidegate-conformance", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
COMMANDS = ("check", "list", "models", "onnx-nodes", "serve")
"""The first word of a command line; where it is none of them, `check` is meant."""

Only = Annotated[list[str] | None, typer.Option(help="Only checks whose id begins with or matches this; repeatable.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all results there, as JSON.")]
JunitFile = Annotated[Path | None, typer.Option("--junit", help="Write all results there, as JUnit's XML.")]
ClientsPython = Annotated[str, typer.Option(help="Python that has the real clients, which clients.txt lists.")]
FailOn = Annotated[list[Level] | None, typer.Option(help="Levels whose failures make the exit code 1; default: all.")]

checks.load()


@app.command("check")
def check_server(  # noqa: PLR0913, PLR0917 -- one parameter per option is how typer reads them
    url: Annotated[str, typer.Argument(help="The server's REST side; left out if --endpoints is given.")] = "",
    grpc: Annotated[str, typer.Option(help="host:port of its gRPC side.")] = "",
    admin: Annotated[str, typer.Option(help="URL of what administers it, which may be the same as URL.")] = "",
    endpoints: Annotated[Path | None, typer.Option(help="JSON file: model to its server's rest, grpc, admin.")] = None,
    only: Only = None,
    json: JsonFile = None,
    junit: JunitFile = None,
    fail_on: FailOn = None,
    clients_python: ClientsPython = sys.executable,
) -> None:
    """Check the server at URL. It should have the models that `models` writes; what needs an absent one is skipped."""
    if bool(url) == bool(endpoints):
        raise typer.BadParameter("give either URL or --endpoints")
    target = read_endpoints(endpoints) if endpoints else OneServer(Endpoint(url, grpc, admin))
    _report(_run(target, _chosen(only), clients_python), json, junit, fail_on)


@app.command("serve")
def check_command(
    command: Annotated[
        str,
        typer.Argument(help="A server's command with {repository}, or {path}, {name}, {version}; {port}, …"),
    ],
    admin_on_data_port: Annotated[
        bool, typer.Option("--admin-on-data-port", help="COMMAND administers on its data ports, which are asked.")
    ] = False,
    only: Only = None,
    json: JsonFile = None,
    junit: JunitFile = None,
    fail_on: FailOn = None,
    clients_python: ClientsPython = sys.executable,
) -> None:
    """Start COMMAND on the known models, one process for all or one each, and check it.

    Further places: {grpc_port} and {admin_port}, for what the command serves there.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-conformance-")))
        write_repository(folder / "models")
        target = stack.enter_context(LocalServers(Command(command, admin_on_data_port), folder / "models", folder))
        results = _run(target, _chosen(only), clients_python)
    _report(results, json, junit, fail_on)


@app.command("onnx-nodes")
def check_nodes(
    command: Annotated[
        str,
        typer.Argument(help="A server's command with {repository} and {admin_port}, or {path}, {name}; {port}, …"),
    ],
    size: Annotated[int, typer.Option("--sample", min=0, help="How many, those that differ most; 0: all.")] = 60,
    only: Annotated[str, typer.Option(help="Only cases whose name matches this.")] = "*",
    json: JsonFile = None,
    junit: JunitFile = None,
) -> None:
    """Send onnx's tests of single operators to COMMAND, alone and batched, and compare with ONNX Runtime bit by bit.

    With {repository}, one process loads and unloads the models; else there is one for each.
    """
    from tidegate_conformance.nodes.sending import send_cases  # noqa: PLC0415 -- needs the extra `nodes`

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-conformance-")))
        status = stack.enter_context(Console(stderr=True).status(""))
        sent = send_cases(Command(command), folder, size, only, lambda result: status.update(_line(result)))
        counts = sent.counts()
    typer.echo(counts)
    _report(sent.results, json, junit, None)


def _line(result: Result) -> str:
    return f"{result.check.id}: {result.verdict}"


@app.command("models")
def write_models(folder: Annotated[Path, typer.Argument(help="The model repository; made if it isn't there.")]) -> None:
    """Write the known models as <name>/<version>/model.onnx."""
    for path in write_repository(folder):
        typer.echo(path)


@app.command("list")
def list_checks(only: Only = None) -> None:
    """Print the checks: id, level, source, title."""
    for found in _chosen(only):
        typer.echo(f"{found.id}\t{found.level}\t{found.source}\t{found.title}")


def _chosen(only: Sequence[str] | None) -> list[Check]:
    patterns = only or ["*"]
    chosen = [
        found
        for found in ALL.values()
        if any(
            found.id == pattern or found.id.startswith(f"{pattern}.") or fnmatchcase(found.id, pattern)
            for pattern in patterns
        )
    ]
    if not chosen:
        raise typer.BadParameter(f"no check is called {' or '.join(patterns)}; `list` prints them")
    return chosen


def _run(target: Target, chosen: Sequence[Check], clients_python: str) -> list[Result]:
    progress = Console(stderr=True)
    subjects = Subjects(target, clients_python)
    with progress.status("") as status:
        try:
            return run(chosen, subjects, lambda result: status.update(_line(result)))
        finally:
            subjects.close()


def _report(results: list[Result], json: Path | None, junit: Path | None, fail_on: Sequence[Level] | None) -> None:
    """Prints and writes the results and exits: 0 all well, 1 failures, 2 if nothing could be checked."""
    print_report(results, Console(highlight=False))
    if json is not None:
        json.write_text(to_json(results))
    if junit is not None:
        junit.write_text(to_junit(results))
    if all(result.verdict is Verdict.SKIPPED for result in results):
        raise typer.Exit(2)
    failed = [result for result in results if result.verdict is Verdict.FAILED]
    if any(result.check.level in (fail_on or Level) for result in failed):
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line; `tidegate-conformance URL` is short for `tidegate-conformance check URL`."""
    words = sys.argv[1:]
    if words and words[0] not in COMMANDS and words[0] not in ("--help", "-h"):
        words = ["check", *words]
    app(words)
