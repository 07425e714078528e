"""docs/spec.md tells every field of the spec."""

from pathlib import Path

import yaml

from tidegate_operator.api.page import page
from tidegate_operator.api.spec import InferenceServiceSpec

PAGE = Path(__file__).parents[2] / "docs/spec.md"


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text() == page(), "run `make crds`"


def test_the_pages_example_is_a_spec() -> None:
    example = yaml.safe_load(PAGE.read_text().split("```yaml\n")[1].split("```")[0])
    InferenceServiceSpec.model_validate(example["spec"])
