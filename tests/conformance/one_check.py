"""One check, run by itself."""

from tidegate_conformance import checks
from tidegate_conformance.check import ALL
from tidegate_conformance.run import Result, run
from tidegate_conformance.subject import Subjects
from tidegate_conformance.target import Endpoint, OneServer

checks.load()


def result_of(check: str, endpoint: Endpoint) -> Result:
    subjects = Subjects(OneServer(endpoint))
    try:
        (result,) = run([ALL[check]], subjects)
    finally:
        subjects.close()
    return result
