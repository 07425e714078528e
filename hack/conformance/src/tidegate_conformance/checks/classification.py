"""Classification: the best classes of an output instead of its numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Run, check
from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.expect import Skip, equal, fail
from tidegate_conformance.rest.client import model_path
from tidegate_conformance.rest.infer import decode, document
from tidegate_conformance.subject import Subject

VALUES = np.array([[1.5, -2, 10, 4], [0.25, 8, -1, 0]], np.float32)


def _check(name: str, level: Level = Level.EXTENSION) -> Callable[[Run], Run]:
    return check(
        f"rest.classification.{name}",
        sources.CLASSIFICATION,
        level=level,
        extension="classification",
        model="identity_fp32",
    )


def expect_classes(found: list[bytes], expected: list[tuple[float, int]]) -> None:
    """Raises `Mismatch` unless the elements are `value:index` as expected; how a value is written is left open."""
    for element, (value, index) in zip(found, expected, strict=True):
        parts = element.decode(errors="replace").split(":")
        try:
            holds = len(parts) >= 2 and float(parts[0]) == value and int(parts[1]) == index
        except ValueError:
            holds = False
        if not holds:
            fail("a class", f"{value}:{index}", element)


def _classes(subject: Subject, count: Any, **parameters: Any) -> Any:
    config = subject.rest.get(model_path(subject.model.name, verb="config"))
    if config.status == 200 and config.json().get("max_batch_size") == 0:
        raise Skip("the server doesn't batch the model, so that it has no rows to classify")
    outputs = [{"name": "y", "parameters": {"classification": count} | parameters}]
    return decode(subject.post(document(subject.model, {"x": VALUES}, outputs=outputs))).outputs["y"]


@_check("one")
def one(subject: Subject) -> None:
    """The best class of each row, as BYTES of shape [rows, 1]."""
    output = _classes(subject, 1)
    equal("datatype", Datatype.BYTES, output.datatype)
    equal("shape", [2, 1], list(output.array.shape))
    expect_classes(output.array.ravel().tolist(), [(10, 2), (8, 1)])


@_check("three")
def three(subject: Subject) -> None:
    """The three best classes of each row, the best first."""
    output = _classes(subject, 3)
    equal("shape", [2, 3], list(output.array.shape))
    expect_classes(output.array.ravel().tolist(), [(10, 2), (4, 3), (1.5, 0), (8, 1), (0.25, 0), (0, 3)])


@_check("more-than-there-are")
def more(subject: Subject) -> None:
    """More classes than there are: all of them."""
    output = _classes(subject, 9)
    equal("shape", [2, 4], list(output.array.shape))


@_check("negative", Level.ROBUSTNESS)
def negative(subject: Subject) -> None:
    """A number of classes below zero is refused."""
    outputs = [{"name": "y", "parameters": {"classification": -1}}]
    subject.post(document(subject.model, {"x": VALUES}, outputs=outputs)).refusal(400)


@_check("string", Level.ROBUSTNESS)
def string(subject: Subject) -> None:
    """A number of classes that is a string is refused."""
    outputs = [{"name": "y", "parameters": {"classification": "2"}}]
    subject.post(document(subject.model, {"x": VALUES}, outputs=outputs)).refusal(400)
