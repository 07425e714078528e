"""convert, from files and pipes."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tidegate_operator.cli.app import app

KSERVE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: churn}
spec:
  predictor:
    model: {modelFormat: {name: onnx}, storageUri: "https://models.example/churn.onnx", runtime: kserve-tritonserver}
"""
OTHER = KSERVE.replace("churn", "fraud").replace("onnx}", "sklearn}")


def test_a_file_becomes_a_manifest_and_what_is_lost_is_told_beside(tmp_path: Path) -> None:
    file = tmp_path / "kserve.yaml"
    file.write_text(KSERVE)
    result = CliRunner().invoke(app, ["convert", str(file)])
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout) == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "churn"},
        "spec": {"model": {"uri": "https://models.example/churn.onnx"}, "runtime": {"device": "cpu"}},
    }
    assert result.stderr == "churn: spec.predictor.model.runtime: not carried over: there is one runtime\n"


def test_strictly_anything_that_is_lost_fails() -> None:
    result = CliRunner().invoke(app, ["convert", "-", "--strict"], input=KSERVE)
    assert result.exit_code == 1
    assert result.stdout.startswith("apiVersion: tidegate.dev/v1alpha1\n")


def test_of_several_documents_those_that_can_be_are_converted_and_the_rest_fails() -> None:
    result = CliRunner().invoke(app, ["convert", "-"], input=f"{KSERVE}---\n{OTHER}---\n")
    assert result.exit_code == 1
    assert [found["metadata"]["name"] for found in yaml.safe_load_all(result.stdout)] == ["churn"]
    assert "fraud: spec.predictor.model.modelFormat.name: essential: 'sklearn' isn't served" in result.stderr


def test_a_list_is_converted_entry_by_entry_and_had_as_json() -> None:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(KSERVE)] * 2})
    result = CliRunner().invoke(app, ["convert", "-", "-o", "json"], input=listed)
    assert result.exit_code == 0
    assert [item["kind"] for item in json.loads(result.stdout)["items"]] == ["InferenceService"] * 2


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "text", "kind: List\nitems: [1]"])
def test_what_holds_no_object_is_exit_code_2(text: str) -> None:
    result = CliRunner().invoke(app, ["convert", "-"], input=text)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "No such file" in result.stderr
