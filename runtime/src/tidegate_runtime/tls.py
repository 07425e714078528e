"""TLS on the data ports, with a certificate that may be renewed while the server runs."""

import logging
import ssl
from pathlib import Path
from typing import Any, Final

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import Reason

logger = logging.getLogger(__name__)

HTTP_1: Final = "http/1.1"
HTTP_2: Final = "h2"


class Certificate:
    """A certificate chain and its key, in PEM files. Renewed files are taken up by the next handshake."""

    def __init__(self, certificate: Path, key: Path, protocol: str = HTTP_1) -> None:
        """`protocol` is what ALPN offers. Raises `StartupFailure` if the files can't be read, or aren't a pair."""
        self._protocol = protocol
        self._certificate = certificate
        self._key = key
        try:
            self._seen = self._state()
            self._newest = self._load()
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise StartupFailure(
                Reason.CERTIFICATE_INVALID, f"{certificate.name} and {key.name} are no certificate and its key: {why}"
            ) from None

    def server_context(self) -> ssl.SSLContext:
        """What a listener is given. It looks at the files' times in each handshake, so nothing has to watch them."""
        context = self._load()
        context.sni_callback = self._renew
        return context

    def _renew(self, handshake: ssl.SSLObject, _name: str | None, _context: Any) -> None:
        try:
            state = self._state()
            if state != self._seen:
                self._newest, self._seen = self._load(), state
                logger.info("certificate renewed", extra={"file": self._certificate.name})
        except (OSError, ssl.SSLError) as error:
            # Half a renewal, perhaps: the next handshake looks again, and until then the last good one serves.
            logger.warning("renewed certificate not taken", extra={"error": str(error)})
        handshake.context = self._newest

    def _state(self) -> tuple[int, int]:
        return self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([self._protocol])
        context.load_cert_chain(self._certificate, self._key)
        return context
