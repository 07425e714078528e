"""What parent and child say to each other: short messages over SOCK_SEQPACKET, descriptors beside them.

The parent says on the line: SLAB, with a descriptor (its input slab); RUN, with where to put the outputs and what
inputs lie in the slab. The child: LOADED, with a descriptor of its report; SLAB, with a descriptor (an output slab);
DONE, with what outputs lie in it; FAULT, with its class and text. On a second line the parent names runs to end: the
child's launch thread alone reads the first, for a thread between it and the line would cost each run a hop between
threads, 5 µs at the best.
"""

import array
import os
import socket
import struct
from enum import IntEnum
from typing import Final

HEAD: Final = struct.Struct("<BBxxI")
"""Kind, number of the output slab, run."""

DONE_HEAD: Final = struct.Struct("<BBxxId")
"""As `HEAD`, and the seconds that the device was busy."""

END: Final = struct.Struct("<I")
"""On the second line: the run to end."""

DEVICE_LOST: Final = 75
"""The child's exit code after a fault of the device that only another process can get over; sysexits' EX_TEMPFAIL."""

_MIN_BYTES: Final = 4096
_TENSOR_BYTES: Final = 2 + 8 * 65
"""The longest description of one tensor: numpy has up to 64 dimensions."""

_RIGHTS_BYTES: Final = socket.CMSG_LEN(array.array("i").itemsize)
"""Room for one descriptor and no more: in `CMSG_SPACE`'s padding there would be room for a second, left open."""


class Kind(IntEnum):
    """The first byte of a message."""

    LOADED = 1
    SLAB = 2
    RUN = 3
    DONE = 4
    FAULT = 5


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a line; neither is inherited by other programs."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def longest(tensors: int) -> int:
    """The bytes of the longest message about so many tensors."""
    return max(_MIN_BYTES, DONE_HEAD.size + tensors * _TENSOR_BYTES)


def send_with(line: socket.socket, message: bytes, descriptor: int) -> None:
    """Sends `message` and a duplicate of `descriptor`. Raises `OSError` if the peer is gone."""
    socket.send_fds(line, [message], [descriptor])


def receive(line: socket.socket, longest_bytes: int) -> tuple[bytes, int | None]:
    """The next message, and the descriptor that came with it, the caller's to close; b"" when the peer is gone.

    Raises `BlockingIOError` if there is none and the line doesn't wait, `ValueError` for one that is cut short.
    """
    try:
        message, ancillary, flags, _ = line.recvmsg(longest_bytes, _RIGHTS_BYTES, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", None
    descriptor = array.array("i", ancillary[0][2])[0] if ancillary else None
    if flags & socket.MSG_TRUNC:
        if descriptor is not None:
            os.close(descriptor)
        raise ValueError(f"a message is longer than {longest_bytes} bytes")
    return message, descriptor
