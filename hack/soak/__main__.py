"""Serve several models and ask them by the million: `python -m soak [--count N]`; `--help` lists the options."""

import argparse
import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvloop

from localcluster.ports import free_ports
from soak import handover, page, rpc, web
from soak.models import store
from soak.report import Sample, line, table
from soak.tally import Tally

READY_SECONDS: Final = 120.0
PAGE: Final = resource.getpagesize()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="requests (default: a million)")
    parser.add_argument("--connections", type=int, default=48, help="of HTTP, in use at a time")
    parser.add_argument("--channels", type=int, default=4, help="connections of gRPC")
    parser.add_argument("--calls", type=int, default=6, help="gRPC calls at a time on each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two lines of progress")
    parser.add_argument("--handover", type=float, default=0.0, help="percent of requests that a second server answers")
    parser.add_argument("server", nargs="*", help="further options of `tidegate-runtime serve`, behind --")
    return parser.parse_args()


@contextlib.contextmanager
def serving(root: Path, ports: Sequence[int], further: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The server, ready. Raises `RuntimeError` if it doesn't get so."""
    words = [
        sys.executable,
        "-m",
        "tidegate_runtime",
        "serve",
        str(root),
        "--host",
        "127.0.0.1",
        "--no-vetting",
        "--drain-seconds=0",
    ]
    words += [f"--{name}={port}" for name, port in zip(("port", "grpc-port", "admin-port"), ports, strict=True)]
    with (root.parent / "log").open("wb") as log, subprocess.Popen([*words, *further], stderr=log) as process:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not _ready(ports[2]):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((root.parent / "log").read_text())
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def canary(folder: Path, percent: float) -> Iterator[str]:
    """The URL of a share by which a second server, of the same models by another version, gets `percent`."""
    store(folder / "models", handover.VERSION)
    ports = free_ports(3)
    with serving(folder / "models", ports, ()), handover.telling(ports[0], percent) as url:
        yield url


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def rss(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes; 0 once it is gone."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


async def soak(asked: argparse.Namespace, ports: Sequence[int], process: subprocess.Popen[bytes]) -> bool:
    """Whether every answer was right and the server is still there."""
    tally = Tally(asked.count, asked.seed)
    begun = time.monotonic()
    samples = [Sample(0.0, 0, rss(process))]

    async def watch() -> None:
        while True:
            await asyncio.sleep(asked.every)
            samples.append(Sample(time.monotonic() - begun, tally.done, rss(process)))
            print(line(samples, asked.count, tally), flush=True)

    watching = asyncio.create_task(watch())
    channels = [rpc.channel(ports[1]) for _ in range(asked.channels)]
    callers = [rpc.client(channel, tally, index) for index, channel in enumerate(channels * asked.calls)]
    browsers = [web.client(ports[0], tally, 10_000 + index) for index in range(asked.connections)]
    await asyncio.gather(*callers, *browsers)
    watching.cancel()
    for channel in channels:
        await channel.close()
    samples.append(Sample(time.monotonic() - begun, tally.done, rss(process)))
    print(table(samples, tally))
    return not tally.wrong and process.poll() is None


def at_rest(port: int) -> bool:
    """Whether no request is left in the server."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        left = [name for name, value in page.samples(port) if name.startswith("tidegate_inflight{") and value]
        if not left:
            return True
        time.sleep(0.1)
    print(f"\nrequests are left in the server: {left}")
    return False


def all_ways(port: int, further: Sequence[str]) -> bool:
    """Whether the server has answered in all ways that it has."""
    ways = page.Ways.of(page.samples(port))
    print(f"\n{ways.line}")
    missing = ways.missing(further)
    if missing:
        print(f"not all ways were gone: {', '.join(missing)}")
    return not missing


def main() -> None:
    """Exits 1 after a wrong answer, or if none came about in a way that most should."""
    asked = options()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder) / "models"
        store(root)
        ports, further = free_ports(3), list(asked.server)
        if asked.handover:
            further += ["--share-url", stack.enter_context(canary(Path(folder) / "canary", asked.handover))]
        with serving(root, ports, further) as process:
            if asked.handover:
                handover.wait_until_reached(ports[2])
            right = uvloop.run(soak(asked, ports, process)) and at_rest(ports[2]) and all_ways(ports[2], further)
            if asked.handover:
                print(f"\nhanded over: {handover.outcomes(ports[2])}")
        log = (root.parent / "log").read_text()
    if errors := [line for line in log.splitlines() if '"level": "error"' in line or "critical" in line]:
        print(f"\nthe server's log has {len(errors)} errors, the first: {errors[0][:3000]}")
        right = False
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
