"""The native libraries' builds: from whole sources alone, by whichever compiler there is, and without one."""

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
NGHTTP2 = RUNTIME / "nghttp2"
NUMBERS = RUNTIME / "numbers"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build() -> ModuleType:
    return loaded(RUNTIME / "hatch_build.py")


def config_of(package: Path) -> dict[str, Any]:
    hooks = tomllib.loads((package / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    config: dict[str, Any] = hooks["hooks"]["custom"]
    return config


def test_a_vendored_file_that_was_changed_is_refused(build: ModuleType, tmp_path: Path) -> None:
    vendor = tmp_path / "nghttp2"
    shutil.copytree(NGHTTP2 / "vendor" / "nghttp2", vendor)
    build.verify(vendor)
    with (vendor / "lib" / "nghttp2_hd.c").open("a") as source:
        source.write("\n")
    with pytest.raises(RuntimeError, match=r"nghttp2_hd\.c is not the file of SHA256SUMS"):
        build.verify(vendor)


def test_the_digests_are_of_every_source() -> None:
    vendor = NGHTTP2 / "vendor" / "nghttp2"
    listed = {line.split()[1] for line in (vendor / "SHA256SUMS").read_text().splitlines()}
    there = {f"./{path.relative_to(vendor)}" for path in vendor.rglob("*") if path.is_file()}
    assert listed == there - {"./SHA256SUMS"}


def test_the_powers_of_five_are_what_integer_arithmetic_makes_of_them() -> None:
    assert (NUMBERS / "c" / "powers.h").read_text() == loaded(NUMBERS / "c" / "powers.py").header()


def test_the_compiler_is_the_one_that_is_named(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "some cc --flag")
    assert build.find_compiler() == ["some", "cc", "--flag"]


def test_there_may_be_no_compiler(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.find_compiler() is None


@pytest.mark.parametrize("package", [NGHTTP2, NUMBERS], ids=lambda package: package.name)
@pytest.mark.parametrize("compiler", [["no-such-program"], ["false"]])
def test_a_compiler_that_fails_tells_why(build: ModuleType, package: Path, compiler: list[str], tmp_path: Path) -> None:
    why = build.compile_library(compiler, package, config_of(package), tmp_path / "library.so")
    assert compiler[0] in why
    assert not (tmp_path / "library.so").exists()
