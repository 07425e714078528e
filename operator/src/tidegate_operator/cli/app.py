"""`kubectl-tidegate`, the command line; docs/kubectl.md is its page."""

import typer

from tidegate_operator.cli import asking, looking, moving
from tidegate_operator.cli.place import remember

app = typer.Typer(name="kubectl-tidegate", no_args_is_help=True, add_completion=False)
app.callback()(remember)
looking.register(app)
asking.register(app)
moving.register(app)
