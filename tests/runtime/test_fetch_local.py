import os
from pathlib import Path, PurePosixPath

import pytest

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.fetch.fetcher import fetch_model
from tidegate_runtime.fetch.uri import FileSource, HttpSource, PvcSource, Source, parse


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A mounted claim: v1/model.onnx, v2/other.onnx beside a text, a link `latest` to v1, and links that lead out."""
    root = tmp_path / "claim"
    for name in ("v1/model.onnx", "v2/other.onnx", "v2/readme.txt", "many/a.onnx", "many/b.onnx"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "latest").symlink_to("v1")
    (tmp_path / "secret.onnx").write_text("secret")
    (root / "out.onnx").symlink_to("../secret.onnx")
    (root / "up").symlink_to("..")
    (root / "v3").mkdir()
    (root / "v3" / "m.onnx").symlink_to(tmp_path / "secret.onnx")
    return root


def fetch(uri: str, claim: Path, to: Path) -> str:
    fetch_model(uri, to, expected_sha256="", pvc_root=claim, max_bytes=1000)
    return (to / "model.onnx").read_text()


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        pytest.param("pvc://models/v1/model.onnx", "v1/model.onnx", id="a file"),
        pytest.param("pvc://models/v2", "v2/other.onnx", id="a directory with one model"),
        pytest.param("pvc://models/latest/model.onnx", "v1/model.onnx", id="a link within the claim"),
        pytest.param("pvc://models/v2/%6Fther.onnx", "v2/other.onnx", id="an encoded name"),
    ],
)
def test_from_a_claim_comes(uri: str, content: str, claim: Path, tmp_path: Path) -> None:
    assert fetch(uri, claim, tmp_path / "to") == content


@pytest.mark.parametrize(
    ("blocks", "left", "fetched"),
    [
        pytest.param(10, 3, False, id="too small for it"),
        pytest.param(10, 4, True, id="just large enough"),
        pytest.param(0, 0, True, id="of a size that isn't told"),
    ],
)
def test_row_18_a_volume_is(
    blocks: int, left: int, fetched: bool, claim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = os.statvfs_result((4, 4, blocks, blocks, left, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: volume)
    if fetched:
        assert fetch("pvc://models/v2", claim, tmp_path / "to") == "v2/other.onnx"
        return
    with pytest.raises(StartupFailure, match="the model has 13 bytes, its volume 12 left") as failure:
        fetch("pvc://models/v2", claim, tmp_path / "to")
    assert failure.value.reason == "ModelTooLarge"
    assert not list(tmp_path.glob("to/*"))


def test_from_a_file_uri_comes_the_file(claim: Path, tmp_path: Path) -> None:
    assert fetch(f"file://{claim}/v1/model.onnx", claim, tmp_path / "to") == "v1/model.onnx"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("nothing.onnx", "ModelNotFound", id="nothing"),
        pytest.param("many", "ModelNotFound", id="a directory with two models"),
        pytest.param("../secret.onnx", "ModelURIForbidden", id="a way up"),
        pytest.param("%2e%2e/secret.onnx", "ModelURIForbidden", id="an encoded way up"),
        pytest.param("out.onnx", "ModelURIForbidden", id="a link out"),
        pytest.param("up/secret.onnx", "ModelURIForbidden", id="a linked folder out"),
        pytest.param("v3", "ModelURIForbidden", id="a link out in a directory"),
    ],
)
def test_a_claim_does_not_give(path: str, reason: str, claim: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure) as failure:
        fetch(f"pvc://models/{path}", claim, tmp_path / "to")
    assert failure.value.reason == reason
    assert not list(tmp_path.glob("to/*"))


def test_a_claim_that_is_not_mounted_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="the claim models is not mounted"):
        fetch("pvc://models/v1", tmp_path / "absent", tmp_path / "to")


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://h:8443/a/b?sig=1", HttpSource("https://h:8443/a/b?sig=1")),
        ("file:///a/b.onnx", FileSource(PurePosixPath("/a/b.onnx"))),
        ("pvc://claim/a//b", PvcSource("claim", PurePosixPath("a/b"))),
    ],
)
def test_a_uri_names(uri: str, source: Source) -> None:
    assert parse(uri) == source


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("ftp://h/m", "none of http", id="another scheme"),
        pytest.param("model.onnx", "none of http", id="no scheme"),
        pytest.param("https://user:pass@h/m", "credentials", id="credentials"),
        pytest.param("https:///m", "host is missing", id="no host"),
        pytest.param("http://h:99999/m", "not a URI", id="a port that is none"),
        pytest.param("file://other/m", "file:///absolute", id="a file of another host"),
        pytest.param("pvc:///m", "pvc://claim/path", id="no claim"),
        pytest.param("pvc://claim", "pvc://claim/path", id="no path"),
        pytest.param("pvc://claim/a?b", "no query", id="a query"),
        pytest.param("https://h/a b", "printable", id="a space"),
        pytest.param("https://h/\x00", "printable", id="a control character"),
        pytest.param("https://h/a\\b", "backslashes", id="a backslash"),
        pytest.param("https://h/" + "a" * 2048, "2048", id="too long"),
    ],
)
def test_not_allowed_is(uri: str, message: str) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        parse(uri)
    assert failure.value.reason == "ModelURIForbidden"
