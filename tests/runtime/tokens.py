"""Tokens and the tenants whose they are, as a file has them."""

from hashlib import sha256
from typing import Any

import orjson

PAST, FUTURE = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


def tenant(name: str, *tokens: str, expires: str | None = None, **more: Any) -> dict[str, Any]:
    """A tenant with these tokens, which all expire then."""
    bound = {} if expires is None else {"expires": expires}
    return {"name": name, "tokens": [{"sha256": sha256(token.encode()).hexdigest()} | bound for token in tokens]} | more


def document(*tenants: dict[str, Any]) -> bytes:
    return orjson.dumps({"tenants": tenants})


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
