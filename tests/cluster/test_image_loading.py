import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from localcluster import images
from localcluster.errors import ClusterError

NAME = "localhost/pause:1"


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: found.read() for entry in tar if (found := tar.extractfile(entry))}


def an_index(**annotations: str) -> dict[str, Any]:
    return {"manifests": [{"digest": "sha256:ab", "annotations": annotations}]}


def test_an_archives_every_blob_has_the_digest_that_it_is_named_by(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    files = members(images.pause_archive(program, NAME, "amd64"))
    blobs = {name: body for name, body in files.items() if name.startswith("blobs/")}
    assert {name: f"blobs/sha256/{sha256(body).hexdigest()}" for name, body in blobs.items()} == {
        name: name for name in blobs
    }
    manifest = json.loads(blobs["blobs/sha256/" + json.loads(files["index.json"])["manifests"][0]["digest"][7:]])
    layer = blobs["blobs/sha256/" + manifest["layers"][0]["digest"][7:]]
    assert members(layer) == {"pause": b"\x7fELF"}


def test_a_programs_image_has_it_where_it_is_to_be_and_runs_it_as_told(tmp_path: Path) -> None:
    program, run = tmp_path / "program", {"Entrypoint": ["/usr/local/bin/web"], "User": "65532:65532"}
    program.write_bytes(b"\x7fELF")
    files = members(images.program_archive(program, "usr/local/bin/web", NAME, "arm64", run))

    def blob(described: dict[str, Any]) -> bytes:
        return files["blobs/sha256/" + described["digest"].removeprefix("sha256:")]

    manifest = json.loads(blob(json.loads(files["index.json"])["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    assert (config["architecture"], config["config"]) == ("arm64", run)
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert members(blob(manifest["layers"][0])) == {"usr/local/bin/web": b"\x7fELF"}


def test_the_pause_image_is_named_and_the_same_each_time(tmp_path: Path) -> None:
    program, archive = tmp_path / "program", tmp_path / "pause.tar"
    program.write_bytes(b"\x7fELF")
    first = images.pause_archive(program, NAME, "amd64")
    assert images.pause_archive(program, NAME, "amd64") == first
    archive.write_bytes(first)
    assert list(images.named(images.read_index(archive), "pause.tar")) == [NAME]


@pytest.mark.parametrize(
    "annotations",
    [
        {"io.containerd.image.name": "localhost/web:1"},
        {"org.opencontainers.image.ref.name": "localhost/web:1"},
        {"io.containerd.image.name": "localhost/web:1", "org.opencontainers.image.ref.name": "1"},
    ],
    ids=["containerd's annotation", "OCI's annotation with the full name", "both: containerd's holds the full name"],
)
def test_an_image_is_found_by_its_full_name(annotations: dict[str, str]) -> None:
    assert images.named(an_index(**annotations), "web.tar") == {"localhost/web:1": "sha256:ab"}


@pytest.mark.parametrize("name", ["1", "web:1", "localhost/web", ""])
def test_an_image_without_a_full_name_is_refused_with_the_command_that_gives_one(name: str) -> None:
    with pytest.raises(ClusterError, match=r"web\.tar: its image is called .*buildah push"):
        images.named(an_index(**{"org.opencontainers.image.ref.name": name}), "web.tar")


@pytest.mark.parametrize("body", [None, b"not a tar archive"], ids=["missing", "something else"])
def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path: Path, body: bytes | None) -> None:
    archive = tmp_path / "web.tar"
    if body is not None:
        archive.write_bytes(body)
    with pytest.raises(ClusterError, match=r"web\.tar: not an OCI archive"):
        images.read_index(archive)
