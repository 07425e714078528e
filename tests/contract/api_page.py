"""docs/api.md as data: its tables by heading, and what it sets in code letters."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()


def section(heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/api.md has no section {heading!r}"
    return found[1]


def table(heading: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    rows = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def code(text: str) -> list[str]:
    """What a text sets in code letters."""
    return re.findall(r"`([^`]+)`", text)
