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
    """The results, each `told` as it comes.

    Checks of robustness come last: bad input may end a server, and must not hide what it does with good input. After
    that, what would be asked of the same server is skipped.
    """
    results = []
    for check in sorted(checks, key=lambda check: check.level is Level.ROBUSTNESS):
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
        subject.forget()
        check.run(subject)
        if check.level is Level.ROBUSTNESS:
            _must_live_on(check, subject, subjects)
    except Skip as skip:
        return result(Verdict.SKIPPED, str(skip))
    except Mismatch as mismatch:
        detail = str(mismatch)
        if check.level is Level.ROBUSTNESS and subject is not None:
            detail += _death(check, subject, subjects)
        return result(Verdict.FAILED, detail, subject)
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


def _must_live_on(check: Check, subject: Subject, subjects: Subjects) -> None:
    """Raises `Mismatch` if the server doesn't answer any more after bad input."""
    if death := _death(check, subject, subjects):
        raise Mismatch(f"refused as it should be{death}")


def _death(check: Check, subject: Subject, subjects: Subjects) -> str:
    """What to add to the failure if the server has ended; then its other checks are skipped."""
    last = subject.rest.last
    try:
        subject.rest.get("/v2/health/live").must_be(200)
    except (Mismatch, OSError) as error:
        subjects.lose(subject.endpoint, f"the server doesn't answer since {check.id}")
        return f"; after this the server doesn't answer /v2/health/live: {error}"
    finally:
        subject.rest.last = last
    return ""
