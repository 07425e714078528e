"""The report: Markdown and charts from the records of runs. Nothing is measured here."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import bars, in_turn, plots
from bench.cells import cell, named, number
from bench.plan import SHARE_OF_BEST
from bench.results import Record, Series, late
from bench.servers import LIMITS, OURS, PROTOCOLS, SERVERS
from bench.summary import Summary

PAGE = "runtime.md"
MODELS = ("tabular", "gbdt", "minilm", "cnn")
WHAT = {
    "tabular": "a small perceptron, 16 floats in, 4 out",
    "gbdt": "100 trees of depth 6 over 16 floats",
    "minilm": "a sentence transformer in the shape of all-MiniLM-L6-v2, 32 tokens, random weights",
    "cnn": "a text-direction classifier, 3×48×192 pixels",
}


def write(records: Sequence[Record], folder: Path, steal_bound: float) -> list[Path]:
    """Write the page and its charts; returns their paths."""
    summary = Summary.of(records, steal_bound)
    charts = dict(pictures(summary))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in {**charts, PAGE: page(summary, steal_bound, list(charts))}.items():
        (folder / name).write_text(text)
        written.append(folder / name)
    return written


def page(summary: Summary, steal_bound: float, charts: Sequence[str]) -> str:
    """The whole report as Markdown."""
    parts = [
        "# This runtime beside other model servers\n",
        *_method(summary, steal_bound),
        "\n## Bars\n",
        *_bars(summary),
        *in_turn.section(summary),
    ]
    for model in MODELS:
        for protocol in PROTOCOLS:
            parts += _closed(summary, model, protocol, charts)
    parts += _open(summary, charts)
    parts += _start_and_memory(summary)
    parts += _compute(summary)
    parts += _failures(summary)
    return "\n".join(parts).rstrip() + "\n"


def _rounds(summary: Summary) -> str:
    """How many quiet rounds a figure is the median of: results of several runs may have been put together."""
    counts = [len(one.records) for one in summary.points.values() if not one.noisy] or [0]
    least, most = min(counts), max(counts)
    return f"{least} to {most} rounds a figure" if least < most else f"{most} round{'s' if most != 1 else ''}"


def _other_builds() -> str:
    names = [name for name, server in SERVERS.items() if server.build]
    return f", {' and '.join(names)} on the system's" if names else ""


def _method(summary: Summary, steal_bound: float) -> Iterator[str]:
    machine = summary.machine
    if machine:
        rounds = f"; {_rounds(summary)}, in each all servers in random order" if summary.points else ""
        yield (
            f"Written by `make bench` on {machine['date']}: {machine['processor']}, {machine['processors']} cores, "
            f"{machine['memory_gib']:.0f} GiB, Linux {machine['kernel']}{rounds}. Servers in Python run on "
            f"{machine['python']}, the fastest of its version here{_other_builds()}.\n"
        )
    yield (
        "The server is on one core with everything it starts, the load generator on another. A request has one row; "
        "1,024 different bodies take turns, and every answer's values are compared with ONNX Runtime's. All servers "
        "run ONNX Runtime's CPU provider with one thread. CPU is that of all of a server's processes, for each good "
        "answer. A round or turn is quiet if the host stole at most "
        f"{steal_bound:.0%} of either core's time in it, and the generator itself was not late.\n"
    )
    if summary.points or not summary.turns:
        yield from _quietness(summary)
    settings = machine.get("settings", {})
    if settings:
        yield "| server | settings |\n| --- | --- |"
        seen = {key[0] for key in summary.points}
        seen |= {server for one in summary.turns.values() for server in one.servers()}
        yield "\n".join(f"| {name} | {text} |" for name, text in settings.items() if name in seen)


def _quietness(summary: Summary) -> Iterator[str]:
    every = list(summary.points.values())
    noisy, measured = sum(one.noisy for one in every), sum(one.measured for one in every)
    used = sum(len(one.records) for one in every if not one.noisy)
    yield (
        "A figure of rounds is the median of the quiet ones; `±` is half of the range between them. "
        f"Of {measured} measurements {used} were quiet and used. {noisy} of {len(every)} points had no quiet round: "
        "`~`. `†`: the generator was late.\n"
    )


def _bars(summary: Summary) -> Iterator[str]:
    if summary.turns:
        yield "By turns where the figure says so, else by rounds.\n"
    yield "| what | bar | found | |\n| --- | --- | --- | --- |"
    words = {True: "**passed**", False: "**missed**", None: "not measured"}
    for verdict in bars.judged(summary):
        yield f"| {verdict.what} | {verdict.bar} | {verdict.found} | {words[verdict.passed]} |"


def _closed(summary: Summary, model: str, protocol: str, charts: Sequence[str]) -> Iterator[str]:
    servers = summary.servers(model, protocol)
    if not servers:
        return
    counts = summary.connections(model, protocol)
    costs = {name: summary.cheapest(name, model, protocol) for name in servers}
    best = summary.best_peer(costs)
    yield f"\n## {model}, {protocol}\n\n{WHAT[model][0].upper()}{WHAT[model][1:]}; closed loop.\n"
    yield from _embedded(f"cpu-{model}-{protocol}.svg", charts)
    heads = [*(f"answers/s, c={count}" for count in counts), f"p50 / p99 ms, c={counts[-1]}", "CPU µs an answer"]
    heads += [f"÷ {best[0]}" if best else "ratio", "errors"]
    yield f"| server | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}"
    for name in sorted(servers, key=lambda name: (name in LIMITS, costs[name] or float("inf"))):
        loads = [summary.point(name, model, protocol, "closed", count) for count in counts]
        cost = costs[name]
        cells = [_rate(one) for one in loads] + [_latency(loads[-1], "p50", "p99")]
        cells += [number(cost), f"{cost / best[1]:.2f}" if cost and best else "–"]
        cells.append(str(sum(one.errors for one in loads if one)))
        yield f"| {named(name)} | {' | '.join(cells)} |"


def _open(summary: Summary, charts: Sequence[str]) -> Iterator[str]:
    kinds: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("best", "best", lambda rate: f"{SHARE_OF_BEST:.0%} of the best peer's best rate: {rate:,.0f} requests/s"),
        ("fixed", "fixed", lambda rate: f"{rate:,.0f} requests/s"),
    )
    for model in MODELS:
        for load, name, told in kinds:
            servers = summary.servers(model, "json", load)
            points = {server: summary.point(server, model, "json", load, 1024) for server in servers}
            found = {server: one for server, one in points.items() if one}
            if not found:
                continue
            rate = next(iter(found.values())).records[-1]["rate_asked"]
            yield f"\n## {model}, json, open loop at {told(rate)} for every server\n"
            yield "Poisson arrivals; latency counts from the time at which a request should have been sent.\n"
            yield from _embedded(f"latency-{model}-{name}.svg", charts)
            yield "| server | answered/s | p50 ms | p90 ms | p99 ms | p99.9 ms | CPU µs an answer | errors |"
            yield "| --- |" + " ---: |" * 7
            for server in sorted(found, key=lambda server: found[server].median("latency_ms", "p99")):
                one = found[server]
                figures = [number(one.median("latency_ms", at)) for at in ("p50", "p90", "p99", "p999")]
                figures.append(number(one.cpu_us()))
                yield f"| {named(server)} | {_rate(one)} | {' | '.join(figures)} | {one.errors} |"


def _start_and_memory(summary: Summary) -> Iterator[str]:
    if not summary.memory:
        return
    models = [model for model in MODELS if any(model == of for _, of in summary.memory)]
    yield "\n## Start and memory\n"
    yield "Seconds to the first right answer; PSS (RSS) of all processes in MiB after the load.\n"
    heads = [*(f"{model}, s" for model in models), *(f"{model}, MiB" for model in models), "processes"]
    yield f"| server | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}"
    for server in dict.fromkeys(name for name, _ in summary.memory):
        held = [summary.memory.get((server, model)) for model in models]
        cells = [number(summary.starts.get((server, model))) for model in models]
        cells += [f"{one[1]:,.0f} ({one[0]:,.0f})" if one else "–" for one in held]
        cells.append(str(max(one[2] for one in held if one)) if any(held) else "–")
        yield f"| {named(server)} | {' | '.join(cells)} |"


def _compute(summary: Summary) -> Iterator[str]:
    if not summary.compute:
        return
    sizes = sorted({size for one in summary.compute.values() for size in one.cpu_us})
    yield "\n## ONNX Runtime alone\n\nCPU µs a row in a loop that does nothing else, by batch size.\n"
    yield f"| model | {' | '.join(f'{size}' for size in sizes)} |\n| --- |{' ---: |' * len(sizes)}"
    for model, one in summary.compute.items():
        yield f"| {model} | {' | '.join(number(one.cpu_us.get(size)) for size in sizes)} |"


def _failures(summary: Summary) -> Iterator[str]:
    yield "\n## What could not be measured\n"
    reasons: dict[tuple[str, str, str, str], int] = {}
    for record in summary.failures:
        place = (record["server"], record["model"], record["protocol"], cell(record["reason"]))
        reasons[place] = reasons.get(place, 0) + 1
    if not reasons:
        yield "Nothing."
        return
    yield "| server | model | protocol | reason | times |\n| --- | --- | --- | --- | ---: |"
    for (server, model, protocol, reason), count in reasons.items():
        yield f"| {server} | {model} | {protocol or 'all'} | {reason} | {count} |"


def pictures(summary: Summary) -> Iterator[tuple[str, str]]:
    """Charts by file name: CPU by model and protocol, latencies of the open loops."""
    for model in MODELS:
        for protocol in PROTOCOLS:
            servers = summary.servers(model, protocol)
            costs = [(name, summary.cheapest(name, model, protocol)) for name in servers]
            rows = [plots.Row(name, _kind(name), (cost,), f"{number(cost)} µs") for name, cost in costs if cost]
            if len(rows) > 1:
                note = "median at the concurrency at which the server answers most; one core, logarithmic"
                yield f"cpu-{model}-{protocol}.svg", plots.bars(f"CPU for an answer: {model}, {protocol}", note, rows)
        for load in ("best", "fixed"):
            yield from _latencies(summary, model, load)


def _latencies(summary: Summary, model: str, load: str) -> Iterator[tuple[str, str]]:
    rows, rate = [], 0.0
    for name in summary.servers(model, "json", load):
        one = summary.point(name, model, "json", load, 1024)
        if one is None or not one.median("latency_ms", "p50"):
            continue
        values = tuple(one.median("latency_ms", at) for at in ("p50", "p90", "p99", "p999"))
        rows.append(plots.Row(name, _kind(name), values, f"{number(values[2])} ms"))
        rate = one.records[-1]["rate_asked"]
    if len(rows) > 1:
        title = f"Latency at {rate:,.0f} requests/s: {model}, json"
        note = (
            "p50, p90, p99 and p99.9 in milliseconds, from the intended time of sending; the figure is p99; logarithmic"
        )
        yield f"latency-{model}-{load}.svg", plots.ranges(title, note, rows)


def _kind(server: str) -> str:
    return "ours" if server == OURS else "limit" if server in LIMITS else "peer"


def _embedded(name: str, charts: Sequence[str]) -> Iterator[str]:
    if name in charts:
        yield f"![{name.removesuffix('.svg')}]({name})\n"


def _marks(one: Series) -> str:
    return ("~" if one.noisy else "") + (" †" if any(late(record) for record in one.records) else "")


def _rate(one: Series | None) -> str:
    if one is None:
        return "–"
    spread = f" ±{one.half_range('rate'):.0%}" if len(one.records) > 1 else ""
    return f"{number(one.median('rate'))}{spread}{_marks(one)}"


def _latency(one: Series | None, *at: str) -> str:
    return " / ".join(number(one.median("latency_ms", which)) for which in at) if one else "–"
