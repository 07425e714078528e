"""V1, the protocol before: TensorFlow Serving's `:predict`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate_conformance import sources
from tidegate_conformance.check import Level, Run, check
from tidegate_conformance.expect import Skip, equal, member, true
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.subject import Subject


def _check(name: str, level: Level = Level.EXTENSION, model: str = "rows") -> Callable[[Run], Run]:
    return check(f"v1.{name}", sources.V1, level=level, model=model)


def _offered(subject: Subject) -> Answer:
    """The listing. Raises `Skip` where the server has no V1."""
    answer = subject.rest.get("/v1/models")
    if answer.status in (404, 405, 501):
        raise Skip("the server doesn't speak V1")
    return answer


def _predict(subject: Subject, document: Any) -> Answer:
    _offered(subject)
    return subject.rest.post(f"/v1/models/{subject.model.name}:predict", document)


@_check("list")
def listing(subject: Subject) -> None:
    """/v1/models lists the model."""
    found = member(_offered(subject).must_be(200).json(), "models", list, "the listing")
    true("the model is listed", subject.model.name in found, found)


@_check("model")
def model(subject: Subject) -> None:
    """/v1/models/<name> says that the model is ready."""
    _offered(subject)
    found = subject.rest.get(f"/v1/models/{subject.model.name}").must_be(200).json()
    equal("name", subject.model.name, member(found, "name", str, "the model"))
    true("ready is true or a word for it", found.get("ready") in (True, "True", "true"), found)


@_check("predict")
def predict(subject: Subject) -> None:
    """Predictions of instances, one each, in their order."""
    values = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0.5, 0, -1, -2]], np.float32)
    answer = _predict(subject, {"instances": values.tolist()}).must_be(200)
    found = member(answer.json(), "predictions", list, "the answer")
    equal("predictions", (values * 2 + 1).tolist(), np.array(found, np.float32).tolist())


@_check("predict-twice")
def predict_unlike(subject: Subject) -> None:
    """One instance after a batch gets one prediction."""
    for rows in (4, 1):
        values = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
        found = member(_predict(subject, {"instances": values.tolist()}).must_be(200).json(), "predictions", list, "it")
        equal("number of predictions", rows, len(found))


@_check("unknown-model")
def unknown(subject: Subject) -> None:
    """A prediction of an unknown model is refused with an error object."""
    _offered(subject)
    subject.rest.post("/v1/models/no-such-model:predict", {"instances": [[1, 2, 3, 4]]}).refusal(404)


@_check("bad-instances", Level.ROBUSTNESS)
def bad_instances(subject: Subject) -> None:
    """Instances that are absent, empty, ragged or of a wrong type are refused."""
    _predict(subject, {}).refusal(400)
    wrong: list[Any] = [[], [[1], [1, 2]], [["a"] * 4], 1, None]
    for instances in wrong:
        _predict(subject, {"instances": instances}).refusal(400)
