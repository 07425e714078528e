"""What a cluster is made with: parsed from the command line, kept in the cluster's folder."""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network
from pathlib import Path

from localcluster.addresses import Addresses
from localcluster.errors import ClusterError

DOMAIN = "cluster.local"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
# A Unix socket's address holds 107 bytes; the longest socket below the folder is containerd's.
_LONGEST_FOLDER = 107 - len("/containerd.sock.ttrpc")


@dataclass(frozen=True)
class Settings:
    """A cluster's parameters; all but `gpus` are fixed while it is up."""

    name: str
    addresses: Addresses
    gpus: int = 2
    hpa_sync_seconds: int = 5

    def __post_init__(self) -> None:
        """Refuse what can't be a cluster.

        Raises:
            ClusterError: names the option and its limit.
        """
        check_name(self.name)
        if self.gpus < 0:
            raise ClusterError(f"--gpus {self.gpus}: at least 0")
        if self.hpa_sync_seconds < 1:
            raise ClusterError(f"--hpa-sync-seconds {self.hpa_sync_seconds}: at least 1")

    @property
    def digest(self) -> str:
        """Eight hex digits that stand for the name where a name may not be long: interfaces, nftables tables."""
        return sha256(self.name.encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        pods, services, link = map(str, self.addresses.ranges())
        fields = {"name": self.name, "pods": pods, "services": services, "link": link}
        return json.dumps({**fields, "gpus": self.gpus, "hpa_sync_seconds": self.hpa_sync_seconds}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The settings that `to_json` wrote."""
        fields = json.loads(text)
        addresses = Addresses(*(IPv4Network(fields.pop(key)) for key in ("pods", "services", "link")))
        return cls(addresses=addresses, **fields)


def check_name(name: str) -> None:
    """Refuse a name that can't be a node's.

    Raises:
        ClusterError: tells the form.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(f"--name {name!r}: lower-case letters, digits and inner hyphens, at most 40 characters")


def check_folder(folder: Path) -> None:
    """Refuse a folder whose sockets can't be addressed, or that the node's own `/run` would hide.

    Raises:
        ClusterError: tells the limit.
    """
    if len(str(folder).encode()) > _LONGEST_FOLDER:
        raise ClusterError(f"--folder {folder}: at most {_LONGEST_FOLDER} bytes, since sockets lie in it")
    if folder.is_relative_to("/run") or folder.is_relative_to("/var/run"):
        raise ClusterError(f"--folder {folder}: not below /run, which the node has of its own")
