"""The file with the tenants: read at the start, and looked at again every few seconds."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tidegate_runtime.access.tenants import MAX_BYTES, Tenants, UnreadableTenants, read_tenants
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import Reason

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
"""From one look to the next, at the file's times alone. A mounted Secret is itself renewed within about a minute."""

State = tuple[int, int, int]
"""By what it is seen that a file has changed. A Secret's is another one each time, behind a link."""


class TenantsFile:
    """Whoever holds it has what the file said last that could be in force."""

    def __init__(self, path: Path) -> None:
        """Raises `StartupFailure` if the file can't be in force."""
        self._path = path
        self._said = ""
        try:
            self._seen: State | None = self._state()
            self.tenants = self._read()
        except (OSError, UnreadableTenants) as error:
            raise StartupFailure(Reason.TENANTS_INVALID, f"{path.name} names no tenants: {_why(error)}") from None

    def newer(self) -> Tenants | None:
        """What the file says by now, if it has changed since it was asked last and can be in force.

        Else the log says, once, what is wrong with it.
        """
        try:
            state = self._state()
            if state == self._seen:
                return None
            tenants = self._read()
        except OSError as error:
            # Perhaps in a moment: it is looked at again.
            self._complain(_why(error))
            return None
        except UnreadableTenants as error:
            self._seen = state
            self._complain(str(error))
            return None
        self._seen, self._said, self.tenants = state, "", tenants
        logger.info("tenants taken", extra={"file": self._path.name, "tokens": len(tenants.tokens)})
        return tenants

    async def follow(self, changed: Callable[[Tenants], None]) -> None:
        """Tells `changed` whenever there is something newer. It doesn't end."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                tenants = self.newer()
                if tenants is not None:
                    changed(tenants)
            except Exception:
                logger.exception("tenants can't be renewed")

    def _complain(self, why: str) -> None:
        if why != self._said:
            self._said = why
            logger.error("tenants not taken, those before stay", extra={"file": self._path.name, "detail": why})

    def _state(self) -> State:
        state = self._path.stat()
        return state.st_mtime_ns, state.st_ino, state.st_size

    def _read(self) -> Tenants:
        with self._path.open("rb") as file:
            return read_tenants(file.read(MAX_BYTES + 1))


def wall_seconds() -> float:
    """The world's time, in seconds since 1970."""
    return datetime.now(UTC).timestamp()


def _why(error: OSError | UnreadableTenants) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
