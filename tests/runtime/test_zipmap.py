"""scikit-learn's classifiers with ZipMap, served as tensors: the same numbers as ONNX Runtime's dictionaries."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.loading import LoadedModel, load_model
from tidegate_runtime.model.vetting import load_vetted
from tidegate_runtime.tensors import Array, Datatype, TensorSpec

ML = "ai.onnx.ml"
NAMES: dict[str, list[Any]] = {"int64": [10, 20, 30], "string": ["ham", "spam", "tea"]}
FEEDS = {"x": np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32)}


def linear(classes: list[Any]) -> onnx.NodeProto:
    return helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain=ML,
        coefficients=[1.0, -2.0, 0.5, 0.25, -1.0, 3.0],
        intercepts=[0.0, 0.5, -0.5],
        post_transform="SOFTMAX",
        multi_class=1,
        **named(classes, "ints"),
    )


def tree(classes: list[Any]) -> onnx.NodeProto:
    """One tree: x[0] <= 0 gives the first class, else x[1] <= 0 the second, else the third."""
    return helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain=ML,
        nodes_treeids=[0] * 5,
        nodes_nodeids=[0, 1, 2, 3, 4],
        nodes_featureids=[0, 0, 1, 0, 0],
        nodes_values=[0.0] * 5,
        nodes_hitrates=[1.0] * 5,
        nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 3, 0, 0],
        nodes_falsenodeids=[2, 0, 4, 0, 0],
        nodes_missing_value_tracks_true=[0] * 5,
        class_treeids=[0] * 3,
        class_nodeids=[1, 3, 4],
        class_ids=[0, 1, 2],
        class_weights=[1.0, 1.0, 1.0],
        post_transform="NONE",
        **named(classes, "int64s"),
    )


def named(classes: list[Any], integers: str) -> dict[str, Any]:
    return {f"classlabels_{integers if isinstance(classes[0], int) else 'strings'}": classes}


def model_of(classifier: onnx.NodeProto, classes: list[Any], *, only_ml: bool = False) -> onnx.ModelProto:
    kind = TensorProto.INT64 if isinstance(classes[0], int) else TensorProto.STRING
    zipmap = helper.make_node("ZipMap", ["scores"], ["probabilities"], domain=ML, **named(classes, "int64s"))
    mapped = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graph = helper.make_graph(
        [classifier, zipmap],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor_value_info("label", kind, ["N"]),
            helper.make_value_info("probabilities", helper.make_sequence_type_proto(mapped)),
        ],
    )
    opsets = [helper.make_opsetid(ML, 3)] + ([] if only_ml else [helper.make_opsetid("", 18)])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def loaded_from(folder: Path, model: onnx.ModelProto) -> LoadedModel:
    onnx.save(model, folder / "m.onnx")
    return load_model(folder / "m.onnx", "cpu", 1, 8, measure_seconds=0)


@pytest.mark.parametrize("build", [linear, tree])
@pytest.mark.parametrize("classes", NAMES.values(), ids=NAMES)
def test_scores_and_labels_are_those_of_the_dictionaries(build: Any, classes: list[Any], tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path, model_of(build(classes), classes))
    labels, scores = loaded.session.run(FEEDS, None)
    direct = ort.InferenceSession(str(tmp_path / "m.onnx")).run(None, FEEDS)
    assert labels.tolist() == direct[0].tolist()
    assert scores.dtype == np.float32
    assert [dict(zip(classes, row, strict=True)) for row in scores.tolist()] == direct[1]
    assert loaded.labels == {"probabilities": tuple(str(name) for name in classes)}


def test_the_signature_says_so_and_rows_are_batched(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path, model_of(linear(NAMES["string"]), NAMES["string"]))
    assert loaded.signature.outputs == (
        TensorSpec("label", Datatype.BYTES, ("N",)),
        TensorSpec("probabilities", Datatype.FP32, ("N", 3)),
    )
    assert loaded.verdict.batched


def test_a_model_of_classical_operators_alone_is_served(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path, model_of(linear(NAMES["int64"]), NAMES["int64"], only_ml=True))
    assert loaded.labels == {"probabilities": ("10", "20", "30")}


def test_a_vetted_model_is_changed_in_both_processes(tmp_path: Path) -> None:
    onnx.save(model_of(tree(NAMES["int64"]), NAMES["int64"]), tmp_path / "m.onnx")
    loaded = load_vetted(tmp_path / "m.onnx", "cpu", 1, 8, measure_seconds=0)
    scores: Array = loaded.session.run(FEEDS, None)[1]
    assert scores.shape == (7, 3)
    assert loaded.labels == {"probabilities": ("10", "20", "30")}


def test_scores_that_are_an_output_of_their_own_stay_one(tmp_path: Path) -> None:
    model = model_of(linear(NAMES["int64"]), NAMES["int64"])
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3]))
    loaded = loaded_from(tmp_path, model)
    _, probabilities, scores = loaded.session.run(FEEDS, None)
    assert probabilities.tolist() == scores.tolist()


def test_a_zipmap_of_a_model_with_external_data_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = model_of(linear(NAMES["int64"]), NAMES["int64"])
    model.graph.initializer.append(numpy_helper.from_array(np.ones(64, np.float32), "w"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(
        StartupFailure, match="comes from a ZipMap, which is taken out of models in one file"
    ) as failure:
        load_model(tmp_path / "m.onnx", "cpu", 1, 8)
    assert failure.value.reason == "UnsupportedSignature"
