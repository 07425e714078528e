"""The JSON that goes over HTTP, as schemas that `paths` refers to by name.

They say what a schema can. That `data` has as many elements as `shape` says, that names and datatypes are the model's:
these hold, too, and are refused with 400, but no schema tells them.
"""

from typing import Any, Final

from tidegate_runtime.protocol.json_tensors import MAX_DIMENSION, MAX_RANK
from tidegate_runtime.protocol.parameters import MAX_INTEGER, MAX_REGION_NAME
from tidegate_runtime.protocol.shared_tensors import MAX_SIZE
from tidegate_runtime.protocol.v1_json import SIGNATURE
from tidegate_runtime.protocol.v2_request import MAX_ID_BYTES
from tidegate_runtime.service import State
from tidegate_runtime.tensors import Datatype
from tidegate_runtime.trace_settings import MODE

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
SCALAR: Final[Schema] = {"type": ["string", "number", "boolean"]}
_NATURAL: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 1024}


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, **bounds: Any) -> Schema:
    """A list of them."""
    return {"type": "array", "items": items, **bounds}


def closed(properties: Schema, *optional: str) -> Schema:
    """An object that we write: these members and no others, all of them but for the `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def taken(properties: Schema, *required: str, null: bool = False) -> Schema:
    """An object that we read, in which members that we don't know are ignored."""
    schema: Schema = {"type": ["object", "null"] if null else "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def nullable(schema: Schema) -> Schema:
    """The same, or null, which is as if it were left out."""
    return {"anyOf": [schema, {"type": "null"}]}


def _parameters(properties: Schema) -> Schema:
    """Scalars by name; those that the protocol reserves belong to one place, and some aren't served: 400."""
    return taken(properties, null=True) | {"additionalProperties": SCALAR}


_SIZE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MAX_DIMENSION}
_ANY_SIZE: Final[Schema] = {"type": "integer", "minimum": -1, "description": "-1: any"}
_V1_SIGNATURE: Final[Schema] = {"enum": [SIGNATURE, "", None]}
_DATATYPE: Final[Schema] = {"enum": [datatype.value for datatype in Datatype]}

_SHARED: Final[Schema] = {
    "shared_memory_region": {"type": "string", "minLength": 1, "maxLength": MAX_REGION_NAME},
    "shared_memory_byte_size": {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
    "shared_memory_offset": {"type": "integer", "minimum": 0, "maximum": MAX_SIZE},
}
"""Where a tensor is, or is to be; region and size go together."""

_REQUEST: Final[Schema] = {
    "InferRequest": taken(
        {
            "id": {"type": ["string", "null"], "maxLength": MAX_ID_BYTES, "description": "echoed"},
            "parameters": _parameters(
                {
                    "priority": _NATURAL | {"description": "1 is the highest; 0: the default"},
                    "timeout": _NATURAL | {"description": "microseconds, 0: the server's own"},
                    "binary_data_output": BOOLEAN | {"description": "whether outputs are binary unless they say"},
                }
            ),
            "inputs": array(ref("InputTensor"), minItems=1),
            "outputs": nullable(array(ref("RequestedOutput"))) | {"description": "none: all of the model's"},
        },
        "inputs",
    ),
    "InputTensor": taken(
        {
            "name": _NAME,
            "shape": array(_SIZE, maxItems=MAX_RANK),
            "datatype": _DATATYPE,
            "parameters": _parameters(
                {"binary_data_size": _NATURAL | {"description": "bytes behind the JSON, in place of data"}} | _SHARED
            ),
            "data": nullable(array({})) | {"description": "flat in row-major order, or nested as the shape says"},
        },
        "name",
        "shape",
        "datatype",
    ),
    "RequestedOutput": taken(
        {
            "name": _NAME,
            "parameters": _parameters(
                {"binary_data": BOOLEAN, "classification": _NATURAL | {"description": "how many classes, best first"}}
                | _SHARED
            ),
        },
        "name",
    ),
    "PredictRequest": {
        "oneOf": [
            taken({"instances": array({}, minItems=1), "signature_name": _V1_SIGNATURE}, "instances"),
            taken({"inputs": {}, "signature_name": _V1_SIGNATURE}, "inputs"),
        ],
        "description": "rows, or columns by input name",
    },
}

_ANSWERS: Final[Schema] = {
    "ConnectError": closed(
        {
            "code": STRING | {"description": "the gRPC status' name, in lower case"},
            "message": STRING | {"description": "what, where, limit"},
        }
    ),
    "Error": closed({"error": STRING | {"description": "what, where, limit"}}),
    "InferResponse": closed(
        {
            "model_name": STRING,
            "model_version": STRING,
            "id": STRING,
            "outputs": array(ref("OutputTensor")),
        },
        "id",
    ),
    "OutputTensor": {
        "oneOf": [
            closed(
                {
                    "name": STRING,
                    "datatype": _DATATYPE,
                    "shape": array(COUNT),
                    "data": array({"type": ["string", "number", "boolean", "null"]})
                    | {"description": "flat in row-major order; null for NaN and infinities"},
                }
            ),
            closed(
                {
                    "name": STRING,
                    "datatype": _DATATYPE,
                    "shape": array(COUNT),
                    "parameters": {
                        "oneOf": [closed({"binary_data_size": COUNT}), closed(_SHARED, "shared_memory_offset")]
                    },
                }
            ),
        ]
    },
    "PredictResponse": {"oneOf": [closed({"predictions": array({})}), closed({"outputs": {}})]},
    "Live": closed({"live": {"const": True}}),
    "Ready": closed({"ready": {"const": True}}),
    "ModelReady": closed({"name": STRING, "ready": {"const": True}}),
    "V1Ready": closed({"name": STRING, "ready": BOOLEAN}),
    "Names": closed({"models": array(STRING)}),
    "ServerMetadata": closed({"name": STRING, "version": STRING, "extensions": array(STRING)}),
    "TensorMetadata": closed({"name": STRING, "datatype": _DATATYPE, "shape": array(_ANY_SIZE)}),
    "ModelMetadata": closed(
        {
            "name": STRING,
            "versions": array(STRING),
            "platform": STRING,
            "inputs": array(ref("TensorMetadata")),
            "outputs": array(ref("TensorMetadata")),
        }
    ),
}

_TENSOR_CONFIG: Final = closed({"name": STRING, "data_type": STRING, "dims": array(_ANY_SIZE)})
_DURATION: Final = closed({"count": COUNT, "ns": COUNT})

_FACTS: Final[Schema] = {
    "ModelConfig": closed(
        {
            "name": STRING,
            "platform": STRING,
            "backend": STRING,
            "version_policy": {"type": "object"},
            "max_batch_size": COUNT,
            "input": array(_TENSOR_CONFIG),
            "output": array(_TENSOR_CONFIG),
            "instance_group": array(closed({"name": STRING, "count": COUNT, "kind": STRING})),
            "default_model_filename": STRING,
            "parameters": {"type": "object", "additionalProperties": closed({"string_value": STRING})},
            "dynamic_batching": closed(
                {"preferred_batch_size": array(COUNT), "max_queue_delay_microseconds": COUNT},
            ),
        },
        "dynamic_batching",
    ),
    "ModelStatistics": closed({"model_stats": array(ref("VersionStatistics"))}),
    "VersionStatistics": closed(
        {
            "name": STRING,
            "version": STRING,
            "last_inference": COUNT | {"description": "milliseconds since the epoch; 0: none yet"},
            "inference_count": COUNT,
            "execution_count": COUNT,
            "inference_stats": closed(
                dict.fromkeys(
                    (
                        *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
                        *("cache_hit", "cache_miss"),
                    ),
                    _DURATION,
                )
            ),
            "response_stats": {"type": "object", "maxProperties": 0},
            "batch_stats": array(
                closed(
                    {"batch_size": COUNT}
                    | dict.fromkeys(("compute_input", "compute_infer", "compute_output"), _DURATION)
                )
            ),
            "memory_usage": {"type": "array", "maxItems": 0},
        }
    ),
}

_LEVELS: Final = ["OFF", "TIMESTAMPS"]
_DIGITS: Final = {"type": "string", "pattern": "^-?[0-9]+$"}

_ADMINISTRATION: Final[Schema] = {
    "IndexRequest": taken({"ready": BOOLEAN | {"description": "only what serves"}}),
    "Index": array(
        closed({"name": STRING, "version": STRING, "state": {"enum": [*State]}, "reason": STRING}, "version", "reason")
    ),
    "LoadRequest": taken({"parameters": {"type": "object", "maxProperties": 0}}),
    "UnloadRequest": taken({"parameters": closed({"unload_dependents": {}}, "unload_dependents")}),
    "LogSettings": closed(
        {
            "log_info": BOOLEAN,
            "log_warning": BOOLEAN,
            "log_error": BOOLEAN,
            "log_verbose_level": {"type": "integer"},
        }
    ),
    "Regions": array(closed({"name": STRING, "key": STRING, "offset": COUNT, "byte_size": COUNT})),
    "RegionToRegister": taken(
        {
            "key": STRING | {"minLength": 1, "description": "of a POSIX shared memory object, such as /input"},
            "offset": {"type": "integer", "minimum": 0, "maximum": MAX_SIZE, "description": "left out: 0"},
            "byte_size": {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
        },
        "key",
        "byte_size",
    ),
    "TraceSettings": closed(
        {
            "trace_level": array({"enum": _LEVELS}, minItems=1, maxItems=1),
            "trace_rate": _DIGITS | {"description": "one of so many is recorded; 0: those alone whose caller says so"},
            "trace_count": _DIGITS | {"description": "how many more are recorded; -1: any number"},
            "trace_mode": {"const": MODE},
        },
        "trace_rate",
        "trace_count",
        "trace_mode",
    ),
}
_ADMINISTRATION["LogChange"] = _ADMINISTRATION["LogSettings"] | {"required": []}
_ADMINISTRATION["TraceChange"] = closed(
    {
        "trace_level": {"enum": [None, [], *_LEVELS, *([level] for level in _LEVELS)]},
        "trace_rate": nullable(_DIGITS | {"maxLength": 10}),
        "trace_count": nullable(_DIGITS | {"maxLength": 10}),
        "trace_mode": {"enum": [None, MODE]},
    },
    *("trace_level", "trace_rate", "trace_count", "trace_mode"),
)

SCHEMAS: Final[Schema] = _REQUEST | _ANSWERS | _FACTS | _ADMINISTRATION
