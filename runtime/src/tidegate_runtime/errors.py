"""What can go wrong, each fault knowing what it means over HTTP and over gRPC.

`RuntimeFault` ends one request; `StartupFailure` ends the process. Messages are for the client or the operator of the
service: they name the field, the limit and the next step, and hold no path of this machine and no traceback.
"""

from typing import ClassVar, Final

from tidegate_runtime.naming import Reason


class RuntimeFault(Exception):
    """One request's failure. Subclasses say its HTTP status and its gRPC status name."""

    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"
    retry_after_seconds: int | None = None
    refusal: str | None = None
    """Why a request was refused for load alone, in one word for machines."""
    challenge: str | None = None
    """What a caller without a good token is asked for, as `WWW-Authenticate` has it."""


class InvalidRequest(RuntimeFault):
    """The client has to change the request; sending it again won't help."""

    http_status = 400
    grpc_status = "INVALID_ARGUMENT"


class Malformed(InvalidRequest):
    """The bytes are not a request of the protocol."""


class InvalidTensor(InvalidRequest):
    """A tensor contradicts itself or the model's signature."""


class RejectedByModel(InvalidRequest):
    """The model's own operators refused these values, e.g. an index beyond its table."""


class AlreadyExists(InvalidRequest):
    """Something of that name is there already."""

    grpc_status = "ALREADY_EXISTS"


class LoadFailed(InvalidRequest):
    """A model that was to be loaded can't be served as it is."""


_REALM: Final = 'Bearer realm="tidegate"'
_NO_TOKEN: Final = "a token that is good here is needed: send Authorization: Bearer TOKEN"


class Unauthenticated(RuntimeFault):
    """The caller shows no token that is good here. The text is the same whatever is wrong with the one it shows."""

    http_status = 401
    grpc_status = "UNAUTHENTICATED"

    def __init__(self, message: str = _NO_TOKEN, *, given: bool = False) -> None:
        """`given` says that there is a token, which then isn't good (RFC 6750, 3)."""
        super().__init__(message)
        self.challenge = f'{_REALM}, error="invalid_token"' if given else _REALM


class Forbidden(RuntimeFault):
    """The caller's token is good, but not for this."""

    http_status = 403
    grpc_status = "PERMISSION_DENIED"


class NotFound(RuntimeFault):
    """No such model or version."""

    http_status = 404
    grpc_status = "NOT_FOUND"


class BodyTooLarge(RuntimeFault):
    """The body is over `--max-body-bytes`, or an element of it over `--max-element-bytes`."""

    http_status = 413
    grpc_status = "RESOURCE_EXHAUSTED"


class UnsupportedMedia(RuntimeFault):
    """The body's type or encoding is none that is served."""

    http_status = 415
    grpc_status = "INVALID_ARGUMENT"


class Overloaded(RuntimeFault):
    """The load of the moment forbids it. Never a 5xx: a router would eject a pod that is merely busy."""

    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, refusal: str = "QueueFull", retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.retry_after_seconds = retry_after_seconds


class ExecutionFailed(RuntimeFault):
    """The engine failed on a request that looked right."""


class NodeFailed(ExecutionFailed):
    """An operator failed for another reason than an invalid input; that may still be the data of one request."""


class NotServed(RuntimeFault):
    """The protocol has this method; this server, or this port of it, doesn't."""

    http_status = 501
    grpc_status = "UNIMPLEMENTED"


class RunEnded(ExecutionFailed):
    """The run was ended from outside: it took too long, or nobody waited for it any more."""


class NotReady(RuntimeFault):
    """The model is loading, or the server is on its way out."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    retry_after_seconds: int | None = 1


class NotServing(NotReady):
    """The version can't be loaded, or was unloaded: to wait doesn't help."""

    grpc_status = "FAILED_PRECONDITION"
    retry_after_seconds = None


class EngineLost(NotReady):
    """The engine's process ended while it ran the request; nothing is known about the request itself."""


class DeviceLost(EngineLost):
    """The device failed in a way that lasts: whatever this process runs on it from here on fails, too."""


class OutOfDeviceMemory(RuntimeFault):
    """The device hasn't the memory that this batch takes; a smaller one may fit."""

    http_status = 503
    grpc_status = "UNAVAILABLE"
    retry_after_seconds = 1


class DeadlineExceeded(RuntimeFault):
    """The answer would have come after the request's deadline."""

    http_status = 504
    grpc_status = "DEADLINE_EXCEEDED"


class StartupFailure(Exception):
    """The command can't go on. `reason` is API; the text says what was found, where, and what to do next."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
