"""Whose token a call shows, and whether it is for what the call asks for."""

from collections.abc import Mapping

from tidegate_runtime.access.guard import AUTHORIZATION, Guard
from tidegate_runtime.access.tenants import ANYBODY, NOBODY, Tenant
from tidegate_runtime.rpc.call import Call


def authenticate(guard: Guard, metadata: Mapping[str, str]) -> None:
    """For transports, by a call's head and before anything else of it is read. Raises `Unauthenticated`."""
    guard.permit(metadata.get(AUTHORIZATION))


def permit(guard: Guard | None, call: Call, model: str | None = None) -> Tenant:
    """As `Guard.permit`; without a guard, who may do anything."""
    return ANYBODY if guard is None else guard.permit(call.metadata.get(AUTHORIZATION), model)


def administer(guard: Guard | None, call: Call, model: str | None = None) -> Tenant:
    """As `Guard.administer`; without a guard, who may do anything."""
    return ANYBODY if guard is None else guard.administer(call.metadata.get(AUTHORIZATION), model)


def whoever(guard: Guard | None, call: Call) -> Tenant:
    """Who calls a method that anybody may; who may ask for no model if that isn't known."""
    return ANYBODY if guard is None else guard.find(call.metadata.get(AUTHORIZATION)) or NOBODY
