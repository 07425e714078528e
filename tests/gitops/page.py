"""The table of docs/gitops.md: what each tool makes of what happens."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/gitops.md").read_text()


@dataclass(frozen=True)
class Row:
    """What each tool is to say."""

    kstatus: str
    flux: str
    argo_cd: str


def table() -> dict[str, Row]:
    """The rows by what happens."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]
    return {happens: Row(*said) for happens, *said in cells}
