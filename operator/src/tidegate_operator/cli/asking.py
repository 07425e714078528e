"""The commands that ask something of a rollout, by a request in its status."""

import uuid
from typing import Annotated

import typer
from rich.text import Text

from tidegate_operator.api.status import AnsweredRequest
from tidegate_operator.cli import exchange
from tidegate_operator.cli.desk import Desk
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.options import Name, NoWait, Revision, Timeout, seconds_of
from tidegate_operator.cli.requests import Wish, compose, told
from tidegate_operator.cli.running import command
from tidegate_operator.cli.service import understand
from tidegate_operator.cli.words import plain


async def promote(
    desk: Desk,
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Skip the steps that are left: to all requests.")] = False,
    step: Annotated[
        int | None, typer.Option("--step", min=0, max=20, help="Only if the rollout is in this step, from 0.")
    ] = None,
    revision: Revision = None,
    no_wait: NoWait = False,
    timeout: Timeout = "30s",
) -> None:
    """Let the canary go on to the next step, or to all requests."""
    await _ask(desk, name, Wish("Promote", revision, step, full), timeout, wait=not no_wait)


async def abort(
    desk: Desk, name: Name, revision: Revision = None, no_wait: NoWait = False, timeout: Timeout = "30s"
) -> None:
    """Take all requests from the canary at once; it isn't tried again until the spec changes, or by a retry."""
    await _ask(desk, name, Wish("Abort", revision), timeout, wait=not no_wait)


async def pause(
    desk: Desk, name: Name, revision: Revision = None, no_wait: NoWait = False, timeout: Timeout = "30s"
) -> None:
    """Keep the canary at its share, until a resume or a promote."""
    await _ask(desk, name, Wish("Pause", revision), timeout, wait=not no_wait)


async def resume(
    desk: Desk, name: Name, revision: Revision = None, no_wait: NoWait = False, timeout: Timeout = "30s"
) -> None:
    """Let a paused canary go on."""
    await _ask(desk, name, Wish("Resume", revision), timeout, wait=not no_wait)


async def rollback(
    desk: Desk,
    name: Name,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="REVISION", help="The revision to go back to; left out, the previous one."),
    ] = None,
    no_wait: NoWait = False,
    timeout: Timeout = "30s",
) -> None:
    """Make a revision that was stable before stable again."""
    await _ask(desk, name, Wish("Rollback", to), timeout, wait=not no_wait)


async def retry(
    desk: Desk, name: Name, revision: Revision = None, no_wait: NoWait = False, timeout: Timeout = "30s"
) -> None:
    """Try the revision again that was aborted or rolled back."""
    await _ask(desk, name, Wish("Retry", revision), timeout, wait=not no_wait)


async def update(
    desk: Desk, name: Name, revision: Revision = None, no_wait: NoWait = False, timeout: Timeout = "30s"
) -> None:
    """Bring the stable revision to what this release of Tidegate makes of it, by a canary."""
    await _ask(desk, name, Wish("Update", revision), timeout, wait=not no_wait)


async def _ask(desk: Desk, name: str, wish: Wish, timeout: str, *, wait: bool) -> None:
    limit = seconds_of(timeout, "--timeout")
    async with desk.cluster() as cluster:
        service = understand(await cluster.service(name))
        request = compose(service, wish, str(uuid.uuid4()))
        desk.say(told(service, request))
        await exchange.write(cluster, name, wish, request, limit)
        if not wait:
            desk.show(request, Text(f"asked, with id {request.id}"))
            return
        found = await exchange.answer(cluster, name, request.id, limit)
    if found.answered is None:
        raise Stop("another request took its place before it was answered; kubectl tidegate status shows which")
    desk.show(found.answered, _readable(found.answered))
    if not found.answered.accepted:
        raise typer.Exit(Code.FAILED)


def _readable(answered: AnsweredRequest) -> Text:
    verdict = ("accepted", "green") if answered.accepted else ("refused", "red")
    return Text.assemble(verdict, f": {plain(answered.message)}")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for work in (promote, abort, pause, resume, rollback, retry, update):
        app.command()(command(work))
