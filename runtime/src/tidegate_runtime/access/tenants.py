"""Tenants, and the document that says who they are. Pure.

docs/api.md has the document. It holds digests of tokens, so that whoever reads it, a backup of it, or an error about it
has none. Fields that aren't known are refused: one that is misspelt would else lift a bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

MAX_BYTES: Final = 1024 * 1024
"""Of a document; what a Secret can hold."""

MAX_RATE: Final = 1e9
MIN_RATE: Final = 1e-3
"""A request in so many seconds is told to come back after at most a thousand."""


class UnreadableTenants(ValueError):
    """A document that can't be in force, and why. It names the tenant and the field, and quotes no value."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. `models` are those that it may ask for, None: all; `rate`, its requests a second, None: any number."""

    name: str
    models: frozenset[str] | None = None
    administration: bool = False
    rate: float | None = None
    burst: float = 1.0

    def may(self, model: str) -> bool:
        """Whether it may ask for that model, which there needn't be."""
        return self.models is None or model in self.models


ANYBODY: Final = Tenant("", administration=True)
"""Where nothing is asked of callers."""

NOBODY: Final = Tenant("", models=frozenset())
"""A caller without a token, where that alone is no reason to refuse it."""


@dataclass(frozen=True, slots=True)
class Token:
    """`expires` is in seconds since 1970, from which on it is none; None: never."""

    tenant: Tenant
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Tenants:
    """All tokens there are, by the SHA-256 of each."""

    tokens: Mapping[bytes, Token]

    def find(self, digest: bytes, wall_now: float) -> Tenant | None:
        """Whose token that is the digest of; None if it is nobody's, or has expired.

        A look-up by the digest, which takes longer the more of it is right, tells nobody anything: the digest of a
        guess is as random as any.
        """
        token = self.tokens.get(digest)
        if token is None or (token.expires is not None and token.expires <= wall_now):
            return None
        return token.tenant


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Token(_Part):
    sha256: str = Field(pattern="^[0-9a-fA-F]{64}$")
    expires: AwareDatetime | None = None


Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Tenant(_Part):
    name: Name
    tokens: list[_Token] = Field(max_length=1000)
    models: list[Name] | None = Field(None, max_length=10_000)
    administration: bool = False
    requests_per_second: float | None = Field(None, alias="requestsPerSecond", ge=MIN_RATE, le=MAX_RATE)
    burst: float | None = Field(None, ge=1, le=MAX_RATE)


class _Document(_Part):
    tenants: list[_Tenant] = Field(min_length=1, max_length=10_000)


def read_tenants(content: bytes) -> Tenants:
    """The tenants that a document names. Raises `UnreadableTenants`."""
    if len(content) > MAX_BYTES:
        raise UnreadableTenants(f"it is over {MAX_BYTES} bytes")
    try:
        document = _Document.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableTenants(_told(error, content)) from None
    names = set[str]()
    tokens: dict[bytes, Token] = {}
    for told in document.tenants:
        if told.name in names:
            raise UnreadableTenants(f'tenant "{told.name}", name: another tenant has it, too')
        names.add(told.name)
        tenant = _tenant(told)
        for place, token in enumerate(told.tokens):
            digest = bytes.fromhex(token.sha256)
            other = tokens.get(digest)
            if other is not None:
                whose = f'tenant "{told.name}", tokens[{place}].sha256'
                raise UnreadableTenants(f'{whose}: tenant "{other.tenant.name}" has that token, too')
            tokens[digest] = Token(tenant, None if token.expires is None else token.expires.timestamp())
    return Tenants(tokens)


def _tenant(told: _Tenant) -> Tenant:
    rate, burst = told.requests_per_second, told.burst
    if rate is None and burst is not None:
        raise UnreadableTenants(f'tenant "{told.name}", burst: it needs requestsPerSecond beside it')
    return Tenant(
        told.name,
        None if told.models is None else frozenset(told.models),
        told.administration,
        rate,
        burst if burst is not None else max(1.0, rate or 0.0),
    )


def _told(error: ValidationError, content: bytes) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where, field = "", ""
    for step in first["loc"]:
        if isinstance(step, int):
            field += f"[{step}]"
        else:
            field += f".{step[:64]}" if field else step[:64]
        if field.startswith("tenants[") and not where:
            where, field = f"{_named(content, step)}, ", ""
    return f"{where}{field}: {first['msg']}" if where or field else str(first["msg"])


def _named(content: bytes, place: int | str) -> str:
    """A tenant by its name, or if it has none that can be read, by its place."""
    try:
        name = orjson.loads(content)["tenants"][place]["name"]
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        name = None
    return f'tenant "{name[:128]}"' if isinstance(name, str) and name else f"tenants[{place}]"
