"""Images in the cluster's containerd, from OCI archives: there is no registry."""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from localcluster import command
from localcluster.errors import ClusterError

_NAMESPACE = "k8s.io"
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def named(index: dict[str, Any], archive: str) -> dict[str, str]:
    """Image names in an archive's index, each with its manifest's digest.

    Raises:
        ClusterError: an image without a full name (`host/repository:tag`) couldn't be found again by a pod.
    """
    found = {}
    for manifest in index["manifests"]:
        annotations = manifest.get("annotations", {})
        name = next((annotations[key] for key in _NAME_KEYS if key in annotations), "")
        if "/" not in name or ":" not in name:
            raise ClusterError(
                f"{archive}: its image is called {name!r}; write the archive under a full name, "
                "e.g. `buildah push IMAGE oci-archive:FILE:localhost/NAME:TAG`"
            )
        found[name] = manifest["digest"]
    return found


def read_index(archive: Path) -> dict[str, Any]:
    """The index of an OCI archive.

    Raises:
        ClusterError: the file isn't there or isn't an OCI archive.
    """
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("index.json")
            assert member is not None
            found: dict[str, Any] = json.load(member)
            return found
    except (OSError, tarfile.TarError, KeyError) as broken:
        raise ClusterError(f"{archive}: not an OCI archive with an index.json ({broken})") from None


def load(socket: Path, archive: Path) -> dict[str, bool]:
    """Import an archive; its image names, each with whether anything had to be imported.

    Raises:
        ClusterError: the archive is unfit or containerd refuses it.
    """
    wanted, present = named(read_index(archive), str(archive)), _present(socket)
    new = {name: present.get(name) != digest for name, digest in wanted.items()}
    if any(new.values()):
        _ctr(socket, "import", str(archive))
    return new


def pause_archive(program: Path, name: str, architecture: str) -> bytes:
    """An OCI archive of one static program, run as `PROGRAM -P` by a user without rights."""
    run = {"Entrypoint": ["/pause", "-P"], "User": "65535:65535"}
    return program_archive(program, "pause", name, architecture, run)


def program_archive(program: Path, place: str, name: str, architecture: str, run: dict[str, Any]) -> bytes:
    """An OCI archive of one static program at `place`, which has no slash before it; `run` is the image's `config`."""
    blobs: dict[str, bytes] = {}

    def keep(kind: str, body: bytes) -> dict[str, Any]:
        digest = sha256(body).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = body
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(body)}

    layer = keep(_LAYER, _tar({place: program.read_bytes()}, mode=0o755))
    root = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = keep(_CONFIG, _json({"architecture": architecture, "os": "linux", "config": run, "rootfs": root}))
    manifest = keep(_MANIFEST, _json({"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": [layer]}))
    named_manifest = {**manifest, "annotations": {_NAME_KEYS[0]: name}}
    index = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named_manifest]})
    return _tar({"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": index, **blobs}, mode=0o644)


def _present(socket: Path) -> dict[str, str]:
    rows = [line.split() for line in _ctr(socket, "ls").splitlines()[1:]]
    return {row[0]: row[2] for row in rows}


def _ctr(socket: Path, *words: str) -> str:
    return command.output(["ctr", "--address", socket, "--namespace", _NAMESPACE, "images", *words])


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), mode
            tar.addfile(entry, io.BytesIO(body))
    return packed.getvalue()
