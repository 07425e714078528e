"""The findings as a page of docs/benchmarks. Pure."""

import re
from collections.abc import Mapping, Sequence

from gpu.finding import Finding

_WORDS = {True: "yes", False: "**no**", None: "–"}


def page(card: str, machine: Mapping[str, str], findings: Sequence[Finding]) -> str:
    """Markdown."""
    lines = [f"# On {card}", "", "Written by `python -m gpu`. " + ", ".join(f"{k} {v}" for k, v in machine.items()), ""]
    lines += ["| check | holds | figures | detail |", "| --- | --- | --- | --- |"]
    for found in findings:
        figures = ", ".join(f"{name} {value:,.4g}" for name, value in found.figures.items())
        lines.append(f"| {found.name} | {_WORDS[found.passed]} | {figures} | {found.detail.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def file_name(card: str) -> str:
    """The page's name in docs/benchmarks."""
    return f"gpu-{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}.md"
