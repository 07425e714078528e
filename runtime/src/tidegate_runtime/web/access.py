"""Whose token a request above ASGI shows, and whether it is for what the request asks for.

Routes ask, since each knows what it is about; there is no middleware, which other ways in wouldn't have. What is the
same on both HTTP ports is included with what its port asks.
"""

from typing import Any, Final

from fastapi import Depends, Request

from tidegate_runtime.access.guard import AUTHORIZATION, Guard
from tidegate_runtime.access.tenants import ANYBODY, Tenant

_TENANT: Final = "tidegate.tenant"
"""In a request's scope: who asks."""


def shown(guard: Guard | None, request: Request) -> str | None:
    """The header, where there is a guard; of several all of them, which no token is like."""
    given = request.headers.getlist(AUTHORIZATION) if guard is not None else None
    return ",".join(given) if given else None


def permit(guard: Guard | None, request: Request, model: str | None = None) -> Tenant:
    """As `Guard.permit`; without a guard, who may do anything."""
    return ANYBODY if guard is None else guard.permit(shown(guard, request), model)


def for_tenants(guard: Guard | None) -> list[Any]:
    """What routes depend on that tell something of all models, or of the one that their path names."""

    async def ask(request: Request) -> None:
        request.scope[_TENANT] = permit(guard, request, request.path_params.get("name"))

    return [] if guard is None else [Depends(ask)]


def for_administrators(guard: Guard | None) -> list[Any]:
    """What routes depend on that change something of all models, or of the one that their path names."""

    async def ask(request: Request) -> None:
        if guard is not None:
            request.scope[_TENANT] = guard.administer(shown(guard, request), request.path_params.get("name"))

    return [] if guard is None else [Depends(ask)]


def tenant_of(request: Request) -> Tenant:
    """Who asks, by what the route depends on; who may do anything, where that is nothing."""
    tenant: Tenant = request.scope.get(_TENANT, ANYBODY)
    return tenant
