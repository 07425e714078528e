"""What a device has taken on, whichever of its models it is for. Pure."""

from tidegate_runtime.batching.tickets import Batch


class Load:
    """The run in progress, and what waits. `shared` says that several backlogs take turns at the device.

    `mean` and `spread` are the sums of the waiting queues' `Work`, in seconds; backlogs keep them as requests come and
    go, so a prediction costs the same whatever waits.
    """

    __slots__ = ("holder", "mean", "running", "shared", "spread")

    def __init__(self) -> None:
        self.running: Batch | None = None
        self.holder: object = None
        """The backlog that `running` is of."""
        self.shared = False
        self.mean = 0.0
        self.spread = 0.0
