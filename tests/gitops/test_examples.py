"""The examples in gitops/ name what is there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate_operator import naming

GITOPS = Path(__file__).parents[2] / "gitops"
CHART = Path(__file__).parents[2] / "charts/tidegate"


def documents(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((GITOPS / path).read_text()))


def test_flux_waits_for_our_kind_by_both_of_its_lists() -> None:
    (models,) = documents("flux/models.yaml")
    for check in (*models["spec"]["healthChecks"], *models["spec"]["healthCheckExprs"]):
        assert (check["apiVersion"], check["kind"]) == (naming.API_VERSION, naming.KIND)


@pytest.mark.parametrize(
    ("path", "values"),
    [("flux/tidegate.yaml", ("values",)), ("argo-cd/applications.yaml", ("source", "helm", "valuesObject"))],
)
def test_the_values_are_of_the_chart(path: str, values: tuple[str, ...]) -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    given = next(found["spec"] for found in documents(path) if found["kind"] in ("HelmRelease", "Application"))
    for key in values:
        given = given[key]
    assert given
    for section, settings in given.items():
        assert set(settings) <= set(known[section])
