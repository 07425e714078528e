"""The library's build: from whole sources alone, by whichever compiler there is, and without one."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[2] / "runtime" / "nghttp2"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", PACKAGE / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_vendored_file_that_was_changed_is_refused(build: ModuleType, tmp_path: Path) -> None:
    vendor = tmp_path / "nghttp2"
    shutil.copytree(PACKAGE / "vendor" / "nghttp2", vendor)
    build.verify(vendor)
    with (vendor / "lib" / "nghttp2_hd.c").open("a") as source:
        source.write("\n")
    with pytest.raises(RuntimeError, match=r"nghttp2_hd\.c is not the file of SHA256SUMS"):
        build.verify(vendor)


def test_the_digests_are_of_every_source(build: ModuleType) -> None:
    vendor = PACKAGE / "vendor" / "nghttp2"
    listed = {line.split()[1] for line in (vendor / "SHA256SUMS").read_text().splitlines()}
    there = {f"./{path.relative_to(vendor)}" for path in vendor.rglob("*") if path.is_file()}
    assert listed == there - {"./SHA256SUMS"}


def test_the_compiler_is_the_one_that_is_named(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "some cc --flag")
    assert build.find_compiler() == ["some", "cc", "--flag"]


def test_there_may_be_no_compiler(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.find_compiler() is None


@pytest.mark.parametrize("compiler", [["no-such-program"], ["false"]])
def test_a_compiler_that_fails_tells_why(build: ModuleType, compiler: list[str], tmp_path: Path) -> None:
    assert compiler[0] in build.compile_library(compiler, PACKAGE, tmp_path / "library.so")
    assert not (tmp_path / "library.so").exists()
