"""Requests padded to share a batch: only as declared, as proved at warm-up, and as the cost table says it pays."""

import asyncio
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.merging import merged
from tidegate_runtime.batching.padding import Padding
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.shapes import Shapes
from tidegate_runtime.batching.tickets import Outputs, Queue, Ticket
from tidegate_runtime.errors import RejectedByModel, RuntimeFault, StartupFailure
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.model.triton_config import read_config
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Feeds

from .test_exported_transformers import bert

TEXT = Padding({"input_ids": (1, 0), "attention_mask": (1, 0)}, {}, ("embedding",))


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


IDS = parameter("tidegate.pad.input_ids", "axis=1 value=0")
MASK = parameter("tidegate.pad.attention_mask", "axis=1 value=0")


def test_padding_is_read_from_the_configuration() -> None:
    config = read_config(f"max_batch_size: 8 {IDS} {MASK} {parameter('tidegate.cut.hidden', 'axis=1')}")
    assert config.padding == Padding({"input_ids": (1, 0), "attention_mask": (1, 0)}, {"hidden": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(parameter("tidegate.pad.x", "1"), 'must be given once, as "axis=1 value=0"', id="another form"),
        pytest.param(f"{IDS} {IDS}", 'pad.input_ids" must be given once', id="twice"),
        pytest.param(parameter("tidegate.cut.y", "axis=1"), "needs an input that is padded", id="nothing to cut back"),
        pytest.param(f"{IDS} {parameter('tidegate.cut.y', '1')}", 'as "axis=1"', id="another form of a cut"),
        pytest.param(parameter("enable_mem_arena", "1"), "is not supported here", id="another parameter"),
    ],
)
def test_refused_is(text: str, expected: str) -> None:
    with pytest.raises(StartupFailure, match=expected) as refused:
        read_config(f"max_batch_size: 8 {text}")
    assert refused.value.reason is Reason.MODEL_INVALID


SUMS = "(float[N,L] x) => (float[N,M] y) <int64[1] a={1}> { y = ReduceSum(x, a) }"
MEANS = "(float[N,L] x) => (float[N,M] y) { y = ReduceMean<axes=[1]>(x) }"
TWICE = "(float[N,L] x) => (float[N,L] y) { y = Add(x, x) }"
FIXED = "(float[N,4] x) => (float[N,4] y) { y = Add(x, x) }"
X = parameter("tidegate.pad.x", "axis=1 value=0")
Y = parameter("tidegate.cut.y", "axis=1")


def load(folder: Path, graph: str | onnx.ModelProto, text: str) -> OnnxSession:
    if isinstance(graph, str):
        graph = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> graph {graph}')
    onnx.save(graph, folder / "model.onnx")
    config = read_config(f"max_batch_size: 8 {text}")
    return load_model(folder / "model.onnx", "cpu", 1, 8, config=config, measure_seconds=0).session


@pytest.mark.parametrize(("graph", "text"), [(SUMS, X), (TWICE, f"{X} {Y}")])
def test_harmless_padding_is_taken(graph: str, text: str, tmp_path: Path) -> None:
    load(tmp_path, graph, text)


@pytest.mark.parametrize(
    ("graph", "text", "expected"),
    [
        pytest.param(MEANS, X, "or other numbers once", id="a mean over what was added"),
        pytest.param(SUMS, parameter("tidegate.pad.x", "axis=1 value=1"), "or other numbers", id="a sum over ones"),
        pytest.param(TWICE, X, r'"y" has shape \[5, 8\], but \[5, 16\]', id="an output that isn't cut back"),
        pytest.param(FIXED, X, "axis 1 has the fixed size 4", id="a fixed size"),
        pytest.param(SUMS, parameter("tidegate.pad.x", "axis=2 value=0"), "axis 2 isn't one behind", id="no such axis"),
        pytest.param(SUMS, parameter("tidegate.pad.x", "axis=0 value=0"), "axis 0 isn't one behind", id="the batch's"),
        pytest.param(SUMS, parameter("tidegate.pad.z", "axis=1 value=0"), "nothing of that name", id="no such input"),
        pytest.param(SUMS, f"{X} {parameter('tidegate.cut.z', 'axis=1')}", "nothing of that name", id="no such output"),
    ],
)
def test_padding_that_can_not_be_honoured_is_refused(graph: str, text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=expected) as refused:
        load(tmp_path, graph, text)
    assert refused.value.reason is Reason.UNSUPPORTED_SIGNATURE


def test_a_value_that_the_input_can_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=r"0.5 is no INT64"):
        load(tmp_path, bert("eager"), parameter("tidegate.pad.input_ids", "axis=1 value=0.5"))


def test_padding_of_an_unbatched_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="since they share none"):
        load(tmp_path, "(float[N,L] x) => (float[N,L] y) { y = Softmax<axis=0>(x) }", f"{X} {Y}")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_sentence_transformer_may_be_padded_where_its_mask_is_zero(attention: str, tmp_path: Path) -> None:
    load(tmp_path, bert(attention), f"{IDS} {MASK}")


def test_but_not_where_its_mask_says_that_padding_is_text(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="numbers once its request was padded"):
        load(tmp_path, bert("eager"), f"{IDS} {parameter('tidegate.pad.attention_mask', 'axis=1 value=1')}")


def text(length: int, seed: int) -> Feeds:
    ids = np.random.default_rng(seed).integers(1, 30, (1, length))
    return {"input_ids": ids, "attention_mask": np.ones((1, length), np.int64)}


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def queues(lengths: dict[int, int], seconds: dict[int, float | None], within: float = 60.0) -> list[Queue]:
    """Queues by length, so many requests in each; a run of each takes so long whatever its rows, None: not known."""
    table = CostTable(8)
    shapes = Shapes(table, 8, TEXT)
    made = []
    for length, count in lengths.items():
        feeds = text(length, 0)
        queue = shapes.opened(compatibility(feeds), feeds, 1)
        took = seconds[length]
        for rows in (1, 1, 1, 2, 4, 8) if took is not None else ():
            queue.shape.observe(rows, took or 0.0)
        for _ in range(count):
            queue.add(Ticket(feeds, 1, 0, 0.0, within, within, 4, ignored, None, queue, queue.shape))
        made.append(queue)
    return made


@pytest.mark.parametrize(
    ("lengths", "seconds", "within", "joined"),
    [
        pytest.param({8: 2, 16: 3}, {8: 1.0, 16: 1.5}, 60.0, [8, 16], id="1.5 s rather than 1 s and 1.5 s"),
        pytest.param({8: 2, 16: 3}, {8: 1.0, 16: None}, 60.0, [8], id="the longer one's cost is a guess"),
        pytest.param({8: 2, 16: 3}, {8: None, 16: 1.5}, 60.0, [8], id="the shorter one's is"),
        pytest.param({8: 2, 16: 7}, {8: 1.0, 16: 1.5}, 60.0, [8], id="more than a batch"),
        pytest.param({8: 2, 16: 3}, {8: 1.0, 16: 1.5}, 1.4, [8], id="the longer run would be late"),
        pytest.param(
            {8: 2, 16: 3, 32: 2}, {8: 1.0, 16: 1.5, 32: 1.8}, 60.0, [8, 16, 32], id="three where three pay off"
        ),
        # Either saves 1 s; both don't fit.
        pytest.param({8: 4, 16: 4, 32: 4}, {8: 1.0, 16: 1.5, 32: 9.0}, 60.0, [8, 16], id="as many as fit a batch"),
    ],
)
def test_who_joins_a_padded_batch(
    lengths: dict[int, int], seconds: dict[int, float | None], within: float, joined: list[int]
) -> None:
    made = queues(lengths, seconds, within)
    together = merged(made[0], made, BatchPolicy(8, 0.0, 100), 0.0, 0.0)
    assert sorted(queue.length for queue in together) == joined


def test_a_longer_batch_that_costs_more_than_both_is_not_made() -> None:
    table = CostTable(8)
    shapes = Shapes(table, 8, TEXT)
    made = []
    for length, per_row in ((8, 1.0), (64, 10.0)):
        feeds = text(length, 0)
        queue = shapes.opened(compatibility(feeds), feeds, 1)
        for rows in (1, 1, 1, 2, 4, 8):
            queue.shape.observe(rows, per_row * rows)
        queue.add(Ticket(feeds, 1, 0, 0.0, 60.0, 60.0, 4, ignored, None, queue, queue.shape))
        made.append(queue)
    # Two rows of 64 take 20 s; apart they take 1 s and 10 s.
    assert merged(made[0], made, BatchPolicy(8, 0.0, 100), 0.0, 0.0) == [made[0]]


def test_shapes_that_differ_in_more_than_their_length_are_no_family() -> None:
    key = compatibility(text(8, 0))
    other = compatibility(text(16, 0))
    assert TEXT.family(key) != TEXT.family(other)
    assert (TEXT.family(key) or (None,))[0] == (TEXT.family(other) or (None,))[0]
    uneven = {"input_ids": np.zeros((1, 8)), "attention_mask": np.zeros((1, 9))}
    assert TEXT.family(compatibility(uneven)) is None


class TextEngine:
    """Runs a session, 10 ms a batch; refuses batches that hold the token `bad`."""

    def __init__(self, session: OnnxSession, bad: int = -1) -> None:
        self._session = session
        self._bad = bad
        self.shapes: list[tuple[int, ...]] = []

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise AssertionError("nothing may run on the loop where the hop takes no time")

    async def run(self, feeds: Feeds) -> Ran:
        self.shapes.append(feeds["input_ids"].shape)
        await asyncio.sleep(0.01)
        if (feeds["input_ids"] == self._bad).any():
            raise RejectedByModel("bad token")
        return self._session.run(feeds, RunOptions()), 0.01

    def interrupt(self) -> None:
        raise AssertionError("no run here is to be ended")


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("bad", [-1, 31])
async def test_padded_texts_get_the_answers_that_they_get_alone(bad: int, tmp_path: Path) -> None:
    session = load(tmp_path, bert("eager"), f"{IDS} {MASK}")
    engine = TextEngine(session, bad)
    clock = asyncio.get_running_loop().time
    costs = CostTable(8)
    for length in (3, 5, 8):
        for rows in (1, 1, 1, 2, 4, 8):
            costs.shape(compatibility(text(length, 0)), length).observe(rows, 0.01)
    metrics = ModelMetrics("m", "1", "cpu")
    scheduler = Scheduler(engine, BatchPolicy(8, 0.0, 100), metrics, clock, costs, padding=TEXT)
    serving = asyncio.create_task(scheduler.run())
    texts = [text(length, length) for length in (3, 5, 8, 3, 5)]
    spoilt = text(5, 9)
    spoilt["input_ids"][0, 0] = 31
    answers = await asyncio.gather(
        *(scheduler.infer(feeds, 1, clock() + 60) for feeds in [*texts, spoilt]), return_exceptions=True
    )
    assert engine.shapes[0] == (6, 8)
    for feeds, answer in zip([*texts, spoilt], answers, strict=True):
        if isinstance(answer, BaseException):
            assert (bad, feeds) == (31, spoilt)
        else:
            (alone,) = session.run(feeds, RunOptions())
            np.testing.assert_allclose(answer[0], alone, rtol=0, atol=1e-5)
    assert sum(isinstance(answer, BaseException) for answer in answers) == (bad == 31)
    scheduler.close()
    await serving


def test_an_output_is_cut_back_to_its_requests_length() -> None:
    padding = Padding({"x": (2, -1)}, {"y": 1}, ("other", "y"))
    feeds: Feeds = {"x": np.ones((2, 3, 4), np.float32), "z": np.ones((2, 1))}
    padded = padding.padded(feeds, 6)
    assert padded["x"].shape == (2, 3, 6)
    assert (padded["x"][:, :, 4:] == -1).all()
    assert (padded["x"][:, :, :4] == 1).all()
    assert padded["z"] is feeds["z"]
    other, cut = padding.cut((np.ones((2, 9)), np.ones((2, 6, 5))), padding.length(feeds))
    assert (other.shape, cut.shape) == ((2, 9), (2, 4, 5))
