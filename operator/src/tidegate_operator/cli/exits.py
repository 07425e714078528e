"""How a command ends: exit codes, which pipelines rely on, and the error that carries one."""

from enum import IntEnum

from tidegate_operator import errors


class Code(IntEnum):
    """Exit codes; docs/kubectl.md lists them."""

    DONE = 0
    """Done, or what was waited for has come."""
    FAILED = 1
    """Refused, failed or aborted; of a conversion: something essential is missing."""
    USAGE = 2
    """The command line, or a file that it names, can't be understood."""
    TIMED_OUT = 3
    """What was waited for didn't come in time; it may still come."""
    NOT_FOUND = 4
    """There is no such InferenceService, or revision."""
    UNAVAILABLE = 5
    """The API server can't be reached, or doesn't allow it."""


class Stop(errors.OperatorError):
    """The end of a command, with what to tell and the exit code."""

    def __init__(self, message: str, code: Code = Code.FAILED) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: errors.OperatorError) -> Code:
    """The exit code that an error stands for."""
    match error:
        case Stop():
            return error.code
        case errors.NotFound():
            return Code.NOT_FOUND
        case errors.Invalid() | errors.InvalidSpec():
            return Code.FAILED
        case _:
            return Code.UNAVAILABLE
