"""A model's declared inputs and outputs, and whether a request fits them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from tidegate_runtime.errors import InvalidRequest, InvalidTensor, StartupFailure
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Datatype, Feeds, InferRequest, RequestedOutput, Tensor, TensorSpec, declared_size
from tidegate_runtime.wording import quoted

ONNX_TYPES: Final = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(bfloat16)": Datatype.BF16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}


_BINARY_ONLY: Final = frozenset({Datatype.FP16, Datatype.BF16})


class Declared(Protocol):
    """What ONNX Runtime's `NodeArg` says of an input or output; a free dimension is a name or None."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> Iterable[int | str | None]: ...  # noqa: D102


_Plain = tuple[str, Datatype, tuple[int | str, ...]]
"""An input whose leading dimension alone is free: its name, its datatype, and its fixed sizes behind that."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs in declared order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _plain: tuple[_Plain, ...] | None = field(init=False, repr=False, compare=False)
    _all_outputs: tuple[int, ...] = field(init=False, repr=False, compare=False)
    binary_only: Mapping[str, Datatype] = field(init=False, repr=False, compare=False)
    """The outputs whose datatype has no form in text, by name."""

    def __post_init__(self) -> None:
        plain = [spec for spec in self.inputs if spec.shape and isinstance(spec.shape[0], str)]
        plain = [spec for spec in plain if not any(isinstance(size, str) for size in spec.shape[1:])]
        every = tuple((spec.name, spec.datatype, spec.shape[1:]) for spec in plain)
        object.__setattr__(self, "_plain", every if len(plain) == len(self.inputs) else None)
        object.__setattr__(self, "_all_outputs", tuple(range(len(self.outputs))))
        halves = {spec.name: spec.datatype for spec in self.outputs if spec.datatype in _BINARY_ONLY}
        object.__setattr__(self, "binary_only", halves)

    @classmethod
    def declared(cls, inputs: Iterable[Declared], outputs: Iterable[Declared]) -> "Signature":
        """From what ONNX Runtime reports. Raises `StartupFailure` for anything but tensors of the protocol's types."""
        return cls(tuple(_spec(value, "input") for value in inputs), tuple(_spec(value, "output") for value in outputs))

    def check(self, request: InferRequest) -> Feeds:
        """The request's arrays by input name. Raises `InvalidRequest` naming what was expected and what came."""
        feeds = self._check_plain(request.inputs)
        if feeds is not None:
            return feeds
        given = {tensor.name: tensor for tensor in request.inputs}
        self._check_input_names(request, given)
        sizes: dict[str, tuple[int, str]] = {}
        for spec in self.inputs:
            _check_tensor(given[spec.name], spec, sizes)
        return {name: tensor.array for name, tensor in given.items()}

    def check_outputs(self, wanted: tuple[RequestedOutput, ...] | None) -> tuple[int, ...]:
        """The wanted outputs' places in declared order. Raises `InvalidRequest` for one that is unknown or repeated."""
        if wanted is None:
            return self._all_outputs
        names = [spec.name for spec in self.outputs]
        asked = [output.name for output in wanted]
        for name in asked:
            if name not in names:
                raise InvalidRequest(f"output {quoted([name])} does not exist; the model has {quoted(names)}")
        _refuse_repeated(asked, "output")
        return tuple(names.index(name) for name in asked)

    def check_forms(self, request: InferRequest) -> None:
        """Raises `InvalidTensor` for an output, wanted as numbers in text, whose datatype has no such form."""
        wanted = request.outputs
        if wanted is None:
            plain = () if request.binary else tuple(self.binary_only)
        else:
            plain = tuple(
                output.name
                for output in wanted
                if not output.classes
                and output.place is None
                and not (request.binary if output.binary is None else output.binary)
            )
        for name in plain:
            datatype = self.binary_only.get(name)
            if datatype is not None:
                raise InvalidTensor(
                    f'output "{name}": {datatype} has no JSON form in the Open Inference Protocol, and no field in '
                    'contents; ask for it with "parameters": {"binary_data": true}, over gRPC by sending the inputs as '
                    'raw_input_contents, or leave this output out of the request\'s "outputs"'
                )

    def _check_plain(self, given: tuple[Tensor, ...]) -> Feeds | None:
        """What `check` returns, at a tenth of its cost, for what is mostly sent; None leaves the case to `check`.

        That is: inputs in declared order with as many rows each, to a model with free leading dimensions alone.
        """
        plain = self._plain
        if plain is None or len(given) != len(plain):
            return None
        feeds = {}
        rows = None
        for (name, datatype, tail), tensor in zip(plain, given, strict=True):
            shape = tensor.array.shape
            if tensor.name != name or tensor.datatype is not datatype or not shape or shape[1:] != tail:
                return None
            if rows is None:
                rows = shape[0]
            elif rows != shape[0]:
                return None
            feeds[name] = tensor.array
        return feeds

    def _check_input_names(self, request: InferRequest, given: dict[str, Tensor]) -> None:
        expected = [spec.name for spec in self.inputs]
        _refuse_repeated([tensor.name for tensor in request.inputs], "input")
        extra = [name for name in given if name not in expected]
        missing = [name for name in expected if name not in given]
        if extra or missing:
            found = [f"unknown {quoted(extra)}"] if extra else []
            found += [f"missing {quoted(missing)}"] if missing else []
            raise InvalidRequest(f"inputs: {', '.join(found)}; the model takes {quoted(expected)}")


def _spec(declared: Declared, side: str) -> TensorSpec:
    datatype = ONNX_TYPES.get(declared.type)
    if datatype is None:
        raise StartupFailure(
            Reason.UNSUPPORTED_SIGNATURE,
            f'{side} "{declared.name}" is {declared.type}; tensors of {", ".join(Datatype)} can be served. '
            "Export the model with plain tensors (for scikit-learn: zipmap=False).",
        )
    return TensorSpec(declared.name, datatype, tuple(map(declared_size, declared.shape)))


def _check_tensor(tensor: Tensor, spec: TensorSpec, sizes: dict[str, tuple[int, str]]) -> None:
    """`sizes` holds the named free dimensions met so far, with the input that set each."""
    where = f'input "{spec.name}"'
    if tensor.datatype is not spec.datatype:
        raise InvalidTensor(f"{where}: expected {spec.datatype}, got {tensor.datatype}")
    got = tensor.array.shape
    fits = len(got) == len(spec.shape) and all(
        isinstance(declared, str) or declared == size for declared, size in zip(spec.shape, got, strict=True)
    )
    if not fits:
        raise InvalidTensor(f"{where}: expected shape {shown_shape(spec)}, got {list(got)}")
    for declared, size in zip(spec.shape, got, strict=True):
        if isinstance(declared, str) and declared:
            known, owner = sizes.setdefault(declared, (size, spec.name))
            if known != size:
                raise InvalidTensor(f'{where}: "{declared}" is {size} here but {known} in input "{owner}"')


def shown_shape(spec: TensorSpec) -> list[int]:
    """The shape as the protocol writes it: -1 for a free dimension."""
    return [-1 if isinstance(size, str) else size for size in spec.shape]


def _refuse_repeated(names: Iterable[str], side: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InvalidRequest(f"{side} {quoted(repeated)} is given more than once")
