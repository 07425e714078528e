"""`make bench`: measure, then write the report from what was measured.

python -m bench                       everything, fifteen turns and five rounds
python -m bench tabular json          the points of one model and protocol
python -m bench turns [tabular …]     what is compared in turn, alone
python -m bench --quick               ours, mosec and a bare FastAPI server on the tabular model: under five minutes
python -m bench --report-only         the report again, from results kept before
"""

import argparse
import os
import platform
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import generator, measure, report
from bench.comparisons import COMPARISONS, chosen
from bench.environments import Unavailable, python_of
from bench.models import MODELS
from bench.paths import DOCUMENTS, RESULTS
from bench.plan import QUICK_SERVERS, Choice
from bench.process import LOAD_CPU, SERVER_CPU
from bench.results import Store, read
from bench.servers import SERVERS
from bench.turns import Turns

OPEN_FILES = 16_384


def main() -> int:
    """Exit status: 0, 1 for a run that couldn't begin, 2 for words that mean nothing."""
    options = _parser().parse_args()
    # An end like that of Ctrl-C, which takes the running server along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        choice = Choice.of(options.words, MODELS)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.quick:
        choice = Choice(frozenset({"tabular"}), choice.protocols or frozenset({"json"}), frozenset(QUICK_SERVERS))
    paths = options.results
    if not options.report_only:
        if not {SERVER_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
            print("bench: two processors are needed, one for the server, one for the load", file=sys.stderr)
            return 1
        try:
            paths = [*paths, _measured(options, choice)]
        except Unavailable as why:
            print(f"bench: {why}", file=sys.stderr)
            return 1
    paths = paths or sorted(RESULTS.glob("*.jsonl"))[-1:]
    if not paths:
        print(f"bench: no results in {RESULTS}", file=sys.stderr)
        return 1
    try:
        records = read(paths)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    # The page in the documentation is of whole runs alone.
    whole = all(record["whole"] for record in records if record["kind"] == "machine")
    output = options.output or (DOCUMENTS if whole else RESULTS / "report")
    for path in report.write(records, output, options.steal):
        print(path)
    return 0


def _measured(options: argparse.Namespace, choice: Choice) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    begun = datetime.now(UTC)
    store = Store(RESULTS / f"{begun:%Y%m%dT%H%M%SZ}.jsonl")
    whole = not (options.words or options.quick)
    load = generator.built()
    store.add(
        {
            "kind": "machine",
            "date": f"{begun:%Y-%m-%d}",
            "processor": _processor(),
            "processors": os.cpu_count(),
            "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
            "kernel": platform.release(),
            "python": _python(),
            "whole": whole,
            "seconds": options.seconds,
            "steal_bound": options.steal,
            "settings": {name: server.settings for name, server in SERVERS.items()},
        }
    )
    _allow_connections()
    run = measure.Run(
        load=load,
        store=store,
        choice=choice,
        rounds=1 if options.quick else options.rounds,
        repeats=0 if options.quick else options.repeats,
        steal_bound=options.steal,
        seconds=options.seconds,
        quick=options.quick,
    )
    # First, for they take the least time and say the most: a run that is ended early has them.
    if choice.parts or whole:
        Turns(load, store, options.turns).whole(chosen(COMPARISONS, choice))
    if not choice.parts:
        run.whole()
    if options.soak:
        run.soak(options.soak)
    return store.path


def _allow_connections() -> None:
    """Let servers hold as many as are opened: they inherit this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _python() -> str:
    """Of the Python that servers run on: its version and compiler."""
    told = "import platform as p; print(p.python_version(), 'built by', p.python_compiler())"
    words = [str(python_of("")), "-c", told]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench BENCH=…", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="models, protocols (json, binary, grpc), servers, `turns`; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="each with all servers in random order (5)")
    parser.add_argument("--turns", type=int, default=15, help="of each comparison, a third of it of long ones (15)")
    parser.add_argument("--seconds", type=float, default=4, help="a point of a fast model (4)")
    parser.add_argument("--steal", type=float, default=0.05, help="share of a core that may be stolen (0.05)")
    parser.add_argument("--repeats", type=int, default=3, help="more tries of a point that was disturbed (3)")
    parser.add_argument("--quick", action="store_true", help="a few points, one round, no repeats")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="at the end, N answers for our memory alone")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="results to put together with this run's")
    parser.add_argument(
        "--output", type=Path, help="where the report goes (docs/benchmarks; artifacts/bench/report for parts of a run)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
