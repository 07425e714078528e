"""Message classes made from the tables of `schema`.

They live in a pool of their own: real clients and servers register the same names in protobuf's default pool, which
takes each name once a process.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tidegate_conformance.rpc.schema import MESSAGES

Message = Any
"""A protobuf message; its class exists at run time alone."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final[dict[str, int]] = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def _file(package: str, messages: dict[str, str]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            _add_field(package, message, text.split())
    return file


def _add_field(package: str, message: Any, words: list[str]) -> None:
    number, *modifiers, kind, name = words
    label = _Field.LABEL_REPEATED if modifiers in (["repeated"], ["map"]) else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if modifiers == ["map"]:
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
        _set_type(package, entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL), kind)
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{message.name}.{entry.name}"
        return
    _set_type(package, field, kind)
    if modifiers == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0


def _set_type(package: str, field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for package, messages in MESSAGES.items():
        pool.Add(_file(package, messages))
    return {
        f"{package}.{name}": message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for package, messages in MESSAGES.items()
        for name in messages
    }


CLASSES: Final = _classes()


def message(full_name: str, **fields: Any) -> Message:
    """A new message, such as `message("inference.ModelReadyRequest", name="m")`."""
    return CLASSES[full_name](**fields)
