"""The cluster's keys and certificates, by openssl: two authorities and what they sign, valid for ten years."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import command
from localcluster.settings import DOMAIN, Settings

_DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
# The distribution's own configuration would add extensions of its own choice.
_CONFIG = "[req]\ndistinguished_name = subject\n[subject]\n"


@dataclass(frozen=True)
class Client:
    """A client certificate: its file's name, and the user and group that the API server reads in it."""

    file: str
    user: str
    group: str | None = None


def clients(node: str) -> tuple[Client, ...]:
    """Everyone who speaks to the API server, and the API server as client of the kubelet."""
    return (
        Client("admin", "tidegate-admin", "system:masters"),
        Client("apiserver-kubelet", "kube-apiserver", "system:masters"),
        Client("kube-controller-manager", "system:kube-controller-manager"),
        Client("kube-scheduler", "system:kube-scheduler"),
        Client("kube-proxy", "system:kube-proxy"),
        Client("kubelet", f"system:node:{node}", "system:nodes"),
        Client("coredns", "system:coredns"),
    )


def server_names(settings: Settings) -> str:
    """The names and addresses under which the node's servers are called, as openssl wants them."""
    addresses = settings.addresses
    service = "kubernetes.default.svc"
    names = ["localhost", settings.name, "kubernetes", "kubernetes.default", service, f"{service}.{DOMAIN}"]
    numbers = ["127.0.0.1", str(addresses.node), str(addresses.api_service)]
    return ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{number}" for number in numbers)])


def ensure(folder: Path, settings: Settings, guests: Sequence[Client] = ()) -> None:
    """Fill the folder with `NAME.crt` and `NAME.key` of every party, all or none; a filled one is left as it is."""
    if folder.is_dir():
        return
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    (draft / "openssl.cnf").write_text(_CONFIG)
    for authority in ("ca", "front-proxy-ca"):
        _sign(draft, authority, f"/CN=tidegate-{authority}", ["basicConstraints=critical,CA:TRUE"])
    _sign(
        draft,
        "server",
        f"/CN={settings.name}",
        [*_leaf("serverAuth"), f"subjectAltName={server_names(settings)}"],
        authority="ca",
    )
    for client in (*clients(settings.name), *guests):
        organisation = f"/O={client.group}" if client.group else ""
        _sign(draft, client.file, f"{organisation}/CN={client.user}", _leaf("clientAuth"), authority="ca")
    _sign(draft, "front-proxy-client", "/CN=front-proxy-client", _leaf("clientAuth"), authority="front-proxy-ca")
    tokens = draft / "service-accounts.key"
    command.output(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", tokens])
    command.output(["openssl", "pkey", "-in", tokens, "-pubout", "-out", tokens.with_suffix(".pub")])
    draft.rename(folder)


def _leaf(usage: str) -> list[str]:
    return ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", f"extendedKeyUsage={usage}"]


def _sign(folder: Path, name: str, subject: str, extensions: Sequence[str], authority: str | None = None) -> None:
    """Make a key and its certificate, signed by the authority or by itself."""
    signer = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"] if authority else []
    added = [word for extension in extensions for word in ("-addext", extension)]
    out = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
    request = ["openssl", "req", "-x509", "-config", "openssl.cnf", "-days", _DAYS, "-subj", subject]
    command.output([*request, *_KEY, *out, *signer, *added], cwd=folder)
