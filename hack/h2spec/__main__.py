"""`make h2spec`: every generic, http2 and hpack case passes, or is one of those that nghttp2 answers in its own way."""

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import uvloop

from h2spec.binary import PROGRAM
from localcluster.progress import Progress
from tidegate_runtime.rpc.http2_server import Http2Server
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import Service

_CLOSED = (
    "libnghttp2 forgets closed streams and ignores frames for them; RFC 9113 5.1 lets an endpoint treat them as errors "
    "and doesn't ask it to"
)
_PRIORITY = "RFC 9113 5.3.2 deprecates priorities; libnghttp2 skips PRIORITY frames unread"

KNOWN = {
    ("http2/5.1", "closed: Sends a DATA frame after sending RST_STREAM frame"): _CLOSED,
    ("http2/5.1", "closed: Sends a HEADERS frame after sending RST_STREAM frame"): _CLOSED,
    ("http2/5.1", "closed: Sends a DATA frame"): _CLOSED,
    ("http2/5.1", "closed: Sends a HEADERS frame"): _CLOSED,
    ("http2/5.1.1", "Sends stream identifier that is numerically smaller than previous"): (
        "a stream that was passed over counts as closed (RFC 9113 5.1.1), and see 5.1: its frames are ignored"
    ),
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"): _PRIORITY,
    ("http2/6.3", "Sends a PRIORITY frame with 0x0 stream identifier"): _PRIORITY,
    (
        "http2/6.9.1",
        "Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
    ): "RFC 9113 6.9.1 has the endpoint end the stream or the connection; libnghttp2 ends the connection",
}
"""Cases that fail, and why that is right or harmless."""


ATTEMPTS = 4
"""Some cases send a frame and then one that contradicts it, and lose if the answer to the first is between them."""


@dataclass(frozen=True)
class Case:
    """`name` is what h2spec calls it, `spec` what it is asked for by; `failure` is empty if it passed."""

    section: str
    name: str
    spec: str
    failure: str

    @property
    def key(self) -> tuple[str, str]:
        """As in `KNOWN`."""
        return self.section, self.name


def cases(report: ElementTree.Element) -> list[Case]:
    """The cases of a JUnit report."""
    found = []
    for suite in report.iter("testsuite"):
        section = suite.get("package", "")
        for number, case in enumerate(suite.iter("testcase"), 1):
            failures = [*case.iter("failure"), *case.iter("error")]
            failure = " ".join(" ".join("".join(each.itertext()) for each in failures).split())
            failure = failure or ("failed" if failures else "")
            found.append(Case(section, case.get("classname", ""), f"{section}/{number}", failure))
    return found


async def ask(program: Path, port: int, *specs: str) -> list[Case]:
    """Runs these cases."""
    with tempfile.TemporaryDirectory(prefix="tidegate-h2spec-") as folder:
        report = Path(folder) / "report.xml"
        options = ["-h", "127.0.0.1", "-p", str(port), "-o", "3", "-j", str(report)]
        process = await asyncio.create_subprocess_exec(program, *options, *specs, stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
        return cases(ElementTree.parse(report).getroot())


async def conform(program: Path) -> tuple[int, list[Case]]:
    """How many cases were run against a server of our own, and those that failed as often as they were tried."""
    service = Service(Limits(8, 0.0, 512, 65536, 30.0))
    server = Http2Server(service)
    port = await server.start("127.0.0.1", 0)
    run = await ask(program, port, "generic", "http2", "hpack")
    failed = [case for case in run if case.failure]
    for _ in range(ATTEMPTS - 1):
        failed = [case for case in failed if case.key in KNOWN or await _fails_again(program, port, case)]
    await server.stop(1.0)
    return len(run), failed


async def _fails_again(program: Path, port: int, case: Case) -> bool:
    return any(each.failure for each in await ask(program, port, case.spec))


def main() -> int:
    """Exit status: 0 if all is as it should be."""
    program = PROGRAM.ensure(Progress())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        count, failed = runner.run(conform(program))
    print(f"{count} cases, {count - len(failed)} pass; known to differ:")
    for (section, name), reason in KNOWN.items():
        print(f"  {section} {name}: {reason}")
    keys = {case.key for case in failed}
    wrong = [f"fails: {case.spec} {case.name}: {case.failure}" for case in failed if case.key not in KNOWN]
    wrong += [f"passes, so drop it from KNOWN: {' '.join(key)}" for key in KNOWN if key not in keys]
    print("\n".join(wrong) or "nothing else")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
