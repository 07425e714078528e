"""All of it: cases are chosen, a server is started for them, checks are run, and what is left out is told by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tidegate_conformance.check import Check
from tidegate_conformance.expect import Mismatch, Skip
from tidegate_conformance.nodes.cases import Case, all_tests, fitting, sample
from tidegate_conformance.nodes.checks import AREA, BATCHED, alone, batched, left_out, rows_alone
from tidegate_conformance.nodes.direct import Unfit
from tidegate_conformance.nodes.hosts import Host, host_of, in_common
from tidegate_conformance.nodes.rows import TOTAL, Together, freed, ways
from tidegate_conformance.nodes.together import shares_batches
from tidegate_conformance.rest.client import RestClient
from tidegate_conformance.run import Result, Verdict, run
from tidegate_conformance.serving import Command, Ports
from tidegate_conformance.subject import Subjects

Told = Callable[[Result], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of `cases` cases; `together` are those of which the server lets requests share batches."""

    cases: int
    results: list[Result]
    together: list[Together]

    def counts(self) -> str:
        """How many cases there were of which kind, in a line: each counts once, over however many wires it went."""
        sent, batched = (len(self._sent(area)) for area in (AREA, BATCHED))
        company = sum(case.by_company for case in self.together)
        order = sum(case.by_order() for case in self.together)
        return (
            f"{self.cases} cases: {sent} sent alone, {batched} batched; the batch changes bits of {company} of those, "
            f"its order of {order}"
        )

    def _sent(self, area: str) -> set[str]:
        checks = [result.check for result in self.results if result.verdict is not Verdict.SKIPPED]
        return {check.id.rpartition(".")[2] for check in checks if check.area.rpartition(".")[0] == area}


def send_cases(
    command: Command, folder: Path, size: int, only: str = "*", told: Told = lambda _: None, ports: Ports | None = None
) -> Sent:
    """Sends `size` of the cases whose names match `only` (0: all of them), alone and batched.

    `folder` holds models and logs meanwhile.
    """
    tests = {name: test for name, test in all_tests().items() if fnmatchcase(name, only)}
    names = sample(tests, size)
    cases, unfit = fitting([tests[name] for name in names], folder)
    results = _skipped(AREA, unfit)
    with host_of(command, folder, ports) as host:
        host.paths |= {case.model.name: case.paths for case in cases}
        results += _run(host, cases, [check for case in cases for check in alone(case)], told)
        served = {result.check.model for result in results if result.verdict is not Verdict.SKIPPED}
        together, apart = find_batched([case for case in cases if case.model.name in served], folder, host)
        results += apart
        checks = [check for case in together for check in (*rows_alone(case), *batched(case, host.paused))]
        results += _run(host, together, checks, told)
    return Sent(len(names), results, together)


def find_batched(cases: Iterable[Case], folder: Path, host: Host) -> tuple[list[Together], list[Result]]:
    """Each case with free rows, in the first way in which the server lets requests share a batch; why others don't."""
    found, others = [], list[Result]()
    for case in cases:
        try:
            candidate = _find_batched(case, folder, host)
        except Skip as skip:
            others.append(Result(left_out(BATCHED, case.name), Verdict.SKIPPED, 0.0, str(skip)))
        except (Mismatch, OSError) as error:
            others.append(Result(left_out(BATCHED, case.name), Verdict.FAILED, 0.0, str(error)))
        else:
            found.append(candidate)
    return found, others


def _find_batched(case: Case, folder: Path, host: Host) -> Together:
    why = "it has no rows"
    for number, names in enumerate(ways(case.feeds), 1):
        try:
            candidate = freed(case, names, number, folder)
        except Unfit as unfit:
            why = f"with free rows: {unfit}" if number == 1 else why
            continue
        try:
            most, why = _sharing(candidate, host)
        except Skip as skip:
            why = str(skip)
            continue
        if most >= TOTAL:
            return candidate
    raise Skip(why)


def _sharing(candidate: Together, host: Host) -> tuple[int, str]:
    """The most rows in a batch of the candidate's, and what there is to say of it. Raises `Skip`."""
    name = candidate.model.name
    host.paths[name] = (candidate.path,)
    most, why = shares_batches(RestClient(host.endpoint(name).rest), name)
    return most, in_common(why)


def _run(host: Host, cases: Sequence[Case | Together], checks: Sequence[Check], told: Told) -> list[Result]:
    subjects = Subjects(host, models={case.model.name: case.model for case in cases})
    try:
        return run(checks, subjects, told)
    finally:
        subjects.close()


def _skipped(area: str, reasons: Mapping[str, str]) -> list[Result]:
    return [Result(left_out(area, name), Verdict.SKIPPED, 0.0, why) for name, why in reasons.items()]
