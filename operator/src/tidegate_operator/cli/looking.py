"""The commands that only look: status, list, history, explain."""

from typing import Annotated

import typer

from tidegate_operator.cli import overview, watching
from tidegate_operator.cli.desk import Desk, now, table
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.explanation import explain as findings_of
from tidegate_operator.cli.explanation.rendering import readable
from tidegate_operator.cli.options import Name, seconds_of
from tidegate_operator.cli.revision_history import Entry
from tidegate_operator.cli.revision_history import history as entries_of
from tidegate_operator.cli.running import command
from tidegate_operator.cli.service import understand
from tidegate_operator.cli.tree import tree
from tidegate_operator.cli.waiting import Goal
from tidegate_operator.cli.words import age, short


async def status(
    desk: Desk,
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again each second, with graphs.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when what --for names has come, or can't come.")] = False,
    goal: Annotated[
        Goal,
        typer.Option("--for", help="rollout: the spec's revision serves all requests. ready: callers are answered."),
    ] = "rollout",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait at most, such as 10m.")
    ] = "10m",
) -> None:
    """Show where a service stands: conditions, shares, pods, evidence, and what its rollout waits for."""
    limit = seconds_of(timeout, "--timeout")
    async with desk.cluster() as cluster:
        if not watch and not wait:
            found = understand(await cluster.service(name))
            desk.show(found.live, tree(found, now()))
            return
        if watch and desk.place.output not in (None, "table"):
            raise Stop("--watch draws; for a stream of objects use kubectl get isv -w -o json", Code.USAGE)
        await watching.follow(desk, cluster, name, goal if wait else None, limit if wait else None, drawn=watch)


async def list_services(
    desk: Desk,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
) -> None:
    """List the services, with their revisions, shares and pods."""
    async with desk.cluster() as cluster:
        rows = [overview.row(understand(live), now()) for live in await cluster.services(everywhere=everywhere)]
        if not rows:
            where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
            desk.say(f"no InferenceServices in {where}")
        columns, cells = overview.columns(everywhere=everywhere), [row.cells(everywhere=everywhere) for row in rows]
        desk.show({"items": rows}, table(columns, cells))


async def history(desk: Desk, name: Name) -> None:
    """List a service's revisions: what each ran, what became of it, and what it changed."""
    async with desk.cluster() as cluster:
        found = understand(await cluster.service(name))
        entries = entries_of(found, await cluster.records(name))
    rows = [_history_row(entry) for entry in entries]
    columns = ("NUMBER", "REVISION", "STATE", "AGE", "DIGEST", "MODEL", "CHANGED")
    desk.show({"items": entries}, table(columns, rows))


async def explain(
    desk: Desk,
    name: Name,
    install: Annotated[
        str, typer.Option("--install-namespace", envvar="TIDEGATE_NAMESPACE", help="Where Tidegate itself runs.")
    ] = "tidegate-system",
) -> None:
    """Tell what holds a service's rollout: since when, by which evidence, and the command that moves it on."""
    async with desk.cluster() as cluster:
        found = understand(await cluster.service(name))
        children = await cluster.children(name)
        lease = await cluster.lease(install)
    if children.hidden:
        desk.say(f"you may not list {', '.join(children.hidden)} here: what they would show is left out")
    objects = (*children.objects, lease) if lease else children.objects
    findings = findings_of(found.live, objects, now(), install)
    desk.show({"items": findings}, readable(found, findings, now()))


def _history_row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.number),
        entry.revision,
        entry.state,
        age(entry.created, now()),
        short(entry.sha256) if entry.sha256 else "–",
        entry.uri or "–",
        "; ".join(entry.changes) or "–",
    )


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(command(status))
    app.command("list")(command(list_services))
    app.command()(command(history))
    app.command()(command(explain))
