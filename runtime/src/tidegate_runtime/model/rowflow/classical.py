"""Operators of ai.onnx.ml: trees, linear models and their preprocessing, one sample per row by definition."""

from collections.abc import Sequence
from typing import Final

from tidegate_runtime.model.rowflow.node import Node, rule
from tidegate_runtime.model.rowflow.values import Rows, Unproved, Value, fresh

ML: Final = "ai.onnx.ml"


@rule("Binarizer", "Imputer", "Normalizer", "Scaler", domain=ML)
def same_shape(node: Node) -> Sequence[Value]:
    """Element by element, or along each sample's features."""
    _sample_per_row(node, 0)
    return [node.only_first_is_rows()]


@rule("LinearRegressor", "SVMRegressor", "TreeEnsemble", "TreeEnsembleRegressor", domain=ML)
def regressor(node: Node) -> Sequence[Value]:
    """One line of results per sample; aggregates are over trees, not samples."""
    _sample_per_row(node, 0)
    return [Rows(node.rows().lead, (fresh(),))]


@rule("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", domain=ML)
def classifier(node: Node) -> Sequence[Value]:
    """A label and a line of scores per sample."""
    _sample_per_row(node, 0)
    lead = node.rows().lead
    return [Rows(lead, ()), Rows(lead, (fresh(),))]


@rule("ArrayFeatureExtractor", domain=ML)
def feature_extractor(node: Node) -> Sequence[Value]:
    """Picks along the last axis."""
    _sample_per_row(node, 0)
    return [node.same_rank(node.only_first_is_rows(), node.rank())]


@rule("FeatureVectorizer", domain=ML)
def feature_vectorizer(node: Node) -> Sequence[Value]:
    """Concatenates features."""
    for index in range(len(node.inputs)):
        _sample_per_row(node, index)
    if any(node.rows(index).lead != node.rows().lead for index in range(len(node.inputs))):
        raise Unproved("inputs of different numbers of rows")
    return [node.same_rank(node.rows(), 2)]


@rule("OneHotEncoder", domain=ML)
def one_hot(node: Node) -> Sequence[Value]:
    """Adds an axis at the end."""
    rows = node.rows()
    return [Rows(rows.lead, (*(rows.tail or ()), fresh()) if rows.tail is not None else None)]


def _sample_per_row(node: Node, index: int) -> None:
    """A tensor of rank 1 would be a single sample, whatever its length."""
    if node.rank(index) < 2:
        raise Unproved("a tensor of rank 1 is one sample")
