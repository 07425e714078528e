"""Loops that never end, as far as the graph shows it."""

from pathlib import Path

import onnx
import pytest
from onnx import parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.endless import doubtful_loop, refuse_endless
from tidegate_runtime.model.vetting import Task, vet

GIVEN = "<bool true={1}, bool false={0}, int64 many={9223372036854775807}, int64 ten={10}>"


def loop(inputs: str, step: str = "go_on = Identity(go)", also: str = "") -> onnx.ModelProto:
    body = f"(int64 i, bool go, float v) => (bool go_on, float w) {{ {step} w = Identity(v) }}"
    text = f'<ir_version: 8, opset_import: ["": 18]> m (float x, bool asked, int64 n) => (float y) {GIVEN} {{'
    model: onnx.ModelProto = parser.parse_model(f"{text} y = Loop <body = b {body}> ({inputs}) {also} }}")
    return model


def sized(trips: str) -> onnx.ModelProto:
    """A loop of t steps, which is computed so from xs, of which s is the shape, k, which is 0, and n."""
    body = "(int64 i, bool go, float v) => (bool go_on, float w) { go_on = Identity(go) w = Identity(v) }"
    text = (
        f'<ir_version: 8, opset_import: ["": 18]> m (float[N] xs, float x, int64 n) => (float y) {GIVEN} {{'
        f"s = Shape(xs) k = Constant <value = int64 {{0}}> () {trips} y = Loop <body = b {body}> (t, true, x) }}"
    )
    model: onnx.ModelProto = parser.parse_model(text)
    return model


def within(trips: str) -> onnx.ModelProto:
    """A loop in a branch."""
    body = "(int64 i, bool go, float v) => (bool go_on, float w) { go_on = Identity(go) w = Identity(v) }"
    then = f"() => (float inner) {{ inner = Loop <body = b {body}> ({trips}, true, x) }}"
    text = (
        f'<ir_version: 8, opset_import: ["": 18]> m (float x, bool asked, int64 n) => (float y) {GIVEN} {{'
        f"y = If <then_branch = t {then}, else_branch = e () => (float other) {{ other = Identity(x) }}> (asked) }}"
    )
    model: onnx.ModelProto = parser.parse_model(text)
    return model


def given_too(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with an initializer that is an input, too."""
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, []))
    return model


ENDLESS = [
    pytest.param(loop(", true, x"), id="a condition that is handed on"),
    pytest.param(loop(", , x"), id="no condition"),
    pytest.param(loop(", true, x", step="a = Identity(go) go_on = Identity(a)"), id="handed on twice"),
    pytest.param(loop(", true, x", step="go_on = Constant <value = bool {1}> ()"), id="a constant"),
    pytest.param(loop(", true, x", step="go_on = Identity(true)"), id="a constant of the graph around it"),
    pytest.param(loop("many, true, x"), id="more steps than there is time"),
]
ENDING = [
    pytest.param(loop("ten, true, x"), id="ten steps"),
    pytest.param(loop("n, true, x"), id="steps that the client says"),
    pytest.param(loop(", false, x"), id="a condition that is false"),
    pytest.param(loop(", asked, x"), id="a condition that the client says"),
    pytest.param(loop(", true, x", step="go_on = Not(go)"), id="a condition that turns"),
    pytest.param(loop(", true, x", step="b = Constant <value = float {9}> () go_on = Less(v, b)"), id="a comparison"),
    pytest.param(loop("ten, true, x", also="z = Identity(y)"), id="a name beside"),
]


@pytest.mark.parametrize("model", ENDLESS)
def test_refused_is(model: onnx.ModelProto) -> None:
    with pytest.raises(StartupFailure, match='the loop "y" never ends') as failure:
        refuse_endless(model)
    assert failure.value.reason == "ModelInvalid"


@pytest.mark.parametrize("model", ENDING)
def test_taken_is(model: onnx.ModelProto) -> None:
    refuse_endless(model)


def test_taken_is_a_loop_that_no_output_needs() -> None:
    model = loop(", true, x")
    model.graph.node.append(onnx.helper.make_node("Identity", ["x"], ["z"]))
    model.graph.output[0].name = "z"
    refuse_endless(model)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(loop("ten, true, x"), None, id="ten steps"),
        pytest.param(loop("ten, asked, x"), None, id="ten steps at most"),
        pytest.param(loop("n, true, x"), "y", id="steps that the client says"),
        pytest.param(loop("many, true, x", step="go_on = Not(go)"), "y", id="more steps than a bound has"),
        pytest.param(loop(", asked, x"), "y", id="no trip count"),
        pytest.param(sized("t = Constant <value_int = 7> ()"), None, id="a constant that is written as a number"),
        pytest.param(given_too(loop("ten, true, x"), "ten"), None, id="a default, as all constants once were"),
        pytest.param(given_too(loop("many, true, x", step="go_on = Not(go)"), "many"), "y", id="too high a default"),
        pytest.param(sized("t = Gather(s, k)"), None, id="as many as there are elements"),
        pytest.param(sized("u = Gather(s, k) v = Mul(u, ten) t = Cast<to = 7>(v)"), None, id="ten times as many"),
        pytest.param(sized("u = Gather(s, k) t = Add(u, n)"), "y", id="that and what the client says"),
        pytest.param(sized("u = Cast<to = 7>(xs) t = ReduceMax<keepdims = 0>(u)"), "y", id="as an element says"),
        pytest.param(within("n"), "inner", id="one within another graph"),
        pytest.param(within("ten"), None, id="one within another graph, bounded outside"),
    ],
)
def test_a_loop_is_doubted_unless_its_graph_shows_that_it_ends(model: onnx.ModelProto, name: str | None) -> None:
    refuse_endless(model)
    assert doubtful_loop(model) == name


def test_row_10_a_loop_without_end_is_refused_before_it_runs(tmp_path: Path) -> None:
    model = loop(", true, x")
    onnx.save(model, tmp_path / "m.onnx")
    # The time that the trial may take is beyond what the test does, so it isn't what ends it.
    with pytest.raises(StartupFailure, match='the loop "y" never ends'):
        vet(Task(str(tmp_path / "m.onnx"), "cpu", 1, 8, seconds=300))
