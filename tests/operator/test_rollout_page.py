"""docs/rollouts.md holds the table of transitions that the state machine really makes."""

import os
from pathlib import Path

from tidegate_operator.rollout.machine import step
from tidegate_operator.rollout.state import Situation

from .test_rollout_transitions import CASES, Case

PAGE = Path(__file__).parents[2] / "docs" / "rollouts.md"
BEGIN, END = "<!-- transitions -->\n", "<!-- /transitions -->\n"


def row(name: str, case: Case) -> str:
    situation = Situation(case.target, case.sees, case.request, case.analysis, case.kept, case.update)
    after = step(case.state, case.rollout, case.scaling, situation, case.at).state
    weights = f"{case.state.weight} → {after.weight}" if case.state.weight != after.weight else f"{after.weight}"
    asked = f"`{case.request.action}`" if case.request else ""
    return f"| {name} | {case.state.phase} | {asked} | {after.phase} | {weights} |\n"


def test_the_page_holds_every_transition() -> None:
    table = "| | from | request | to | canary's weight |\n| --- | --- | --- | --- | --- |\n"
    table += "".join(row(name, case) for name, case in CASES.items())
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, behind = rest.partition(END)
    wanted = f"{before}{BEGIN}{table}{END}{behind}"
    if os.environ.get("TIDEGATE_WRITE_PAGES"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, "run `make pages`"
