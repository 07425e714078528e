"""docs/kubectl.md names every command, option and exit code that there is."""

import re
from pathlib import Path

from typer.testing import CliRunner

from tidegate_operator.cli.app import app
from tidegate_operator.cli.exits import Code

PAGE = (Path(__file__).parents[2] / "docs/kubectl.md").read_text()


def commands() -> set[str]:
    names = {info.name or getattr(info.callback, "__name__", "") for info in app.registered_commands}
    assert "" not in names
    return names


def test_the_page_has_every_command() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name.split()[0] for row in rows for name in re.findall(r"`([a-z]+ (?:NAME|FILE)|list)`", row)} == commands()


def test_the_page_has_every_option() -> None:
    for name in commands():
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).stdout
        options = set(re.findall(r"(?<![\w-])--[a-z-]+", shown)) - {"--help"}
        # The pairs that Typer makes of a flag aren't there: each flag is named as itself alone.
        assert not {option for option in options if option.startswith("--no-") and option != "--no-wait"}
        assert options <= set(re.findall(r"--[a-z-]+", PAGE)) | {"--all-namespaces", "--output"}, name


def test_the_page_has_every_exit_code() -> None:
    section = PAGE.split("## Exit codes")[1].split("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d) \|", section, re.MULTILINE)} == {code.value for code in Code}


def test_help_lists_the_commands_without_a_cluster() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in commands())
