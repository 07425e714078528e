"""config.pbtxt: what is honoured, and that all else is refused by its name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.model.triton_config import ModelConfig, VersionPolicy, agreed, read_config
from tidegate_runtime.tensors import Datatype, TensorSpec

WHOLE = """
# A comment, as Triton's own examples have them.
name: "churn"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 16
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  { name: "text" data_type: TYPE_STRING dims: [ 1 ] }
]
output [ { name: "y" data_type: TYPE_INT64 dims: [ 4 ] } ]
version_policy: { specific { versions: [ 2, 7 ] } }
dynamic_batching { preferred_batch_size: [ 16, 4 ] max_queue_delay_microseconds: 250 }
instance_group [ { count: 1 kind: KIND_GPU } ]
"""


def test_everything_that_is_honoured_is_read() -> None:
    assert read_config(WHOLE) == ModelConfig(
        name="churn",
        max_rows=16,
        inputs=(TensorSpec("x", Datatype.FP32, ("", 3, "")), TensorSpec("text", Datatype.BYTES, ("", 1))),
        outputs=(TensorSpec("y", Datatype.INT64, ("", 4)),),
        dynamic=True,
        preferred_rows=(4, 16),
        max_delay_seconds=0.00025,
        versions=VersionPolicy(specific=(2, 7)),
        device="cuda",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ModelConfig(), id="nothing"),
        pytest.param(
            'input { name: "x" data_type: TYPE_FP16 dims: [ 1, 3 ] }',
            ModelConfig(inputs=(TensorSpec("x", Datatype.FP16, (1, 3)),)),
            id="whole dims where max_batch_size is 0",
        ),
        pytest.param(
            'max_batch_size: 2 input { name: "x" data_type: TYPE_BOOL }',
            ModelConfig(max_rows=2, inputs=(TensorSpec("x", Datatype.BOOL, ("",)),)),
            id="no dims but the batch's",
        ),
        pytest.param(
            "version_policy { latest { num_versions: 3 } }", ModelConfig(versions=VersionPolicy(3)), id="latest"
        ),
        pytest.param("version_policy { latest { } }", ModelConfig(versions=VersionPolicy(1)), id="latest by default"),
        pytest.param("version_policy { all { } }", ModelConfig(versions=VersionPolicy(None)), id="all"),
        pytest.param("instance_group { kind: KIND_CPU }", ModelConfig(device="cpu"), id="a CPU"),
        pytest.param("instance_group { kind: KIND_AUTO count: 1 }", ModelConfig(), id="any device"),
    ],
)
def test_read_is(text: str, expected: ModelConfig) -> None:
    assert read_config(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('name: "a"\nsequence_batching { }', "line 2: sequence_batching is not supported here", id="field"),
        pytest.param("ensemble_scheduling { }", "ensemble_scheduling is not supported here", id="an ensemble"),
        pytest.param('parameters: { key: "a" }', 'parameters "a" is not supported here', id="parameters"),
        pytest.param(
            "input { reshape { shape: [1] } }", "reshape is not .* supported are name, data_type", id="reshape"
        ),
        pytest.param(
            "instance_group { gpus: [0] }", "gpus is not supported here; supported are count, kind", id="gpus"
        ),
        pytest.param("dynamic_batching { preserve_ordering: true }", "preserve_ordering is not", id="ordering"),
        pytest.param('platform: "tensorrt_plan"', 'platform "tensorrt_plan" is not served', id="another platform"),
        pytest.param('backend: "python"', 'backend "python" is not served; onnxruntime is', id="another backend"),
        pytest.param("max_batch_size: -1", "max_batch_size must be from 0 to 65536; it is -1", id="a negative batch"),
        pytest.param("max_batch_size: 65537", "max_batch_size must be", id="a batch too large"),
        pytest.param("max_batch_size: 99999999999", "line 1: .*Value out of range", id="a number beyond its type"),
        pytest.param("dynamic_batching { }", "dynamic_batching needs a max_batch_size above 0", id="a batch of none"),
        pytest.param(
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [8] }",
            "preferred_batch_size must be from 1 to max_batch_size, 4",
            id="a preferred batch beyond the largest",
        ),
        pytest.param(
            "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 60000001 }",
            "max_queue_delay_microseconds must be at most 60 s",
            id="a delay beyond a minute",
        ),
        pytest.param("instance_group { count: 2 }", "instance_group.count must be 1; it is 2", id="two instances"),
        pytest.param("instance_group [ {}, {} ]", "instance_group must be a single one", id="two groups"),
        pytest.param('input { name: "x" dims: [1] }', 'input.data_type is missing for "x"', id="no datatype"),
        pytest.param("input { data_type: TYPE_FP32 dims: [1] }", "input.name is missing", id="no name"),
        pytest.param('output { name: "y" data_type: TYPE_FP32 }', 'output.dims is missing for "y"', id="no dims"),
        pytest.param('input { name: "x" data_type: TYPE_FP32 dims: [0] }', "must be above 0, or -1", id="a size of 0"),
        pytest.param('input { name: "x" data_type: TYPE_FP33 dims: [1] }', "no value named TYPE_FP33", id="a datatype"),
        pytest.param("version_policy { all { } latest { } }", "must be one of latest, all", id="two policies"),
        pytest.param("version_policy { specific { } }", "versions must list versions from 1 on", id="no versions"),
        pytest.param("version_policy { specific { versions: [0] } }", "must list versions from 1", id="version 0"),
        pytest.param('name: "a" name: "b"', 'should not have multiple "name" fields', id="a field twice"),
        pytest.param("[a.b]: 1", "does not have extensions", id="an extension"),
        pytest.param('{"name": "churn"}', "line 1", id="JSON"),
    ],
)
def test_refused_is(text: str, message: str) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        read_config(text)
    assert failure.value.reason == "ModelInvalid"
    assert failure.value.message.startswith("config.pbtxt: ")
    assert len(failure.value.message) < 500


@given(st.text() | st.lists(st.sampled_from([*WHOLE.split(), "{", "}", ":", '"'])).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(StartupFailure):
        assert isinstance(read_config(text), ModelConfig)


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        pytest.param("max_batch_size: 0", False, id="no batch's dimension"),
        pytest.param("max_batch_size: 8", None, id="rows in a request, nothing about strangers"),
        pytest.param("max_batch_size: 8 dynamic_batching { }", True, id="batching asked for"),
    ],
)
def test_declared_batchable_is(text: str, declared: bool | None) -> None:
    assert read_config(text).declared is declared


@pytest.mark.parametrize(
    ("policy", "versions", "chosen"),
    [
        pytest.param(VersionPolicy(), (1, 2, 10), (10,), id="the highest number by default"),
        pytest.param(VersionPolicy(2), (10, 9, 1), (9, 10), id="the two highest"),
        pytest.param(VersionPolicy(5), (1, 2), (1, 2), id="fewer than asked for"),
        pytest.param(VersionPolicy(None), (3, 1, 2), (1, 2, 3), id="all"),
        pytest.param(VersionPolicy(specific=(7, 2)), (1, 2, 7), (2, 7), id="some by number"),
        pytest.param(VersionPolicy(), (), (), id="none of none"),
    ],
)
def test_chosen_versions_are(policy: VersionPolicy, versions: tuple[int, ...], chosen: tuple[int, ...]) -> None:
    assert policy.choice(versions) == chosen


FREE = Signature((TensorSpec("x", Datatype.FP32, ("N", "width")),), (TensorSpec("y", Datatype.FP32, ("N", 3)),))
FIXED = Signature((TensorSpec("x", Datatype.FP32, (1, 4)),), (TensorSpec("y", Datatype.FP32, (1, 3)),))


def config(max_rows: int, *dims: int, name: str = "x", kind: str = "FP32") -> ModelConfig:
    return read_config(
        f'max_batch_size: {max_rows} input {{ name: "{name}" data_type: TYPE_{kind} dims: {list(dims)} }}'
    )


@pytest.mark.parametrize(
    ("given", "signature", "shape"),
    [
        pytest.param(config(8, -1), FREE, ("N", "width"), id="nothing fixed"),
        pytest.param(config(8, 16), FREE, ("N", 16), id="a size fixed"),
        pytest.param(config(0, -1, 16), FREE, ("N", 16), id="whole dims"),
        pytest.param(config(0, 2, 16), FREE, (2, 16), id="whole dims, the batch's fixed"),
        pytest.param(ModelConfig(max_rows=8), FREE, ("N", "width"), id="nothing listed"),
        pytest.param(config(0, 1, 4), FIXED, (1, 4), id="a model of fixed sizes"),
    ],
)
def test_agreed_is(given: ModelConfig, signature: Signature, shape: tuple[int | str, ...]) -> None:
    result = agreed(given, signature)
    assert result.inputs == (TensorSpec("x", Datatype.FP32, shape),)
    assert result.outputs == signature.outputs


@pytest.mark.parametrize(
    ("given", "signature", "message"),
    [
        pytest.param(config(8, -1, name="z"), FREE, 'input must list "x", each once, or nothing', id="another name"),
        pytest.param(
            config(8, -1, kind="FP64"), FREE, 'input "x" is FP64, the model\'s is FP32', id="another datatype"
        ),
        pytest.param(
            config(8, 1, 16), FREE, r"shape \[-1, 1, 16\] \(the batch's dimension added\), the model's", id="rank"
        ),
        pytest.param(config(0, 1, 5), FIXED, r"shape \[1, 5\], the model's has \[1, 4\]", id="another size"),
        pytest.param(config(0, 1, -1), FIXED, r"shape \[1, -1\], the model's has \[1, 4\]", id="a size left free"),
        pytest.param(config(8, 4), FIXED, "shape", id="a batch's dimension that is fixed"),
        pytest.param(ModelConfig(max_rows=8), FIXED, "no free leading dimension, which max_batch_size 8", id="a batch"),
    ],
)
def test_contradicted_is(given: ModelConfig, signature: Signature, message: str) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        agreed(given, signature)
    assert failure.value.reason == "UnsupportedSignature"
