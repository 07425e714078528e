import io
import socket
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localcluster import release
from localcluster.pins import Pins
from localcluster.progress import Progress
from localcluster.release import Asset, ReleaseUnavailable

PINS = Pins("v1.37.2", "v3.7.3", "v1.14.7", "v4.3.1", go="1.26.0")


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[str]:
    """A release host; its base URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def digest(body: bytes) -> bytes:
    return sha256(body).hexdigest().encode()


def tar_gz(member: str, body: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def test_binaries_come_bare_or_from_an_archive_and_can_be_run(tmp_path: Path) -> None:
    archive = tar_gz("etcd-v3/etcd", b"#!etcd")
    files = {
        "/kubelet": b"#!kubelet",
        "/kubelet.sha256": digest(b"#!kubelet"),
        "/etcd.tar.gz": archive,
        "/SUMS": b"0" * 64 + b"  other.tar.gz\n" + digest(archive) + b"  etcd.tar.gz\n",
    }
    with serving(files) as host:
        wanted = [
            Asset("kubelet", f"{host}/kubelet", f"{host}/kubelet.sha256"),
            Asset("etcd", f"{host}/etcd.tar.gz", f"{host}/SUMS", "etcd-v3/etcd"),
        ]
        release.download(wanted, tmp_path, Progress())
    assert (tmp_path / "kubelet").read_bytes() == b"#!kubelet"
    assert (tmp_path / "etcd").read_bytes() == b"#!etcd"
    assert (tmp_path / "etcd").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"/kubelet": b"tampered", "/kubelet.sha256": digest(b"published")}, "published is"),
        ({"/kubelet.sha256": digest(b"published")}, "404"),
        ({"/kubelet": b"x", "/kubelet.sha256": b"<html>"}, "no SHA-256 for kubelet"),
        ({}, "doesn't answer"),
    ],
    ids=["other bytes than published", "file missing", "checksum unreadable", "checksum missing"],
)
def test_a_release_that_is_not_as_published_is_not_used(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with serving(files) as host, pytest.raises(ReleaseUnavailable, match=said):
        release.download([Asset("kubelet", f"{host}/kubelet", f"{host}/kubelet.sha256")], tmp_path, Progress())
    assert not list(tmp_path.iterdir())


def test_a_host_that_refuses_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/kubelet"
    with pytest.raises(ReleaseUnavailable, match="doesn't answer"):
        release.download([Asset("kubelet", url, f"{url}.sha256")], tmp_path, Progress())


def test_the_releases_hold_every_binary_once() -> None:
    wanted = release.assets(PINS, "arm64")
    names = [asset.binary for asset in wanted]
    assert sorted(names) == sorted(set(names))
    assert {"kubelet", "kubectl", "kube-apiserver", "etcd", "coredns", "helm"} <= set(names)
    assert all(asset.url.startswith("https://") and "arm64" in asset.url for asset in wanted)
