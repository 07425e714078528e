"""The fields of Triton's `ModelConfig` that are honoured, as a protobuf message of their own."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from tidegate_runtime.tensors import Datatype

KINDS: Final = {"KIND_AUTO": None, "KIND_GPU": "cuda", "KIND_CPU": "cpu", "KIND_MODEL": None}
"""Kind of an instance → the device it asks for, None: any."""
DATATYPES: Final = {
    **{f"TYPE_{datatype}": datatype for datatype in Datatype if datatype is not Datatype.BYTES},
    "TYPE_STRING": Datatype.BYTES,
}
FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ModelConfig": {
        "name": "string",
        "platform": "string",
        "backend": "string",
        "max_batch_size": "int32",
        "input": ["ModelTensor"],
        "output": ["ModelTensor"],
        "version_policy": "VersionPolicy",
        "dynamic_batching": "DynamicBatching",
        "instance_group": ["InstanceGroup"],
        "parameters": ["Parameter"],
    },
    "ModelTensor": {"name": "string", "data_type": "DataType", "dims": ["int64"]},
    "VersionPolicy": {"latest": "Latest", "all": "All", "specific": "Specific"},
    "Latest": {"num_versions": "uint32"},
    "All": {},
    "Specific": {"versions": ["int64"]},
    "DynamicBatching": {"preferred_batch_size": ["int32"], "max_queue_delay_microseconds": "uint64"},
    "Parameter": {"key": "string", "value": "ParameterValue"},
    "ParameterValue": {"string_value": "string"},
    "InstanceGroup": {"count": "int32", "kind": "Kind"},
}
"""Message → field → type, in brackets where it is repeated."""
ENUMS: Final = {"DataType": ("TYPE_INVALID", *DATATYPES), "Kind": tuple(KINDS)}
_PACKAGE: Final = "tidegate.config"


def _described() -> FileDescriptorProto:
    """The messages and enumerations above as protoc would describe them. The text format has no field numbers."""
    file = FileDescriptorProto(name="tidegate/config.proto", package=_PACKAGE, syntax="proto2")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            _describe(message.field.add(name=field, number=number), kind)
    return file


def _describe(field: FieldDescriptorProto, kind: Any) -> None:
    repeated = isinstance(kind, list)
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    name = kind[0] if repeated else kind
    if name in FIELDS or name in ENUMS:
        field.type = FieldDescriptorProto.TYPE_ENUM if name in ENUMS else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{name}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(_described().SerializeToString())
ModelConfigMessage: Final[Any] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.ModelConfig"))
