"""The child process that tries a model file out: its ends, and what its parent makes of them."""

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import Probe, Verdict
from tidegate_runtime.model.loading import Findings, load_model
from tidegate_runtime.model.memory import address_space, available_bytes, data_limit
from tidegate_runtime.model.triton_config import read_config
from tidegate_runtime.model.vetting import TRIAL, Task, load_vetted, outcome, reported, vet
from tidegate_runtime.model.warmup import Warm
from tidegate_runtime.tensors import Datatype, TensorSpec

OPENING = b'{"stage": "opening it"}\n'
RUNNING = OPENING + b'{"stage": "running its warm-up"}\n'
FOUND = Findings(Warm(Verdict(True, "rows proved independent"), Probe(8, 100)), changed=False)


@pytest.mark.parametrize(
    ("code", "report", "reason", "message"),
    [
        pytest.param(-11, b"", "ModelInvalid", "crashed with signal 11 while opening it", id="a crash at once"),
        pytest.param(-6, OPENING, "ModelInvalid", "crashed with signal 6 while opening it", id="an abort in opening"),
        pytest.param(-11, RUNNING, "WarmupFailed", "signal 11 while running its warm-up", id="a crash in warm-up"),
        pytest.param(-9, OPENING, "ModelTooLarge", "was killed while opening it, most likely for want", id="a kill"),
        pytest.param(None, OPENING, "ModelInvalid", "no end within 3 s while opening it", id="no end of opening"),
        pytest.param(None, RUNNING, "WarmupFailed", "no end within 3 s while running", id="no end of warm-up"),
        pytest.param(-24, RUNNING, "WarmupFailed", "no end within 3 s while running", id="CPU time spent"),
        pytest.param(1, OPENING, "ModelInvalid", "ended with code 1 while opening it", id="an exception of its own"),
        pytest.param(0, OPENING, "ModelInvalid", "ended with code 0 while opening it", id="an end without a word"),
        pytest.param(0, RUNNING + b'{"verdict": {"batc', "WarmupFailed", "code 0 while running", id="half a report"),
        pytest.param(
            0, OPENING + b'{"reason": "ModelInvalid", "message": "m: no"}\n', "ModelInvalid", "^m: no$", id="a refusal"
        ),
    ],
)
def test_refused_is_a_file_whose_trial_ends_in(code: int | None, report: bytes, reason: str, message: str) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        outcome(code, report, "m.onnx", seconds=3)
    assert failure.value.reason == reason


@pytest.mark.parametrize("found", [FOUND, Findings(Warm(Verdict(False, "no"), None), changed=True)])
def test_what_the_child_reports_is_what_the_parent_reads(found: Findings) -> None:
    report = RUNNING + json.dumps(reported(found)).encode() + b"\n"
    assert outcome(0, report, "m.onnx", seconds=3) == found


def test_a_child_that_dies_of_a_segmentation_fault_leaves_its_parent_standing() -> None:
    command = [sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"]
    with pytest.raises(
        StartupFailure, match=r"m\.onnx: ONNX Runtime crashed with signal 11 while opening it"
    ) as failure:
        vet(Task("/models/m.onnx", "cpu", 1, 8), command)
    assert failure.value.reason == "ModelInvalid"


def test_a_child_that_never_ends_is_killed(endless: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(endless, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="came to no end within 3 s while") as failure:
        vet(Task(str(tmp_path / "m.onnx"), "cpu", 1, 8, seconds=3))
    assert "Error" not in failure.value.message


def test_a_file_that_needs_more_memory_than_there_is_is_too_large(double: onnx.ModelProto, tmp_path: Path) -> None:
    double.metadata_props.add(key="notes", value="x" * 200_000_000)
    onnx.save(double, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match=r"memory can't be had while .*; raise the memory limit") as failure:
        vet(Task(str(tmp_path / "m.onnx"), "cpu", 1, 8, available_bytes=16 << 20))
    assert failure.value.reason == "ModelTooLarge"


def test_a_child_does_not_outlive_its_parent(endless: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(endless, tmp_path / "m.onnx")
    task = json.dumps(asdict(Task(str(tmp_path / "m.onnx"), "cpu", 1, 8)))
    parent = "import subprocess, sys; c = subprocess.Popen(sys.argv[1:]); print(c.pid, flush=True); c.wait()"
    with subprocess.Popen([sys.executable, "-c", parent, *TRIAL, task], stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        child = os.pidfd_open(int(popen.stdout.readline()))
        assert popen.stdout.readline() + popen.stdout.readline() == RUNNING
        popen.kill()
        ended, _, _ = select.select([child], [], [], 30)
        os.close(child)
    assert ended


def test_nothing_is_imported_from_beside_the_model(
    double: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    (tmp_path / "onnx.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    assert vet(Task("m.onnx", "cpu", 1, 8)) == FOUND


def test_a_vetted_model_is_loaded_as_an_unvetted_one(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    vetted, plain = (load(tmp_path, "cpu", 1, 8) for load in (load_vetted, load_model))
    assert (vetted.signature, vetted.verdict, vetted.labels) == (plain.signature, plain.verdict, plain.labels)
    assert vetted.costs.shapes == plain.costs.shapes == {"x": (1, 4)}
    assert tuple(vetted.costs.seconds) == tuple(plain.costs.seconds) == (1, 2, 4, 8)


def test_sizes_that_a_configuration_fixes_are_those_that_warm_up_runs(tmp_path: Path) -> None:
    weights = "<float[12,2] w={1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24}>"
    text = f'<ir_version: 8, opset_import: ["": 18]> graph (float[N,width] x) => (float[N,2] y) {weights}'
    onnx.save(parser.parse_model(text + "{ y = MatMul(x, w) }"), tmp_path / "m.onnx")
    assert load_vetted(tmp_path, "cpu", 1, 8).costs.shapes == {}
    config = read_config('max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [12] }')
    loaded = load_vetted(tmp_path, "cpu", 1, 8, config=config)
    assert loaded.signature.inputs == (TensorSpec("x", Datatype.FP32, ("N", 12)),)
    assert loaded.verdict.batched
    assert loaded.costs.shapes == {"x": (1, 12)}


def test_a_configuration_that_the_model_contradicts_is_refused(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    config = read_config('max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [5] }')
    with pytest.raises(StartupFailure, match=r'input "x" has shape \[-1, 5\]') as failure:
        load_vetted(tmp_path, "cpu", 1, 8, config=config)
    assert failure.value.reason == "UnsupportedSignature"


def test_a_server_whose_model_was_vetted_has_no_need_of_the_onnx_package(
    double: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    script = (
        "import sys; from pathlib import Path; from tidegate_runtime.model.vetting import load_vetted;"
        f"load_vetted(Path({str(tmp_path)!r}), 'cpu', 1, 8); print('onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("files", "available"),
    [
        pytest.param(
            {"memory.max": "1000000", "memory.stat": "anon 300000\nfile 9\nshmem 100000"},
            600_000,
            id="what a limit leaves",
        ),
        pytest.param({"memory.max": "1000", "memory.stat": "anon 4000"}, 0, id="nothing"),
        pytest.param(
            {"memory.max": "9999999999999", "memory.stat": "anon 0"}, 2_048_000, id="a limit beyond the machine"
        ),
        pytest.param({"memory.max": "max\n", "memory.stat": "anon 0"}, 2_048_000, id="no limit"),
        pytest.param(
            {"memory/memory.limit_in_bytes": "1000000", "memory/memory.stat": "rss 1\ntotal_rss 4000\ntotal_shmem 500"},
            995_500,
            id="what a limit of version 1 leaves",
        ),
        pytest.param(
            {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.stat": "total_rss 4000"},
            2_048_000,
            id="no limit in version 1",
        ),
        pytest.param({}, 2_048_000, id="no cgroup"),
    ],
)
def test_memory_left_is(files: dict[str, str], available: int, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable: 2000 kB\n")
    assert available_bytes(tmp_path, tmp_path / "meminfo") == available


def test_memory_left_is_unknown_without_either(tmp_path: Path) -> None:
    assert available_bytes(tmp_path, tmp_path / "absent") is None


def test_addresses_are_what_is_mapped_what_may_be_filled_files_stacks_and_two_arenas() -> None:
    mapped, available, files = 200 << 20, 1024 << 20, 10 << 20
    assert address_space(mapped, available, files, threads=4) == (200 + 1024 + 10 + 4 * 8 + 128) << 20


def test_data_are_what_there_is_what_is_left_and_stacks() -> None:
    assert data_limit(300 << 20, 1600 << 20, threads=4) == (300 + 1600 + 4 * 8) << 20


def options(**changed: Any) -> Task:
    return Task("m.onnx", "cpu", 1, 8, **changed)


def test_a_task_carries_its_rules() -> None:
    rules = options(declared=True, tolerance={"FP32": 0.5}).rules
    assert (rules.declared, dict(rules.tolerance)) == (True, {"FP32": 0.5})
