"""Trace settings of a service, read and changed while it runs."""

from collections.abc import Mapping

from tidegate_runtime import trace_settings
from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.service import Service
from tidegate_runtime.trace_settings import Told


def settings_of(service: Service, model: str) -> Told:
    """The settings in force, the same for every model; "" for no particular one. Raises as `Service.model`."""
    if model:
        service.model(model)
    return trace_settings.told(service.tracer.in_force() if service.tracer is not None else None)


def change_settings(service: Service, model: str, wanted: Mapping[str, object]) -> Told:
    """The settings after the change, which holds for requests that come from here on.

    Raises `InvalidRequest` for what can't be honoured, and then changes nothing.
    """
    told, tracer = settings_of(service, model), service.tracer
    if not wanted:
        return told
    made = trace_settings.changed(
        wanted, tracer.in_force() if tracer is not None else None, tracer.start if tracer is not None else None
    )
    if tracer is None or made is None:
        return told
    if model:
        raise InvalidRequest("traces are set for all models at once: leave out the model's name")
    tracer.change(made, counted="trace_count" in wanted)
    return trace_settings.told(made)
