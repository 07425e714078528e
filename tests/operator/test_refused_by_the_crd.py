"""Bad specs are refused by the CRD alone: the tables that are also held against a real API server."""

import pytest

from lab.specs.accepted import ACCEPTED
from lab.specs.parts import Object, with_model
from lab.specs.refused import BAD_NAMES, REFUSED, tells
from tidegate_operator.api.spec import InferenceServiceSpec

from .admission import refusals


@pytest.mark.parametrize(("spec", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_the_crd_refuses(spec: Object, told: str) -> None:
    found = refusals(spec)
    assert any(tells(refusal, told) for refusal in found), found


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_the_crd_refuses_a_name(name: str) -> None:
    assert any("metadata.name must" in refusal for refusal in refusals(with_model(), name))


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_crd_takes_and_the_controller_reads(spec: Object) -> None:
    assert refusals(spec) == []
    InferenceServiceSpec.model_validate(spec)
