"""docs/api.md against what the runtime has: options, variables, defaults, reasons and metrics."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from tidegate_runtime import naming
from tidegate_runtime.__main__ import app

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
OPTION = re.compile(r"^\| `(--[a-z-]+|PATH)` \| `(TIDEGATE_[A-Z_]+)` \| (?:`([^`]*)`|[^|]*) \|", re.MULTILINE)
METRIC = re.compile(r"^\| `(tidegate_[a-z0-9_]+)` \| (?:gauge|counter|histogram)", re.MULTILINE)


def options(command: str) -> dict[str, Any]:
    commands: Any = typer.main.get_command(app)
    return {parameter.opts[0]: parameter for parameter in commands.commands[command].params}


def test_every_option_is_documented_with_its_variable_and_default() -> None:
    documented = {option: (variable, default or None) for option, variable, default in OPTION.findall(PAGE)}
    actual = {}
    for name, parameter in options("serve").items():
        default = parameter.default if parameter.default not in ("", None) else None
        shown = None if default is None else str(getattr(default, "value", default)).removesuffix(".0")
        option = "PATH" if parameter.param_type_name == "argument" else name
        actual[option] = (parameter.envvar, "0.0.0.0" if option == "--host" else shown)
    assert actual == documented


def test_every_option_of_fetch_is_documented() -> None:
    usage = re.search(r"`tidegate-runtime fetch (URI DIRECTORY .*?)`", PAGE)
    assert usage is not None
    named = set(re.findall(r"--[a-z0-9-]+", usage[1]))
    assert {name for name in options("fetch") if name.startswith("--")} == named


@pytest.mark.parametrize("reason", naming.Reason)
def test_every_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in PAGE


def test_every_metric_of_the_runtime_is_documented() -> None:
    section = PAGE.partition("### Runtime (`:8082/metrics`)")[2].partition("###")[0]
    assert set(METRIC.findall(section)) == {
        naming.QUEUE_DEPTH,
        naming.CUDA_GRAPHS,
        naming.INFLIGHT,
        naming.REQUESTS,
        naming.REQUEST_DURATION,
        naming.FAILED_DURATION,
        naming.PARSE_SECONDS,
        naming.QUEUE_SECONDS,
        naming.ASSEMBLE_SECONDS,
        naming.BATCH_ROWS,
        naming.COMPUTE_SECONDS,
        naming.ENCODE_SECONDS,
        naming.PREDICTION_MARGIN,
        naming.RUN_COST_MEAN,
        naming.RUN_COST_P99,
        naming.REFUSED,
        naming.OUT_OF_MEMORY,
        naming.ANSWERS_TOGETHER,
        naming.REQUESTS_UNQUEUED,
        naming.UTILIZATION,
        naming.MODEL_INFO,
        naming.ENGINE_RESTARTS,
        naming.FRONT_ENDS,
        naming.FRONT_END_RESTARTS,
        naming.FRONT_END_CPU,
        naming.FRONT_END_MEMORY,
        naming.GRPC_INFO,
    }


@pytest.mark.parametrize("refusal", naming.REFUSALS)
def test_every_reason_of_a_refusal_is_documented(refusal: str) -> None:
    assert f"`{refusal}`" in PAGE
