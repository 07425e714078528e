"""A model repository's directories, read into values: what is a version, what is chosen, what is refused and why."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.repository import checked_name, read_repository, read_stored_model, version_number


def lay_out(root: Path, files: Iterable[str]) -> Path:
    """The files, each with a byte; a path that ends in a slash is a directory."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("files", "versions", "ignored"),
    [
        pytest.param(["1/model.onnx"], [1], [], id="one"),
        pytest.param(["2/model.onnx", "10/model.onnx", "1/model.onnx"], [1, 2, 10], [], id="by number, not by text"),
        pytest.param(["1/model.onnx", "01/model.onnx"], [1], ["01"], id="a leading zero"),
        pytest.param(["1/model.onnx", "0/model.onnx", "-1/model.onnx"], [1], ["-1", "0"], id="none above 0"),
        pytest.param(["1/model.onnx", "v2/model.onnx", "².5/model.onnx"], [1], ["v2", "².5"], id="no numbers"),
        pytest.param(["1/model.onnx", "9999999999999999999/model.onnx"], [1], ["9" * 19], id="more than 18 digits"),
        pytest.param(["1/model.onnx", "2/other.onnx", "3/"], [1], ["2", "3"], id="without a model"),
        pytest.param(["1/model.onnx", "2/model.onnx/"], [1], ["2"], id="a directory for a model"),
        pytest.param(["1/model.onnx", "2", "labels.txt"], [1], ["2", "labels.txt"], id="files among them"),
        pytest.param(["1/model.onnx", "1/model.onnx_data"], [1], [], id="external data beside the model"),
    ],
)
def test_versions_are(files: list[str], versions: list[int], ignored: list[str], tmp_path: Path) -> None:
    lay_out(tmp_path / "m", files)
    model = read_stored_model(tmp_path, "m")
    assert [version.number for version in model.versions] == versions
    assert [version.directory for version in model.versions] == [tmp_path / "m" / str(number) for number in versions]
    assert [entry.name for entry in model.ignored] == ignored
    assert [version.number for version in model.wanted] == versions[-1:]


def test_the_policy_of_the_configuration_chooses(tmp_path: Path) -> None:
    lay_out(tmp_path / "m", ["1/model.onnx", "2/model.onnx", "3/model.onnx"])
    (tmp_path / "m" / "config.pbtxt").write_text('name: "m" version_policy { latest { num_versions: 2 } }')
    model = read_stored_model(tmp_path, "m")
    assert [version.number for version in model.wanted] == [2, 3]
    assert model.config is not None
    assert model.ignored == ()


@pytest.mark.parametrize(
    ("config", "reason", "message"),
    [
        pytest.param(b'name: "other"', "ModelInvalid", 'name is "other", its directory\'s is "m"', id="another name"),
        pytest.param(b'name: "\xff"', "ModelInvalid", "is not UTF-8", id="no text"),
        pytest.param(b"#" * ((1 << 20) + 1), "ModelInvalid", "at most 1048576 bytes", id="a large one"),
        pytest.param(b"optimization { }", "ModelInvalid", "optimization is not supported", id="an unknown field"),
        pytest.param(
            b"version_policy { specific { versions: [1, 4, 3] } }",
            "ModelNotFound",
            '"m" has no version 3, 4, which its version_policy names',
            id="versions that aren't there",
        ),
    ],
)
def test_a_configuration_is_refused_for(config: bytes, reason: str, message: str, tmp_path: Path) -> None:
    lay_out(tmp_path / "m", ["1/model.onnx"])
    (tmp_path / "m" / "config.pbtxt").write_bytes(config)
    with pytest.raises(StartupFailure, match=message) as failure:
        read_stored_model(tmp_path, "m")
    assert failure.value.reason == reason
    assert str(tmp_path) not in failure.value.message


def outside(tmp_path: Path) -> Path:
    """The root of a repository, with a model and a configuration beside it that don't belong to it."""
    lay_out(tmp_path, ["outside/1/model.onnx", "outside/config.pbtxt"])
    return lay_out(tmp_path / "root", ["m/1/model.onnx"])


def test_a_model_behind_a_link_that_leads_out_is_not_found(tmp_path: Path) -> None:
    root = outside(tmp_path)
    (root / "linked").symlink_to("../outside")
    with pytest.raises(StartupFailure, match='"linked" is no directory of the repository') as failure:
        read_stored_model(root, "linked")
    assert failure.value.reason == "ModelNotFound"


@pytest.mark.parametrize(
    ("link", "target", "why"),
    [
        pytest.param("2", "../../outside/1", "leads out of the repository, or nowhere", id="a version"),
        pytest.param("2", "2", "leads out of the repository, or nowhere", id="itself"),
        pytest.param("2/model.onnx", "../../../outside/1/model.onnx", "has no model.onnx inside", id="a model's file"),
    ],
)
def test_a_version_is_ignored_that_is_a_link_out_to(link: str, target: str, why: str, tmp_path: Path) -> None:
    root = outside(tmp_path)
    (root / "m" / link).parent.mkdir(exist_ok=True)
    (root / "m" / link).symlink_to(target)
    (ignored,) = read_stored_model(root, "m").ignored
    assert ignored.name == "2"
    assert why in ignored.why


def test_a_configuration_behind_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = outside(tmp_path)
    (root / "m" / "config.pbtxt").symlink_to("../../outside/config.pbtxt")
    with pytest.raises(StartupFailure, match="must be a file inside the repository"):
        read_stored_model(root, "m")


def test_a_configuration_that_is_a_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(outside(tmp_path) / "m" / "config.pbtxt")
    with pytest.raises(StartupFailure, match="must be a file inside the repository"):
        read_stored_model(tmp_path / "root", "m")


def test_links_within_the_repository_are_followed_as_kubernetes_lays_out_its_volumes(tmp_path: Path) -> None:
    lay_out(tmp_path, ["..2026_11_22/m/1/model.onnx"])
    (tmp_path / "..data").symlink_to("..2026_11_22")
    (tmp_path / "m").symlink_to("..data/m")
    repository = read_repository(tmp_path)
    assert [model.name for model in repository.models] == ["m"]
    assert [entry.name for entry in repository.ignored] == ["..2026_11_22", "..data"]


def test_one_bad_model_does_not_keep_the_others_from_being_found(tmp_path: Path) -> None:
    lay_out(tmp_path, ["b/1/model.onnx", "a/1/model.onnx", "bad/1/model.onnx", "empty/", "README.md", "odd name/1/"])
    (tmp_path / "bad" / "config.pbtxt").write_text("ensemble_scheduling { }")
    repository = read_repository(tmp_path)
    assert [model.name for model in repository.models] == ["a", "b"]
    reasons = {entry.name: entry.why for entry in repository.ignored}
    assert reasons["bad"].startswith("config.pbtxt: line 1: ensemble_scheduling is not supported")
    assert reasons["empty"] == '"empty" has no version'
    assert reasons["README.md"] == '"README.md" is no directory of the repository'
    assert "is no model's name" in reasons["odd name"]


def test_only_a_directory_with_a_version_or_a_configuration_is_meant_to_be_a_model(tmp_path: Path) -> None:
    files = ["a/1/model.onnx", "bad/1/", "odd/config.pbtxt", "docs/a.md", "README.md", "odd name/1/model.onnx"]
    lay_out(tmp_path, files)
    (tmp_path / "lost+found").mkdir(mode=0)  # of root alone, as ext4 makes it
    meant = {entry.name: entry.meant for entry in read_repository(tmp_path).ignored}
    assert meant == {
        "README.md": False,
        "bad": True,
        "docs": False,
        "lost+found": False,
        "odd": True,
        "odd name": False,
    }


def test_what_a_version_s_number_names_is_meant_to_be_one(tmp_path: Path) -> None:
    lay_out(tmp_path / "m", ["1/model.onnx", "2/other.onnx", "v3/model.onnx", "labels.txt"])
    ignored = read_stored_model(tmp_path, "m").ignored
    assert {entry.name: entry.meant for entry in ignored} == {"2": True, "labels.txt": False, "v3": False}


def test_a_root_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="absent can't be listed: No such file") as failure:
        read_repository(tmp_path / "absent")
    assert failure.value.reason == "ModelNotFound"


@pytest.mark.parametrize("name", ["m", "m-1", "BERT_base.v2+fp16", "_x", "a" * 128])
def test_a_name_is(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../m", "a/b", "a\\b", ".git", "a b", "a\n", "é", "a\0", "-x", "a" * 129, "a%2fb"]
)
def test_no_name_is(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, ["m/1/model.onnx"])
    with pytest.raises(StartupFailure, match="is no model's name") as failure:
        read_stored_model(tmp_path / "m", name)
    assert failure.value.message.isprintable()


@given(st.integers(1, 10**18 - 1))
def test_a_version_is_read_from_its_decimal_alone(number: int) -> None:
    assert version_number(str(number)) == number
    assert version_number(f"0{number}") is None
    assert version_number(f" {number}") is None
    assert version_number(f"{number}\n") is None


def test_digits_of_other_scripts_are_no_version() -> None:
    assert version_number("٣") is None
