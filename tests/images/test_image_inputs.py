from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.catalog import Image
from imagebuild.content import copy_inputs, digest_of, files_below, inputs_digest
from imagebuild.errors import BuildError

IMAGE = Image("sample", "Dockerfile", ("lock", "src"), target="app", arguments={"VARIANT": "cpu"})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "src" / "package").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM base\n")
    (root / "lock").write_text("a==1\n")
    (root / "src" / "package" / "__init__.py").write_text("")
    (root / "README").write_text("not built from\n")
    return root


def test_equal_trees_in_different_places_have_the_same_digest(checkout: Path, tmp_path: Path) -> None:
    copy_inputs(checkout, IMAGE, tmp_path / "copy")
    assert inputs_digest(tmp_path / "copy", IMAGE, "base:1") == inputs_digest(checkout, IMAGE, "base:1")


@pytest.mark.parametrize("path", ["Dockerfile", "lock", "src/package/__init__.py", "src/new.py"])
def test_a_file_that_the_image_is_built_from_changes_the_digest(checkout: Path, path: str) -> None:
    before = inputs_digest(checkout, IMAGE, "base:1")
    (checkout / path).write_text("changed\n")
    assert inputs_digest(checkout, IMAGE, "base:1") != before


@pytest.mark.parametrize(
    "path", ["README", "src/__pycache__/module.cpython-311.pyc", "src/package/stray.pyc", "src/package/made.so"]
)
def test_a_file_that_is_not_copied_leaves_the_digest(checkout: Path, path: str) -> None:
    before = inputs_digest(checkout, IMAGE, "base:1")
    (checkout / path).parent.mkdir(exist_ok=True)
    (checkout / path).write_text("changed\n")
    assert inputs_digest(checkout, IMAGE, "base:1") == before


def test_an_executable_bit_changes_the_digest(checkout: Path) -> None:
    before = inputs_digest(checkout, IMAGE, "base:1")
    (checkout / "lock").chmod(0o755)
    assert inputs_digest(checkout, IMAGE, "base:1") != before


@pytest.mark.parametrize(
    ("image", "base"),
    [
        pytest.param(IMAGE, "base:2", id="another base"),
        pytest.param(
            Image("sample", "Dockerfile", IMAGE.paths, "tool", IMAGE.arguments), "base:1", id="another target"
        ),
        pytest.param(
            Image("sample", "Dockerfile", IMAGE.paths, "app", {"VARIANT": "gpu"}), "base:1", id="another argument"
        ),
    ],
)
def test_what_the_build_is_told_changes_the_digest(checkout: Path, image: Image, base: str) -> None:
    assert inputs_digest(checkout, image, base) != inputs_digest(checkout, IMAGE, "base:1")


def test_only_what_the_image_is_built_from_is_copied(checkout: Path, tmp_path: Path) -> None:
    copy_inputs(checkout, IMAGE, tmp_path / "copy")
    copied = sorted(
        str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()
    )
    assert copied == ["Dockerfile", "lock", "src/package/__init__.py"]


def test_a_missing_file_is_named(checkout: Path) -> None:
    (checkout / "lock").unlink()
    with pytest.raises(BuildError, match="lock is missing"):
        list(files_below(checkout, IMAGE.paths))


def test_a_digest_is_twelve_hexadecimal_digits() -> None:
    # printf '1 1 a\nb' | sha256sum
    assert digest_of({"a": b"b"}) == "085b7212d0d0"


@given(st.dictionaries(st.text(), st.binary(), max_size=4), st.dictionaries(st.text(), st.binary(), max_size=4))
def test_different_parts_have_different_digests(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)
