"""Options and arguments that several commands share, and what they mean."""

from typing import Annotated

import typer

from tidegate_operator.api.schema import seconds
from tidegate_operator.cli.exits import Code, Stop

Name = Annotated[str, typer.Argument(metavar="NAME", help="The InferenceService.", show_default=False)]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", help="The revision that is meant, so that no other one is moved on; left out, the status'."
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Don't wait for the controller's answer.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the answer.")]


def seconds_of(duration: str, option: str) -> float:
    """The seconds of an option's duration, such as 30s or 10m; raises Stop if it is none."""
    try:
        return seconds(duration)
    except ValueError as error:
        raise Stop(f"{option}: {error}", Code.USAGE) from error
