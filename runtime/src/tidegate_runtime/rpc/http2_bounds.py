"""What one HTTP/2 connection may hold, of calls and of bytes, in either direction."""

from typing import Final

from tidegate_nghttp2 import SessionLimits

MAX_STREAMS: Final = 128
STREAM_WINDOW: Final = 256 * 1024
LIMITS: Final = SessionLimits(
    max_streams=MAX_STREAMS,
    stream_window=STREAM_WINDOW,
    connection_window=4 * 1024 * 1024,
    max_head_bytes=32 * 1024,
    # As many calls as a client may have, cancelled at once, eight times over; then a hundred a second.
    reset_burst=8 * MAX_STREAMS,
    resets_per_second=100,
)

PULL_BYTES: Final = 64 * 1024
MAX_UNSENT_BYTES: Final = 64 * 1024 * 1024
"""Of answers that a client doesn't read, if two of the largest aren't more; its further calls are refused."""
STREAM_UNSENT_BYTES: Final = 64 * 1024
"""Of one stream's answers that its client doesn't read; its method waits."""

NOTICE_SECONDS: Final = 1.0
"""How long a client that is told to go elsewhere may still begin calls; less if it confirms."""
