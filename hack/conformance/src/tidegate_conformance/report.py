"""Results for people (a table by area) and for machines (JSON, JUnit)."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidegate_conformance.run import Result, Verdict


def print_report(results: Sequence[Result], console: Console) -> None:
    """The failures in full, the reasons of what was skipped, and the counts."""
    for result in results:
        if result.verdict is Verdict.FAILED:
            console.print(f"[bold red]FAILED[/] [bold]{result.check.id}[/] ({result.check.level})")
            console.print(f"  {escape(result.check.title)}", f"  [dim]{escape(result.check.source)}[/]", sep="\n")
            console.print(f"  {escape(result.detail)}")
            if result.exchange:
                console.print(f"[dim]{escape(result.exchange)}[/]")
    reasons = Counter(result.detail for result in results if result.verdict is Verdict.SKIPPED)
    for reason, count in reasons.most_common():
        console.print(f"[yellow]skipped[/] {count:4}  {escape(reason)}", soft_wrap=True)
    console.print(_table(results))
    console.print(summary(results))


def summary(results: Sequence[Result]) -> str:
    """One line: how many of each."""
    counts = Counter(result.verdict for result in results)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict) + f" of {len(results)} checks"


def _table(results: Sequence[Result]) -> Table:
    table = Table("area", *Verdict, box=None, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    areas: dict[str, Counter[Verdict]] = {}
    for result in results:
        areas.setdefault(result.check.area, Counter())[result.verdict] += 1
    for area, counts in sorted(areas.items()):
        failed = f"[bold red]{counts[Verdict.FAILED]}[/]" if counts[Verdict.FAILED] else "0"
        table.add_row(area, str(counts[Verdict.PASSED]), failed, str(counts[Verdict.SKIPPED]))
    return table


def to_json(results: Sequence[Result]) -> str:
    """All results as a JSON document."""
    counts = Counter(result.verdict.value for result in results)
    document: dict[str, Any] = {"counts": counts, "checks": [_entry(result) for result in results]}
    return json.dumps(document, indent=1, ensure_ascii=False)


def _entry(result: Result) -> dict[str, Any]:
    check = result.check
    entry = {
        "id": check.id,
        "title": check.title,
        "source": check.source,
        "level": check.level.value,
        "model": check.model,
        "verdict": result.verdict.value,
        "seconds": round(result.seconds, 4),
        "detail": result.detail,
        "exchange": result.exchange,
    }
    return {key: value for key, value in entry.items() if value != ""}


def to_junit(results: Sequence[Result]) -> str:
    """All results as a JUnit test suite."""
    counts = Counter(result.verdict for result in results)
    suite = ET.Element(
        "testsuite",
        name="tidegate-conformance",
        tests=str(len(results)),
        failures=str(counts[Verdict.FAILED]),
        skipped=str(counts[Verdict.SKIPPED]),
    )
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname=result.check.area, name=result.check.id, time=f"{result.seconds:.4f}"
        )
        if result.verdict is Verdict.FAILED:
            failure = ET.SubElement(case, "failure", message=_xml(result.detail), type=result.check.level.value)
            failure.text = _xml(f"{result.check.title}\n{result.check.source}\n{result.exchange}")
        elif result.verdict is Verdict.SKIPPED:
            ET.SubElement(case, "skipped", message=_xml(result.detail))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _xml(text: str) -> str:
    """`text` without the control characters that XML has no way to hold."""
    return "".join(char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
