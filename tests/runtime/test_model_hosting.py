"""What a host decides by itself: a model's own limits, and whether there is memory for it."""

import asyncio
from pathlib import Path

import pytest

from tidegate_runtime.errors import InvalidRequest, LoadFailed, StartupFailure
from tidegate_runtime.hosting import Host, refuse_overrides
from tidegate_runtime.model.store import Placed, SingleModel, StoredModels, file_bytes, open_store
from tidegate_runtime.model.triton_config import read_config
from tidegate_runtime.placing import Placement, own_limits
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service

from .stored_models import Repository, times

LIMITS = Limits(32, 0.005, 64, 65536, 30.0)


@pytest.mark.parametrize(
    ("config", "rows", "delay"),
    [
        ("", 32, 0.005),
        ("max_batch_size: 8", 8, 0.005),
        ("max_batch_size: 64 dynamic_batching { max_queue_delay_microseconds: 100 }", 32, 0.0001),
    ],
)
def test_a_configuration_lowers_the_rows_and_sets_the_delay(config: str, rows: int, delay: float) -> None:
    limits = own_limits(LIMITS, Placed("m", "1", Path("x"), read_config(config)))
    assert (limits.max_batch_size, limits.max_delay_seconds) == (rows, delay)
    assert own_limits(LIMITS, Placed("m", "1", Path("x"))) is LIMITS


def test_only_what_is_known_may_be_asked_of_a_load() -> None:
    refuse_overrides(["unload_dependents"], "unload_dependents")
    for name in ("config", "file:1/model.onnx", "unload_dependents"):
        with pytest.raises(InvalidRequest, match=f'parameter "{name}"'):
            refuse_overrides([name])


async def test_a_model_is_not_opened_where_its_memory_is_not_there(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.put("double", 1, times(2))
    size = (tmp_path / "double" / "1" / "model.onnx").stat().st_size
    loop = asyncio.get_running_loop()
    service = Service(LIMITS, loop.time)
    left = 2 * size
    host = Host(service, StoredModels(tmp_path), Placement("cpu", 1, False), lambda: left)
    await host.start()
    await host.load("double")
    left -= 1
    with pytest.raises(LoadFailed, match=f"takes about {2 * size} bytes beside what is served, {left} are left"):
        await host.load("double")
    assert service.versions("double") == ["1"]
    await service.close()
    await host.close()


def test_the_files_beside_the_model_count(tmp_path: Path) -> None:
    for name, size in (("model.onnx", 10), ("weights", 1000), ("other.onnx", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    assert file_bytes(Placed("m", "1", tmp_path / "model.onnx")) == 1010


def test_a_store_is_told_by_what_the_path_holds(tmp_path: Path) -> None:
    stored = Repository(tmp_path / "models")
    stored.put("double", 1, times(2))
    single = tmp_path / "models" / "double" / "1"
    assert open_store(single, "", "7") == SingleModel(single, "model", "7")
    assert open_store(single / "model.onnx", "m", "7") == SingleModel(single / "model.onnx", "m", "7")
    assert open_store(tmp_path / "models", "", "1") == StoredModels(tmp_path / "models")
    with pytest.raises(StartupFailure, match="--name is for a single model"):
        open_store(tmp_path / "models", "m", "1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartupFailure, match="must contain one"):
        open_store(tmp_path / "empty", "", "1")
    (tmp_path / "odd" / "m").mkdir(parents=True)
    odd = open_store(tmp_path / "odd", "", "1")
    with pytest.raises(StartupFailure, match="has no version"):
        odd.all()
