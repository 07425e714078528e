"""How this machine reaches the package index, for build steps: its CA bundle and its index, never kept in an image."""

import configparser
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Debian and its kin, Red Hat and its kin, Alpine.
_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True)
class Index:
    """Where packages come from; empty is PyPI."""

    url: str = ""
    extra_urls: tuple[str, ...] = ()

    def pip_conf(self) -> str:
        """The same for pip."""
        lines = ["[global]"]
        lines += [f"index-url = {self.url}"] if self.url else []
        lines += ["extra-index-url ="] if self.extra_urls else []
        return "\n".join([*lines, *(f"    {url}" for url in self.extra_urls)]) + "\n"

    def uv_toml(self) -> str:
        """The same for uv. Its first index that has a package wins, where pip would take the newest of all."""
        tables = [f'[[index]]\nurl = "{url}"\n' for url in self.extra_urls]
        tables += [f'[[index]]\nurl = "{self.url}"\ndefault = true\n'] if self.url else []
        return "\n".join(tables)


def index_of(configurations: Iterable[str], environment: Mapping[str, str]) -> Index:
    """The index that pip would use: later configuration texts win over earlier, the environment over all."""
    parser = configparser.RawConfigParser(strict=False)
    for text in configurations:
        parser.read_string(text)

    def setting(key: str) -> str:
        named = environment.get(f"PIP_{key.upper().replace('-', '_')}")
        return str(named or parser.get("install", key, fallback="") or parser.get("global", key, fallback=""))

    return Index(setting("index-url"), tuple(setting("extra-index-url").split()))


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The file of certificates that this machine trusts; None if there is none to be found."""
    named = (environment.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_CA_BUNDLES)
    return next((Path(path) for path in named if path and Path(path).is_file()), None)


def write_secrets(folder: Path) -> dict[str, Path]:
    """The build secrets of the Dockerfiles, by id, from this machine's settings; those made here lie in `folder`."""
    home = Path.home()
    places = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    places += [Path(path) for path in (os.environ.get("PIP_CONFIG_FILE"),) if path]
    index = index_of((path.read_text() for path in places if path.is_file()), os.environ)
    secrets = {}
    if bundle := ca_bundle(os.environ):
        secrets["ca"] = bundle
    if index != Index():
        for name, text in (("pip", index.pip_conf()), ("uv", index.uv_toml())):
            secrets[name] = folder / name
            secrets[name].write_text(text)
    return secrets
