"""Trace settings of a service, read and changed while it runs."""

from collections.abc import Mapping

from tidegate_runtime import trace_settings
from tidegate_runtime.errors import InvalidRequest, NotFound, NotReady
from tidegate_runtime.service import Service
from tidegate_runtime.trace_settings import Told


def settings_of(service: Service, model: str) -> Told:
    """The settings in force for `model`, "" for those that hold for all models.

    Raises `InvalidRequest` for a model that isn't loaded: what other methods call not found, Triton's trace extension
    calls invalid.
    """
    if model:
        try:
            service.model(model)
        except (NotFound, NotReady) as fault:
            raise InvalidRequest(f"trace settings are those of a model that is loaded: {fault}") from None
    return trace_settings.told(service.tracer.in_force().of(model) if service.tracer is not None else None)


def change_settings(service: Service, model: str, wanted: Mapping[str, object]) -> Told:
    """The settings after the change, which holds for requests that come from here on.

    Raises `InvalidRequest` for what can't be honoured, and then changes nothing.
    """
    told, tracer = settings_of(service, model), service.tracer
    if not wanted:
        return told
    made = trace_settings.changed(wanted, tracer.in_force() if tracer is not None else None, model)
    if tracer is None or made is None:
        return told
    tracer.change(made, model if trace_settings.COUNT in wanted else None)
    return trace_settings.told(made.of(model))
