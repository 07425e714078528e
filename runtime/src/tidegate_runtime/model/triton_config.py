"""Triton's config.pbtxt, as far as it is honoured; every other field is refused by its name. Pure.

The format is protobuf's text format over Triton's `ModelConfig`; the fields and their meanings are those of
https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import text_format

from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.signature import Signature, shown_shape
from tidegate_runtime.model.triton_fields import DATATYPES, ENUMS, FIELDS, KINDS, ModelConfigMessage
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import TensorSpec

CONFIG_FILE: Final = "config.pbtxt"
MAX_ROWS: Final = 65536
MAX_DELAY_SECONDS: Final = 60.0

_PLATFORMS: Final = frozenset({"", "onnxruntime_onnx"})
_BACKENDS: Final = frozenset({"", "onnxruntime"})
_UNKNOWN: Final = re.compile(r'^(\d+):\d+ : .*?"?[\w.]*\.(\w+)"? has no field named "([^"]*)"', re.DOTALL)
_PAD: Final = "tidegate.pad."
_CUT: Final = "tidegate.cut."
_PADDED: Final = re.compile(r"axis=(\d{1,2}) value=(-?\d{1,15}(?:\.\d{1,15})?)")
_PLACED: Final = re.compile(r"axis=(\d{1,2})")
_PLACE: Final = re.compile(r"^(\d+):\d+ : ")


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which of the versions that there are shall be served: those of `specific`, else the `latest`, None: all."""

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def choice(self, versions: tuple[int, ...]) -> tuple[int, ...]:
        """The versions to serve, ascending."""
        if self.specific:
            return tuple(sorted(set(self.specific) & set(versions)))
        return tuple(sorted(versions))[-self.latest :] if self.latest else tuple(sorted(versions))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What a config.pbtxt says. `name` is "" and `device` None where it says nothing of them.

    `inputs` and `outputs` have whole shapes, the batch's dimension included; empty where none are listed.
    `max_rows` is 0 where the model has no batch's dimension. `text` is what was read, for another process to read.
    """

    name: str = ""
    max_rows: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    dynamic: bool = False
    preferred_rows: tuple[int, ...] = ()
    max_delay_seconds: float = 0.0
    versions: VersionPolicy = VersionPolicy()
    device: str | None = None
    padding: Padding | None = None
    text: str = field(default="", compare=False, repr=False)

    @property
    def declared(self) -> bool | None:
        """Whether requests may share a batch: no without its dimension, yes with `dynamic_batching`, None: as proved.

        `max_batch_size` alone says that a request may hold several rows, not that strangers' rows are independent.
        """
        if self.max_rows == 0:
            return False
        return True if self.dynamic else None


def read_config(text: str) -> ModelConfig:
    """The configuration in `text`. Raises `StartupFailure` with `ModelInvalid`, naming the field."""
    message = ModelConfigMessage()
    try:
        text_format.Parse(text, message)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise _unread(str(error)) from None
    _check_engine(message)
    max_rows = _max_rows(message)
    return ModelConfig(
        name=message.name,
        max_rows=max_rows,
        inputs=tuple(_spec(tensor, "input", max_rows) for tensor in message.input),
        outputs=tuple(_spec(tensor, "output", max_rows) for tensor in message.output),
        dynamic=message.HasField("dynamic_batching"),
        preferred_rows=_preferred(message, max_rows),
        max_delay_seconds=_delay(message),
        versions=_policy(message),
        device=_device(message),
        padding=_padding(message),
        text=text,
    )


def _check_engine(message: Any) -> None:
    if message.platform not in _PLATFORMS:
        raise _refused("platform", f'"{message.platform}" is not served; onnxruntime_onnx is')
    if message.backend not in _BACKENDS:
        raise _refused("backend", f'"{message.backend}" is not served; onnxruntime is')


def _max_rows(message: Any) -> int:
    rows: int = message.max_batch_size
    if not 0 <= rows <= MAX_ROWS:
        raise _refused("max_batch_size", f"must be from 0 to {MAX_ROWS}; it is {rows}")
    if rows == 0 and message.HasField("dynamic_batching"):
        raise _refused("dynamic_batching", "needs a max_batch_size above 0")
    return rows


def _spec(tensor: Any, side: str, max_rows: int) -> TensorSpec:
    if not tensor.name:
        raise _refused(f"{side}.name", "is missing")
    kind = ENUMS["DataType"][tensor.data_type]
    if kind not in DATATYPES:
        raise _refused(f"{side}.data_type", f'is missing for "{tensor.name}"')
    if not tensor.dims and max_rows == 0:
        raise _refused(f"{side}.dims", f'is missing for "{tensor.name}"')
    if any(size < -1 or size == 0 for size in tensor.dims):
        raise _refused(f"{side}.dims", f'of "{tensor.name}" must be above 0, or -1 for any size')
    shape: tuple[int | str, ...] = tuple(size if size > 0 else "" for size in tensor.dims)
    return TensorSpec(tensor.name, DATATYPES[kind], ("", *shape) if max_rows else shape)


def _preferred(message: Any, max_rows: int) -> tuple[int, ...]:
    rows = tuple(message.dynamic_batching.preferred_batch_size)
    if any(not 1 <= preferred <= max_rows for preferred in rows):
        raise _refused("dynamic_batching.preferred_batch_size", f"must be from 1 to max_batch_size, {max_rows}")
    return tuple(sorted(set(rows)))


def _delay(message: Any) -> float:
    seconds: float = message.dynamic_batching.max_queue_delay_microseconds / 1e6
    if seconds > MAX_DELAY_SECONDS:
        raise _refused("dynamic_batching.max_queue_delay_microseconds", f"must be at most {MAX_DELAY_SECONDS:.0f} s")
    return seconds


def _policy(message: Any) -> VersionPolicy:
    policy = message.version_policy
    given = [name for name in FIELDS["VersionPolicy"] if policy.HasField(name)]
    if len(given) > 1:
        raise _refused("version_policy", f"must be one of {', '.join(given)}")
    if given == ["all"]:
        return VersionPolicy(latest=None)
    if given == ["specific"]:
        versions = tuple(policy.specific.versions)
        if not versions or any(version < 1 for version in versions):
            raise _refused("version_policy.specific.versions", "must list versions from 1 on")
        return VersionPolicy(specific=versions)
    return VersionPolicy(policy.latest.num_versions or 1)


def _device(message: Any) -> str | None:
    groups = message.instance_group
    if len(groups) > 1:
        raise _refused("instance_group", "must be a single one; a model has one engine a device")
    for group in groups:
        if group.count not in {0, 1}:
            raise _refused("instance_group.count", f"must be 1; it is {group.count}. Scale by replicas instead")
        return KINDS[ENUMS["Kind"][group.kind]]
    return None


def _padding(message: Any) -> Padding | None:
    """Of the parameters `tidegate.pad.<input>` and `tidegate.cut.<output>`; there are no others."""
    inputs: dict[str, tuple[int, float]] = {}
    outputs: dict[str, int] = {}
    for parameter in message.parameters:
        key, text = parameter.key, parameter.value.string_value
        where = f'parameters "{key[:64]}"'
        if key.startswith(_PAD):
            said = _PADDED.fullmatch(text)
            if said is None or key in _keys(inputs, _PAD):
                raise _refused(where, 'must be given once, as "axis=1 value=0"')
            inputs[key.removeprefix(_PAD)] = int(said[1]), float(said[2])
        elif key.startswith(_CUT):
            said = _PLACED.fullmatch(text)
            if said is None or key in _keys(outputs, _CUT):
                raise _refused(where, 'must be given once, as "axis=1"')
            outputs[key.removeprefix(_CUT)] = int(said[1])
        else:
            raise _refused(where, f"is not supported here; supported are {_PAD}<input> and {_CUT}<output>")
    if outputs and not inputs:
        raise _refused("parameters", f"{_CUT}<output> needs an input that is padded, {_PAD}<input>")
    return Padding(inputs, outputs) if inputs else None


def _keys(names: Iterable[str], prefix: str) -> set[str]:
    return {prefix + name for name in names}


def _unread(error: str) -> StartupFailure:
    unknown = _UNKNOWN.match(error)
    if unknown:
        known = ", ".join(FIELDS.get(unknown[2], ())) or "nothing"
        return _refused(f"line {unknown[1]}: {unknown[3]}", f"is not supported here; supported are {known}")
    place = _PLACE.match(error)
    where = f"line {place[1]}: " if place else ""
    return StartupFailure(Reason.MODEL_INVALID, f"{CONFIG_FILE}: {where}{_PLACE.sub('', error)[:300]}")


def _refused(field: str, why: str) -> StartupFailure:
    return StartupFailure(Reason.MODEL_INVALID, f"{CONFIG_FILE}: {field} {why}")


def agreed(config: ModelConfig, signature: Signature) -> Signature:
    """The signature with the sizes that the configuration fixes.

    Raises `StartupFailure` with `UnsupportedSignature` where the two contradict each other: another set of names,
    another datatype or rank, a size that the model fixes otherwise, a batch's dimension that isn't free.
    """
    inputs = _agreed("input", config.inputs or signature.inputs, signature.inputs, config.max_rows)
    outputs = _agreed("output", config.outputs or signature.outputs, signature.outputs, config.max_rows)
    return Signature(inputs, outputs)


def _agreed(
    side: str, configured: tuple[TensorSpec, ...], declared: tuple[TensorSpec, ...], max_rows: int
) -> tuple[TensorSpec, ...]:
    said = {spec.name: spec for spec in configured}
    if len(said) < len(configured) or said.keys() != {spec.name for spec in declared}:
        names = ", ".join(f'"{spec.name}"' for spec in declared)
        raise _contradiction(f"{side} must list {names}, each once, or nothing")
    return tuple(_agreed_tensor(side, said[spec.name], spec, max_rows) for spec in declared)


def _agreed_tensor(side: str, said: TensorSpec, spec: TensorSpec, max_rows: int) -> TensorSpec:
    where = f'{side} "{spec.name}"'
    if said.datatype is not spec.datatype:
        raise _contradiction(f"{where} is {said.datatype}, the model's is {spec.datatype}")
    fits = len(said.shape) == len(spec.shape) and all(
        isinstance(size, str) or size == wanted for wanted, size in zip(said.shape, spec.shape, strict=True)
    )
    if not fits:
        batch = " (the batch's dimension added)" if max_rows else ""
        raise _contradiction(f"{where} has shape {shown_shape(said)}{batch}, the model's has {shown_shape(spec)}")
    if max_rows and not (spec.shape and isinstance(spec.shape[0], str)):
        raise _contradiction(
            f"{where} has no free leading dimension, which max_batch_size {max_rows} needs; set it to 0"
        )
    sizes = zip(said.shape, spec.shape, strict=True)
    return TensorSpec(
        spec.name, spec.datatype, tuple(own if isinstance(wanted, str) else wanted for wanted, own in sizes)
    )


def _contradiction(what: str) -> StartupFailure:
    return StartupFailure(Reason.UNSUPPORTED_SIGNATURE, f"{CONFIG_FILE}: {what}")
