"""Running checks one after another, and what came of each."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tidegate_conformance.check import Check, Level, Wire
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.subject import Subject, Subjects


class Verdict(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's outcome. `detail` says why it failed or was skipped, `exchange` what went over the wire last."""

    check: Check
    verdict: Verdict
    seconds: float
    detail: str = ""
    exchange: str = ""


def run(checks: Iterable[Check], subjects: Subjects, told: Callable[[Result], None] = lambda _: None) -> list[Result]:
    """The results in the checks' order, each `told` as it comes."""
    results = []
    for check in checks:
        result = _run_one(check, subjects)
        told(result)
        results.append(result)
    return results


def _run_one(check: Check, subjects: Subjects) -> Result:
    started = time.monotonic()

    def result(verdict: Verdict, detail: str = "", subject: Subject | None = None) -> Result:
        return Result(check, verdict, time.monotonic() - started, detail, _exchange(check, subject))

    subject = None
    try:
        subject = subjects.of(check)
        check.run(subject)
        if check.level is Level.ROBUSTNESS:
            _must_live_on(subject)
    except Skip as skip:
        return result(Verdict.SKIPPED, str(skip))
    except Mismatch as mismatch:
        return result(Verdict.FAILED, str(mismatch), subject)
    except OSError as error:
        return result(Verdict.FAILED, f"the connection failed: {error}", subject)
    except Exception as error:  # an answer of a form that the check didn't think of must not end the run
        return result(Verdict.FAILED, f"the check broke on the answer: {type(error).__name__}: {error}", subject)
    return result(Verdict.PASSED)


def _exchange(check: Check, subject: Subject | None) -> str:
    if subject is None:
        return ""
    if check.wire is Wire.GRPC:
        return subject.rpc.last
    return str((subject.admin if check.wire is Wire.ADMIN else subject.rest).last)


def _must_live_on(subject: Subject) -> None:
    """Raises `Mismatch` if the server doesn't answer any more after bad input."""
    last = subject.rest.last
    try:
        status = subject.rest.get("/v2/health/live").status
    except (Mismatch, OSError) as error:
        raise Mismatch(f"after this the server doesn't answer /v2/health/live: {error}") from None
    if status != 200:
        raise Mismatch(f"after this /v2/health/live answers {status}")
    subject.rest.last = last
