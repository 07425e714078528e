"""A certificate and its key for gRPC, which are looked at again in each handshake."""

import logging
import ssl
from pathlib import Path

logger = logging.getLogger(__name__)


class KeyPair:
    """A certificate chain and its key in PEM files, which may be renewed while the server runs."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._taken: tuple[int, int] | None = None

    def read(self) -> tuple[bytes, bytes]:
        """Key and chain as they are on disk. Raises `OSError` or `ssl.SSLError` if they don't belong together."""
        before = self._state()
        pair = self._key.read_bytes(), self._certificate.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
        # Replaced while it was read, it is looked at once more in the next handshake.
        self._taken = before
        return pair

    def renewed(self) -> tuple[bytes, bytes] | None:
        """Key and chain if they changed since they were read; None if they didn't, or are only half renewed."""
        try:
            return None if self._state() == self._taken else self.read()
        except (OSError, ssl.SSLError) as error:
            logger.warning("renewed certificate not taken", extra={"error": str(error)})
            return None

    def _state(self) -> tuple[int, int]:
        return self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns
