"""Writes the table of docs/evidence.md: what the analysis finds, and how often it is wrong."""

import argparse
import sys
from pathlib import Path

from power.simulation import Case, Outcome, simulate

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
BEGIN, END = "<!-- made by `make power` -->\n", "<!-- until here -->\n"
LOOKS = 24

NOT_TO_BE_FOUND = (
    *(Case(f"equal, times of CV {cv:g}", LOOKS, variation=cv) for cv in (0.15, 0.3, 0.5, 0.7, 1.0)),
    Case("equal, 5 in 100 of both fail", LOOKS, stable_errors=0.05, canary_errors=0.05),
    Case("equal, both twice as slow from the 12th window on", LOOKS, slump=12),
    Case("exactly as slow as it may be: +20 %, CV 0.15", LOOKS, variation=0.15, slower=0.2),
    Case("exactly as slow as it may be: +20 %, CV 0.3", LOOKS, slower=0.2),
    Case("1 ms later, of a model of 1 to 2 ms, CV 0.3", LOOKS, mean_ms=1.0, later_ms=1.0),
    Case("exactly as slow as it may be: 2 ms later, of a model of 1 to 2 ms, CV 0.3", LOOKS, mean_ms=1.0, later_ms=2.0),
    Case("fails exactly as much as it may: 1.1 in 100", LOOKS, canary_errors=0.011),
)
TO_BE_FOUND = (
    (3, Case("+30 %, CV 0.15", LOOKS, variation=0.15, slower=0.3)),
    (10, Case("+30 %, CV 0.3", LOOKS, slower=0.3)),
    (3, Case("+50 %, CV 0.3", LOOKS, slower=0.5)),
    (3, Case("4 ms later, of a model of 1 to 2 ms, CV 0.3", LOOKS, mean_ms=1.0, later_ms=4.0)),
    (3, Case("fails 5 in 100 more", LOOKS, canary_errors=0.051)),
)
NOT_PROMISED = (
    Case("fails 2 in 100 more", LOOKS, canary_errors=0.021),
    Case("+30 %, exponential (CV 1)", LOOKS, variation=1.0, slower=0.3),
    Case("+100 %, exponential (CV 1)", LOOKS, variation=1.0, slower=1.0),
    Case("+30 %, CV 0.3, at a hundredth of the traffic", LOOKS, slower=0.3, canary_requests=30, stable_requests=2970),
)


def rows(runs: int, seed: int) -> list[str]:
    """The table's lines, of so many canaries a line."""
    lines = [
        f"Of {runs} canaries each, by 300 requests of the canary and 2,700 of stable's in each window, if not said",
        "otherwise, `analysis` as by default (+20 % and 2 ms, +1 %), models of 20 to 40 ms, at most 24 windows:",
        "",
        "| the canary is | wanted | rolled back | half of them by window |",
        "| --- | --- | --- | --- |",
    ]
    cases = [
        *(("at most 1 in 100", LOOKS, case) for case in NOT_TO_BE_FOUND),
        *((f"within {within} windows", within, case) for within, case in TO_BE_FOUND),
        *(("nothing is promised", LOOKS, case) for case in NOT_PROMISED),
    ]
    for number, (wanted, within, case) in enumerate(cases):
        outcome = simulate(case, runs, seed + number)
        lines.append(_row(case, wanted, within, outcome))
        print(lines[-1], file=sys.stderr)
    return lines


def _row(case: Case, wanted: str, within: int, outcome: Outcome) -> str:
    median = outcome.median()
    told = f"{100 * outcome.share(within):.1f} %" + (f" within {within}" if within < LOOKS else "")
    return f"| {case.name} | {wanted} | {told} | {'–' if median is None else f'{median:.0f}'} |"


def main() -> None:
    """Simulate, and write the table into docs/evidence.md."""
    parser = argparse.ArgumentParser(prog="make power", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="canaries of each kind (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = "\n".join(rows(given.runs, given.seed))
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
