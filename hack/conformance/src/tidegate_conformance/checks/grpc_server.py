"""gRPC: health, metadata, and what Triton's extensions add."""

from typing import Any

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Wire, check
from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.expect import Mismatch, Skip, equal, fail, true
from tidegate_conformance.rpc.infer import raw
from tidegate_conformance.rpc.messages import message
from tidegate_conformance.rpc.schema import SERVICE
from tidegate_conformance.subject import Subject

SERVING = 1
HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def _named(kind: str, subject: Subject, **fields: Any) -> Any:
    return message(f"inference.{kind}Request", name=subject.model.name, **fields)


@check("grpc.health.live", sources.GRPC, wire=Wire.GRPC)
def live(subject: Subject) -> None:
    """ServerLive says live."""
    equal("live", True, subject.rpc.call("ServerLive").live)


@check("grpc.health.ready", sources.GRPC, wire=Wire.GRPC)
def ready(subject: Subject) -> None:
    """ServerReady says ready."""
    equal("ready", True, subject.rpc.call("ServerReady").ready)


@check("grpc.health.model-ready", sources.GRPC, wire=Wire.GRPC)
def model_ready(subject: Subject) -> None:
    """ModelReady says ready for a model that is, by name and by version."""
    equal("ready", True, subject.rpc.call("ModelReady", _named("ModelReady", subject)).ready)
    if subject.versions:
        request = _named("ModelReady", subject, version=subject.versions[0])
        equal("ready", True, subject.rpc.call("ModelReady", request).ready)


@check("grpc.health.unknown-model", sources.GRPC, wire=Wire.GRPC)
def unknown_ready(subject: Subject) -> None:
    """ModelReady of an unknown model says false, or fails with NOT_FOUND."""
    request = message("inference.ModelReadyRequest", name="no-such-model")
    try:
        answer = subject.rpc.call("ModelReady", request)
    except Mismatch:
        subject.rpc.refusal("ModelReady", request, "NOT_FOUND", "UNAVAILABLE")
    else:
        equal("ready", False, answer.ready)


@check("grpc.health.standard", sources.GRPC_HEALTH, level=Level.EXTENSION, wire=Wire.GRPC)
def standard_health(subject: Subject) -> None:
    """grpc.health.v1 says SERVING for the server as a whole."""
    equal("status", SERVING, subject.rpc.offered(f"{HEALTH}/Check").status)


@check("grpc.health.standard-service", sources.GRPC_HEALTH, level=Level.EXTENSION, wire=Wire.GRPC)
def standard_service(subject: Subject) -> None:
    """grpc.health.v1 says SERVING for the inference service by its name."""
    subject.rpc.offered(f"{HEALTH}/Check")
    request = message("grpc.health.v1.HealthCheckRequest", service=SERVICE)
    equal("status", SERVING, subject.rpc.call(f"{HEALTH}/Check", request).status)


@check("grpc.health.standard-unknown", sources.GRPC_HEALTH, level=Level.EXTENSION, wire=Wire.GRPC)
def standard_unknown(subject: Subject) -> None:
    """grpc.health.v1 fails with NOT_FOUND for a service that isn't there."""
    subject.rpc.offered(f"{HEALTH}/Check")
    request = message("grpc.health.v1.HealthCheckRequest", service="no.such.Service")
    subject.rpc.refusal(f"{HEALTH}/Check", request, "NOT_FOUND")


@check("grpc.health.watch", sources.GRPC_HEALTH, level=Level.EXTENSION, wire=Wire.GRPC)
def watch(subject: Subject) -> None:
    """Watching health gives the status at once."""
    answer = subject.rpc.first_of(f"{HEALTH}/Watch", message("grpc.health.v1.HealthCheckRequest"))
    equal("status", SERVING, answer.status)


@check("grpc.reflection.list", sources.GRPC_REFLECTION, level=Level.EXTENSION, wire=Wire.GRPC)
def reflection_list(subject: Subject) -> None:
    """Reflection lists the inference service."""
    request = message("grpc.reflection.v1alpha.ServerReflectionRequest", list_services="*")
    (answer,) = subject.rpc.stream([request], REFLECTION)
    names = [service.name for service in answer.list_services_response.service]
    true("the inference service is listed", SERVICE in names, names)


@check("grpc.reflection.file", sources.GRPC_REFLECTION, level=Level.EXTENSION, wire=Wire.GRPC)
def reflection_file(subject: Subject) -> None:
    """Reflection gives the file that describes the inference service."""
    request = message("grpc.reflection.v1alpha.ServerReflectionRequest", file_containing_symbol=SERVICE)
    (answer,) = subject.rpc.stream([request], REFLECTION)
    files = answer.file_descriptor_response.file_descriptor_proto
    true("a file has the service's name", any(b"GRPCInferenceService" in file for file in files), answer)


@check("grpc.metadata.server", sources.GRPC, wire=Wire.GRPC)
def server_metadata(subject: Subject) -> None:
    """ServerMetadata has a name, and the extensions that REST's has."""
    found = subject.rpc.call("ServerMetadata")
    true("the name is not empty", bool(found.name), found)
    equal("extensions", sorted(subject.extensions), sorted(found.extensions))


@check("grpc.metadata.unknown-model", sources.GRPC, wire=Wire.GRPC)
def unknown_metadata(subject: Subject) -> None:
    """ModelMetadata of an unknown model fails."""
    subject.rpc.refusal("ModelMetadata", message("inference.ModelMetadataRequest", name="no-such-model"))


@check("grpc.metadata.unknown-is-not-found", sources.bad_input(8), level=Level.ROBUSTNESS, wire=Wire.GRPC)
def unknown_not_found(subject: Subject) -> None:
    """ModelMetadata of an unknown model, or an unknown version, fails with NOT_FOUND."""
    unknown = message("inference.ModelMetadataRequest", name="no-such-model")
    subject.rpc.refusal("ModelMetadata", unknown, "NOT_FOUND")
    subject.rpc.refusal("ModelMetadata", _named("ModelMetadata", subject, version="987654"), "NOT_FOUND")


def _signature(subject: Subject) -> None:
    found = subject.rpc.call("ModelMetadata", _named("ModelMetadata", subject))
    equal("name", subject.model.name, found.name)
    equal("versions", sorted(subject.versions), sorted(found.versions))
    for specs, tensors in ((subject.model.inputs, found.inputs), (subject.model.outputs, found.outputs)):
        listed = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in tensors}
        equal("tensors", {spec.name: (spec.datatype.value, list(spec.shape)) for spec in specs}, listed)


def _declare_metadata(part: str, model: str, title: str) -> None:
    check(f"grpc.metadata.{part}", sources.GRPC, wire=Wire.GRPC, model=model, title=title)(_signature)


_declare_metadata("model", "add_sub", "ModelMetadata has name, versions and tensors, as REST's.")
_declare_metadata("free-shape", "add_sub_free", "Free dimensions are -1.")
_declare_metadata("scalar", "rank0", "A scalar's shape is empty.")
for _datatype in Datatype:
    _declare_metadata(
        f"datatype.{_datatype.lower()}", f"identity_{_datatype.lower()}", f"{_datatype} is called {_datatype}."
    )


@check("grpc.configuration", sources.CONFIGURATION, level=Level.EXTENSION, wire=Wire.GRPC, model="rows",
       extension="model_configuration")  # fmt: skip
def configuration(subject: Subject) -> None:
    """ModelConfig has the model's name and its tensors."""
    found = subject.rpc.call("ModelConfig", _named("ModelConfig", subject)).config
    equal("name", "rows", found.name)
    equal("inputs", ["x"], [tensor.name for tensor in found.input])
    equal("outputs", ["y"], [tensor.name for tensor in found.output])


@check("grpc.statistics.counts", sources.STATISTICS, level=Level.EXTENSION, wire=Wire.GRPC, model="rows",
       extension="statistics")  # fmt: skip
def statistics(subject: Subject) -> None:
    """ModelStatistics counts each row of a request as an inference, and has durations."""

    def entry() -> Any:
        for found in subject.rpc.call("ModelStatistics", _named("ModelStatistics", subject)).model_stats:
            if found.name == subject.model.name:
                return found
        return fail("model_stats", "an entry for the model", "none")

    subject.rpc.call("ModelInfer", raw(subject.model, subject.model.example()))
    before = entry()
    subject.rpc.call("ModelInfer", raw(subject.model, subject.model.example(1, free=5)))
    after = entry()
    equal("inference_count", before.inference_count + 5, after.inference_count)
    equal("count of success", before.inference_stats.success.count + 1, after.inference_stats.success.count)
    true("success takes time", after.inference_stats.success.ns > before.inference_stats.success.ns, after)


@check("grpc.statistics.all-models", sources.STATISTICS, level=Level.EXTENSION, wire=Wire.GRPC, model="rows",
       extension="statistics")  # fmt: skip
def statistics_all(subject: Subject) -> None:
    """ModelStatistics without a name has all models."""
    names = [found.name for found in subject.rpc.call("ModelStatistics").model_stats]
    true("the model is among them", subject.model.name in names, names)


@check("grpc.repository.index", sources.REPOSITORY, level=Level.EXTENSION, wire=Wire.GRPC, model="rows",
       extension="model_repository")  # fmt: skip
def repository_index(subject: Subject) -> None:
    """RepositoryIndex, where this port has it, has the model, READY."""
    if subject.endpoint.admin != subject.endpoint.rest:
        raise Skip("administration isn't on the data ports")
    states = {entry.name: entry.state for entry in subject.rpc.offered("RepositoryIndex").models}
    equal("state", "READY", states.get(subject.model.name))


def _closed(method: str) -> None:
    def run(subject: Subject) -> None:
        if subject.endpoint.admin == subject.endpoint.rest:
            raise Skip("administration is on the data ports")
        subject.rpc.refusal(method, message(f"inference.{method}Request"), "UNIMPLEMENTED")

    name = "".join(f"-{char.lower()}" if char.isupper() else char for char in method).strip("-")
    title = f"{method} isn't served on the data port, unless that administers, too."
    check(f"grpc.bad.data-port.{name}", sources.bad_input(36), level=Level.ROBUSTNESS, wire=Wire.GRPC, title=title)(run)


for _method in (
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryRegister",
    "TraceSetting",
    "LogSettings",
):
    _closed(_method)
