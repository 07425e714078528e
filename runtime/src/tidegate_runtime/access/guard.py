"""What is asked of callers: a token, one for what they ask for, and no more requests than their tenant may send. Pure.

Every way in asks the same guard, before anything of a request's body is read, and before it is known whether there is
what it asks for: who isn't let in for a model isn't told apart from who asks for one that there isn't.
"""

from collections.abc import Callable
from hashlib import sha256
from math import ceil
from typing import Final

from tidegate_runtime.access.rate import Bucket
from tidegate_runtime.access.tenants import Tenant, Tenants
from tidegate_runtime.errors import Forbidden, Overloaded, Unauthenticated
from tidegate_runtime.naming import TENANT_RATE

AUTHORIZATION: Final = "authorization"
"""The header, or over gRPC the metadata, with `Bearer TOKEN`."""

MAX_TOKEN_CHARACTERS: Final = 4096

NOT_FOR_MODEL: Final = "this token is not for that model"
NOT_FOR_ADMINISTRATION: Final = "this token is not for administration"


class Guard:
    """By the tenants that it was told last. `clock` runs evenly, `wall_clock` is the world's; both in seconds.

    `share` is the part of each tenant's rate that this process may let in, where others let in the rest.
    """

    def __init__(
        self,
        tenants: Tenants,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        share: float = 1.0,
    ) -> None:
        self.tenants: Tenants
        self._clock = clock
        self._wall_clock = wall_clock
        self._share = share
        self._buckets: dict[str, Bucket] = {}
        self.replace(tenants)

    def replace(self, tenants: Tenants) -> None:
        """From here on these are the tenants; what those that stay have used of their rates, they have used."""
        now, share, buckets = self._clock(), self._share, dict[str, Bucket]()
        for token in tenants.tokens.values():
            tenant = token.tenant
            if tenant.rate is not None and tenant.name not in buckets:
                known = self._buckets.get(tenant.name)
                told = tenant.rate * share, max(1.0, tenant.burst * share), now
                buckets[tenant.name] = Bucket(*told) if known is None else known.changed(*told)
        self.tenants, self._buckets = tenants, buckets

    def find(self, authorization: str | None) -> Tenant | None:
        """Who sends that header; None for nobody known, or no longer."""
        token = _token(authorization)
        if token is None or len(token) > MAX_TOKEN_CHARACTERS:
            return None
        # Headers come as Latin-1, so these are the bytes that were sent.
        return self.tenants.find(sha256(token.encode("latin-1", "replace")).digest(), self._wall_clock())

    def permit(self, authorization: str | None, model: str | None = None) -> Tenant:
        """Who asks for that model, or for what isn't a model's. Raises `Unauthenticated`, `Forbidden`."""
        tenant = self.find(authorization)
        if tenant is None:
            raise Unauthenticated(given=_token(authorization) is not None)
        if model is not None and not tenant.may(model):
            raise Forbidden(NOT_FOR_MODEL)
        return tenant

    def administer(self, authorization: str | None, model: str | None = None) -> Tenant:
        """Who changes what is served, of that model or of all. Raises as `permit`."""
        tenant = self.permit(authorization)
        if not tenant.administration:
            raise Forbidden(NOT_FOR_ADMINISTRATION)
        if model is not None and not tenant.may(model):
            raise Forbidden(NOT_FOR_MODEL)
        return tenant

    def admit(self, authorization: str | None, model: str) -> None:
        """Lets a request for inference in, which counts. Raises as `permit`, and `Overloaded` beyond the rate."""
        tenant = self.permit(authorization, model)
        bucket = self._buckets.get(tenant.name)
        seconds = bucket.take(self._clock()) if bucket is not None else 0.0
        if seconds > 0:
            wait = max(1, ceil(seconds))
            told = f"this token's tenant may send {tenant.rate:g} requests a second; try again in {wait} s"
            raise Overloaded(told, TENANT_RATE, wait)


def _token(authorization: str | None) -> str | None:
    """The token of a header of our scheme, whose name is in any case (RFC 9110, 11.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip(" ") or None if scheme.lower() == "bearer" else None
