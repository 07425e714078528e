"""By what the install's Prometheus knows who asks, and by what it is known itself: files that the chart mounts.

They are read whenever something is asked, since Secrets are renewed while the controller runs.
"""

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tidegate_operator.install import Install

LONGEST_BYTES: Final = 1 << 20
"""Of a file, which is what Kubernetes lets a Secret have."""


class Unusable(Exception):
    """A file that isn't there, or has something else than it should; the text names the chart's value for it."""


@dataclass(frozen=True)
class Access:
    """How one request is sent."""

    headers: Mapping[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | bool = True
    """Whose certificates are taken; True: those of the authorities that the image trusts."""


class PrometheusAccess:
    """What `install` says of it, from the files as they are now."""

    def __init__(self, install: Install) -> None:
        self._token = install.prometheus_token_file
        self._login = install.prometheus_login_folder
        self._authority = install.prometheus_ca_file
        self._trusted: tuple[bytes, ssl.SSLContext] | None = None

    def read(self) -> Access:
        """As the files are now. It reads them: not for the event loop's thread.

        Raises:
            Unusable: one of them can't be used.
        """
        return Access(self._headers(), self._trust())

    def _headers(self) -> dict[str, str]:
        if self._token:
            token = _text("prometheus.bearerToken", Path(self._token))
            # RFC 9110, token68, of which bearer tokens are; whatever else would be a header of someone's choice.
            if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
                raise Unusable("prometheus.bearerToken: what its Secret has is no bearer token")
            return {"Authorization": f"Bearer {token}"}
        if self._login:
            user, password = (
                _text("prometheus.basicAuth", Path(self._login) / key) for key in ("username", "password")
            )
            if ":" in user:
                raise Unusable("prometheus.basicAuth: a username with a colon can't be told from its password")
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            return {"Authorization": f"Basic {login}"}
        return {}

    def _trust(self) -> ssl.SSLContext | bool:
        if not self._authority:
            return True
        found = _bytes("prometheus.ca", Path(self._authority))
        if self._trusted is None or self._trusted[0] != found:
            try:
                context = ssl.create_default_context(cadata=found.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise Unusable("prometheus.ca: what it names has no certificates in PEM") from error
            # Kept while the file is: connections are kept by it.
            self._trusted = (found, context)
        return self._trusted[1]


def _text(value: str, path: Path) -> str:
    try:
        # Files of Secrets that were made by hand often end with a line's end, and no credential does.
        return _bytes(value, path).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Unusable(f"{value}: {path.name} isn't text") from error


def _bytes(value: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(LONGEST_BYTES)
    except OSError as error:
        raise Unusable(f"{value}: what it names, or the key in that, isn't there") from error
    if not found.strip():
        raise Unusable(f"{value}: {path.name} is empty")
    return found
