"""The compression of an answer that is about to be written."""

import asyncio
from collections.abc import Callable
from functools import partial

from tidegate_runtime.protocol.compression import Encoding, compress
from tidegate_runtime.protocol.v2_response import Encoded
from tidegate_runtime.web.body import OFF_LOOP_BYTES


def pack(
    encoded: Encoded,
    encoding: Encoding,
    loop: asyncio.AbstractEventLoop,
    write: Callable[[Encoded, Encoding], None],
    fail: Callable[[], None],
) -> None:
    """Has the compressed answer written; a long one is compressed in a thread, for other connections would wait.

    Where it can't be compressed, as where memory doesn't do, `fail` is called in place of `write`, with the error being
    handled.
    """

    def packed(parts: Callable[[], list[bytes]]) -> None:
        try:
            compressed = Encoded([*parts()], encoded.json_length)
        except Exception:
            fail()
        else:
            write(compressed, encoding)

    compressing = partial(compress, encoded.parts, encoding)
    if encoded.size < OFF_LOOP_BYTES:
        packed(compressing)
        return
    try:
        done = loop.run_in_executor(None, compressing)
    except RuntimeError:  # There can't be another thread.
        fail()
    else:
        done.add_done_callback(lambda _: packed(done.result))
