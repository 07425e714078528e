import json
from pathlib import Path

import pytest

from bench.results import Record, read

from .recorded import point, turns


def kept(path: Path, *records: Record) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def without(figure: str, record: Record) -> Record:
    return {**record, "result": {name: value for name, value in record["result"].items() if name != figure}}


OVERLOAD = point("tidegate", model="minilm", load="overload")


def test_records_of_files_come_in_order(tmp_path: Path) -> None:
    first, second = point("mosec"), OVERLOAD
    paths = [kept(tmp_path / "1", {"kind": "machine"}, first), kept(tmp_path / "2", second)]
    assert read(paths) == [{"kind": "machine"}, first, second]


@pytest.mark.parametrize(
    "old",
    [
        without("expired", point("mosec")),
        without("timely_inside", OVERLOAD),
        *turns("overload", "twice the rate", without("timely_inside", OVERLOAD)),
        {"kind": "inside", "cpu_us": {"json": 7.0, "json-uncounted": 6.0, "json-alone": 12.0}},
    ],
    ids=["refusals and expiries in one", "late goodput of rounds", "late goodput of turns", "counted in part"],
)
def test_results_of_an_older_benchmark_are_refused_by_name(tmp_path: Path, old: Record) -> None:
    with pytest.raises(ValueError, match=r"old\.jsonl is of an older benchmark; measure anew"):
        read([kept(tmp_path / "new.jsonl", OVERLOAD), kept(tmp_path / "old.jsonl", point("mosec"), old)])


def test_goodput_matters_to_overload_alone(tmp_path: Path) -> None:
    record = without("timely_inside", point("mosec"))
    assert read([kept(tmp_path / "1", record)]) == [record]
