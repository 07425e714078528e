import os
import sys
from pathlib import Path

import pytest

from bench import interpreter


def _python(folder: Path, seconds: float) -> Path:
    """A Python of version 0.0 in a folder of its own, its own base, whose loop takes so long by its word."""
    folder.mkdir()
    python = folder / "python0.0"
    python.write_text(f'#!/bin/sh\ncase "$2" in *_base_executable*) echo {python};; *) echo {seconds};; esac\n')
    python.chmod(0o755)
    return python


def test_of_two_builds_the_faster_one_is_taken_wherever_it_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = _python(tmp_path / "slow", 0.3), _python(tmp_path / "fast", 0.2)
    for order in ((slow, fast), (fast, slow)):
        monkeypatch.setenv("PATH", os.pathsep.join(str(python.parent) for python in order))
        interpreter.fastest.cache_clear()
        assert interpreter.fastest("0.0") == fast


def test_the_loop_tells_how_long_it_took() -> None:
    assert 0 < interpreter.loop_seconds(Path(sys.executable)) < 60


def test_a_link_and_an_executable_that_fails_are_no_further_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = _python(tmp_path / "only", 1.0)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "python0.0").symlink_to(only)
    (tmp_path / "failing").mkdir()
    failing = tmp_path / "failing" / "python0.0"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)
    folders = ("failing", "linked", "only", "missing")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in folders))
    interpreter.fastest.cache_clear()
    assert interpreter.fastest("0.0") == only


def test_a_version_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(interpreter, "UV", tmp_path / "uv")
    (tmp_path / "uv").write_text("#!/bin/sh\necho 'nothing found' >&2\nexit 2\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    interpreter.fastest.cache_clear()
    with pytest.raises(LookupError, match=r"no Python 0\.0: nothing found"):
        interpreter.fastest("0.0")
