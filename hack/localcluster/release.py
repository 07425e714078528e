"""The official releases, each file checked against the checksum that its project publishes beside it."""

import io
import re
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

from localcluster.pins import KUBERNETES, Pins
from localcluster.progress import Progress

_PROBE_SECONDS = 3.0
_READ_SECONDS = 20.0
_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


class ReleaseUnavailable(Exception):
    """The release can't be had from here; tells why."""


@dataclass(frozen=True)
class Asset:
    """One released file, its SHA-256's place, and the member that is the binary if the file is a tar archive."""

    binary: str
    url: str
    checksum_url: str
    member: str | None = None


def assets(pins: Pins, architecture: str) -> tuple[Asset, ...]:
    """Every file of the releases, where their projects' install pages point."""
    kube = f"https://dl.k8s.io/release/{pins.kubernetes}/bin/linux/{architecture}"
    etcd_name = f"etcd-{pins.etcd}-linux-{architecture}"
    etcd = f"https://github.com/etcd-io/etcd/releases/download/{pins.etcd}"
    coredns = (
        f"https://github.com/coredns/coredns/releases/download/{pins.coredns}/"
        f"coredns_{pins.coredns.removeprefix('v')}_linux_{architecture}.tgz"
    )
    helm = f"https://get.helm.sh/helm-{pins.helm}-linux-{architecture}.tar.gz"
    return (
        *(Asset(name, f"{kube}/{name}", f"{kube}/{name}.sha256") for name in KUBERNETES),
        Asset("etcd", f"{etcd}/{etcd_name}.tar.gz", f"{etcd}/SHA256SUMS", f"{etcd_name}/etcd"),
        Asset("coredns", coredns, f"{coredns}.sha256", "coredns"),
        Asset("helm", helm, f"{helm}.sha256sum", f"linux-{architecture}/helm"),
    )


def published_digest(checksums: str, file_name: str) -> str:
    """The file's SHA-256 in the text of a checksum file: a lone digest, or lines of digest and name.

    Raises:
        ReleaseUnavailable: it isn't there.
    """
    lines = checksums.splitlines()
    for line in [line for line in lines if line.split()[-1:] == [file_name]] or lines[:1]:
        if found := _SHA256.search(line):
            return found[0]
    raise ReleaseUnavailable(f"no SHA-256 for {file_name} beside it")


def unpack(asset: Asset, body: bytes, checksums: str) -> bytes:
    """The binary in a downloaded file.

    Raises:
        ReleaseUnavailable: the bytes aren't those that were published, or hold no such member.
    """
    name = asset.url.rsplit("/", 1)[-1]
    expected, got = published_digest(checksums, name), sha256(body).hexdigest()
    if got != expected:
        raise ReleaseUnavailable(f"{asset.url} has SHA-256 {got}, published is {expected}")
    if asset.member is None:
        return body
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for entry in archive:
            if entry.name.removeprefix("./") == asset.member and (found := archive.extractfile(entry)):
                return found.read()
    raise ReleaseUnavailable(f"{asset.url} holds no {asset.member}")


def download(wanted: Sequence[Asset], folder: Path, progress: Progress) -> None:
    """Put every asset's binary into the folder.

    Raises:
        ReleaseUnavailable: a host doesn't answer at once, or a file isn't as published.
    """
    for host in dict.fromkeys(asset.checksum_url.split("/")[2] for asset in wanted):
        _probe(next(asset.checksum_url for asset in wanted if f"//{host}/" in asset.checksum_url))
    for asset in wanted:
        progress.say(f"download {asset.url}")
        path = folder / asset.binary
        path.write_bytes(unpack(asset, _get(asset.url, progress), _get(asset.checksum_url, progress).decode()))
        path.chmod(0o755)


def _probe(url: str) -> None:
    """Return if the address answers soon. In a thread, since no time-out bounds the resolver."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urlopen(url, timeout=_PROBE_SECONDS):
                answers.append(True)
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    if not answers:
        raise ReleaseUnavailable(f"{url} doesn't answer")


def _get(url: str, progress: Progress) -> bytes:
    parts: list[bytes] = []
    try:
        with urlopen(url, timeout=_READ_SECONDS) as answer:
            while part := answer.read(_CHUNK_BYTES):
                parts.append(part)
                progress.beat(f"  {len(parts)} MiB of {int(answer.headers.get('Content-Length', 0)) >> 20}")
    except OSError as broken:
        raise ReleaseUnavailable(f"{url}: {broken}") from None
    return b"".join(parts)
