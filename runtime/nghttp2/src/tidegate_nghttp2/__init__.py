"""HTTP/2 for a server that brings its own sockets: bytes in, events out. Framing, HPACK and flow are libnghttp2's."""

from tidegate_nghttp2.session import (
    CANCEL,
    CLOSED,
    DATA,
    END,
    ENHANCE_YOUR_CALM,
    HEAD,
    INTERNAL_ERROR,
    NO_ERROR,
    PONG,
    PeerFault,
    Scratch,
    Session,
    SessionLimits,
    Unavailable,
)

__all__ = [
    "CANCEL",
    "CLOSED",
    "DATA",
    "END",
    "ENHANCE_YOUR_CALM",
    "HEAD",
    "INTERNAL_ERROR",
    "NO_ERROR",
    "PONG",
    "PeerFault",
    "Scratch",
    "Session",
    "SessionLimits",
    "Unavailable",
]
