"""The page, from the cases."""

import io

from rich.console import Console

from explained.cases import CASES, NOW, Situation
from tidegate_operator.cli.explanation import explain
from tidegate_operator.cli.explanation.rendering import readable
from tidegate_operator.cli.service import understand

_HEAD = """# What `kubectl tidegate explain` says

Each way in which a rollout can stand still, as `kubectl tidegate explain churn -n ml` tells it at 10:00. Made by
`make pages` from `hack/explained/cases.py`, and held to it by a test.

The first word of a finding says what holds: `gate`, a person, a pause or time; `sample`, what callers saw; `quota`,
room for pods; `route`, the routers; `condition`, anything else that has to become true. The second is its reason, which
scripts may rely on (`-o json`). The last line moves it on, or shows what has to be mended elsewhere.
"""


def page() -> str:
    """The text of docs/explain.md."""
    return "\n".join([_HEAD, *(_section(case) for case in CASES)])


def _section(case: Situation) -> str:
    findings = explain(case.live, case.children, NOW)
    console = Console(file=io.StringIO(), width=118, highlight=False, markup=False, emoji=False)
    console.print(readable(understand(case.live), findings, NOW))
    assert isinstance(console.file, io.StringIO)
    lines = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    return f"## {case.title}\n\n```\n{lines}\n```\n"
