"""The compression of an answer that is about to be written."""

import asyncio
from collections.abc import Callable

from tidegate_runtime.protocol.compression import Encoding, compress
from tidegate_runtime.protocol.v2_response import Encoded
from tidegate_runtime.web.body import OFF_LOOP_BYTES


def pack(
    encoded: Encoded, encoding: Encoding, loop: asyncio.AbstractEventLoop, write: Callable[[Encoded, Encoding], None]
) -> None:
    """Has the compressed answer written; a long one is compressed in a thread, for other connections would wait."""
    if encoded.size < OFF_LOOP_BYTES:
        write(Encoded([*compress(encoded.parts, encoding)], encoded.json_length), encoding)
        return

    def packed(done: "asyncio.Future[list[bytes]]") -> None:
        write(Encoded([*done.result()], encoded.json_length), encoding)

    loop.run_in_executor(None, compress, encoded.parts, encoding).add_done_callback(packed)
