"""What of a connection's written bytes its peer hasn't confirmed, beyond this process."""

import asyncio
import contextlib
import fcntl
import struct
import termios


def queued_bytes(transport: asyncio.Transport) -> int:
    """Bytes in the kernel's buffer, which the peer's side hasn't confirmed; 0 where that can't be known.

    The kernel takes megabytes at once and then nothing for a while, however steadily the peer reads: without these it
    would seem not to read for a minute.
    """
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    with contextlib.suppress(OSError):
        (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
        return int(queued)
    return 0
