"""What can go wrong towards Kubernetes and the routers, as the rest of the operator distinguishes it."""

from collections.abc import Sequence


class OperatorError(Exception):
    """A failure that is not a bug."""


class InvalidSpec(OperatorError):
    """A stored object that this release can't honour; the message names the field, the limit and the next step."""


class ApiError(OperatorError):
    """An answer of the API server with an error status; `message` is the server's own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotFound(ApiError):
    """404: the object, or its kind, isn't there."""


class Conflict(ApiError):
    """409: the object exists, or changed since it was read."""


class FieldsHeld(Conflict):
    """409: fields that an apply declares were set to something else by other field managers.

    `held` is each field's path with who holds it, in the server's order.
    """

    def __init__(self, message: str, status: int, held: Sequence[tuple[str, str]]) -> None:
        super().__init__(message, status)
        self.held = tuple(held)


class Forbidden(ApiError):
    """401 or 403: a permission is missing, or a quota or a policy refuses the object."""


class Invalid(ApiError):
    """400 or 422: the object is refused as it is."""


class Unavailable(ApiError):
    """429, 5xx, or no answer at all (status 0)."""


def of_status(status: int, message: str) -> ApiError:
    """The error that an HTTP status of the API server stands for."""
    kind: type[ApiError]
    match status:
        case 404:
            kind = NotFound
        case 409:
            kind = Conflict
        case 401 | 403:
            kind = Forbidden
        case 400 | 422:
            kind = Invalid
        case _:
            kind = Unavailable
    return kind(message, status)
