"""Requests that offer to go on in another protocol, as `curl --http2` does. A server may pass that over. Pure.

The parser can't: it takes what follows such a head for the other protocol, and so loses a body. RFC 9110, 7.8.
"""

import re
from collections.abc import Iterable
from typing import Final

_OFFER: Final = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


def without_offer(data: bytes, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """`data` without the header `Upgrade` of the request that it begins with; `headers` as the parser saw them.

    None if it doesn't begin with just that request's head: another came before, or its head came in pieces.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    given = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]
    if not end or line.split(b" ")[1:2] != [url] or given != list(headers):
        return None
    return _OFFER.sub(b"", head) + end + rest
