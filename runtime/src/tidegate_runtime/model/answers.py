"""What the first answer of a model shows about the model itself. Pure."""

from collections.abc import Sequence

import numpy as np

from tidegate_runtime.model.signature import Signature, shown_shape
from tidegate_runtime.tensors import Array, Datatype, Feeds

REAL = frozenset({Datatype.FP16, Datatype.FP32, Datatype.FP64})


def unlike_declared(outputs: Sequence[Array], signature: Signature) -> str | None:
    """How an output contradicts the shape it is declared with; None if none does. No declared shape allows any."""
    for spec, output in zip(signature.outputs, outputs, strict=True):
        got = output.shape
        fits = len(got) == len(spec.shape) and all(
            isinstance(declared, str) or declared == size for declared, size in zip(spec.shape, got, strict=True)
        )
        if spec.shape and not fits:
            return f'output "{spec.name}" is declared with shape {shown_shape(spec)} but has {list(got)}'
    return None


def says_nothing(outputs: Sequence[Array], signature: Signature) -> bool:
    """Whether there are real numbers among the outputs, and every one of them is NaN."""
    real = [output for spec, output in zip(signature.outputs, outputs, strict=True) if spec.datatype in REAL]
    return any(output.size for output in real) and all(bool(np.isnan(output).all()) for output in real)


def plain_feeds(feeds: Feeds, signature: Signature, value: int) -> Feeds:
    """The same inputs with `value` in place of each real number: in any model's domain, if anything is."""
    real = {spec.name for spec in signature.inputs if spec.datatype in REAL}
    return {name: np.full_like(array, value) if name in real else array for name, array in feeds.items()}
