from pathlib import Path
from xml.etree import ElementTree

from bench import plots, report
from bench.results import Record
from bench.summary import Summary

from .recorded import latency, point

RECORDS: list[Record] = [
    point("mosec", 15000, 64),
    point("mosec", 14000, 66, round_number=1),
    point("naive", 3000, 300, steal=0.4, errors={"status 500": 2}),
    point("tidegate", 40000, 22),
    point("limit-http", 30000, 30),
    point("mosec", 400, load="fixed", connections=1024, latency_ms=latency(4, 11)),
    point("tidegate", 400, load="fixed", connections=1024, latency_ms=latency(0.3, 0.9)),
    {"kind": "memory", "server": "mosec", "model": "tabular", "rss_mib": 267.0, "pss_mib": 190.0, "processes": 5},
    {"kind": "start", "server": "mosec", "model": "tabular", "seconds": 1.5},
    {"kind": "compute", "model": "tabular", "batch": 1, "cpu_us": 10.0, "rss_mib": 60.0},
    {"kind": "failure", "server": "ray", "model": "tabular", "protocol": "", "reason": "no wheel\nfor | here"},
]


def page() -> str:
    summary = Summary.of(RECORDS, 0.05)
    return report.page(summary, 0.05, [name for name, _ in report.pictures(summary)])


def test_servers_are_ranked_by_cost_with_ratios_to_the_best_peer() -> None:
    rows = [line for line in page().splitlines() if line.endswith("| 0 |") or line.endswith("| 2 |")][:4]
    assert [row.split("|")[1].strip() for row in rows] == ["**tidegate**", "mosec", "naive", "limit-http"]
    assert "| **tidegate** | 40,000 | 1.00 / 2.00 | 22.0 | 0.34 | 0 |" in rows[0]


def test_spread_and_noise_are_shown_beside_the_median() -> None:
    assert "| mosec | 14,500 ±3% |" in page()
    assert "| naive | 3,000~ |" in page()


def test_the_rounds_that_figures_are_medians_of_are_counted() -> None:
    machine = {"date": "2026-01-01", "processor": "A", "processors": 2, "memory_gib": 8.0, "kernel": "6", "python": "3"}
    records = [{"kind": "machine", **machine}, *RECORDS]
    summary = Summary.of(records, 0.05)
    assert "Linux 6; 1 to 2 rounds a figure, in each" in report.page(summary, 0.05, [])


def test_what_failed_is_listed_with_its_reason_on_one_line() -> None:
    assert "| ray | tabular | all | no wheel for \\| here | 1 |" in page()


def test_every_chart_that_the_page_shows_is_written_and_is_xml(tmp_path: Path) -> None:
    written = report.write(RECORDS, tmp_path, 0.05)
    charts = [path for path in written if path.suffix == ".svg"]
    assert {path.name for path in charts} == {"cpu-tabular-json.svg", "latency-tabular-fixed.svg"}
    for path in charts:
        assert f"]({path.name})" in (tmp_path / report.PAGE).read_text()
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_report_of_nothing_says_so() -> None:
    assert "Nothing." in report.page(Summary.of([], 0.05), 0.05, [])


def test_a_logarithmic_axis_puts_equal_ratios_at_equal_distances() -> None:
    axis = plots.Axis(1, 100)
    assert axis.at(10) - axis.at(1) == axis.at(100) - axis.at(10)


def test_an_axis_holds_all_values() -> None:
    axis = plots.Axis.over([22.0, 7038.0])
    assert axis.low < 22
    assert axis.high > 7038


def test_names_are_escaped_in_charts() -> None:
    chart = plots.bars("a < b", "c & d", [plots.Row("<e>", "peer", (1.0,), "1")])
    assert [text.text for text in ElementTree.fromstring(chart) if text.text in ("a < b", "c & d", "<e>")]
