"""Which requests of a batch that failed run again, and together with whom. Pure."""

from tidegate_runtime.batching.isolation import Isolation
from tidegate_runtime.batching.tickets import RUNNING, Batch, Ticket
from tidegate_runtime.errors import NodeFailed, OutOfDeviceMemory, RejectedByModel, RuntimeFault


def parts(batch: Batch, fault: RuntimeFault, isolation: Isolation, seconds: float, now: float) -> list[list[Ticket]]:
    """The parts of the batch that run again, each on its own; none: all are to be told the fault.

    What may be one request's data is looked for by halves, within the budget. Beyond it what the model rejects runs
    request by request. An operator's other failures may be the model's own, and nothing is run again for them then,
    unless it is known that they are for data.
    After `OutOfDeviceMemory` halves run that may fit, and larger batches of the shape aren't made for a while. Other
    failures may be the engine's, and running again what just broke it risks what waits.
    """
    live = [ticket for ticket in batch.tickets if ticket.state == RUNNING]
    if isinstance(fault, OutOfDeviceMemory):
        if len(batch.tickets) > 1:  # One that is too large by itself says nothing about others.
            batch.shape.shrink(batch.rows, now)
        return halves(live) if len(live) > 1 else []
    if not isinstance(fault, RejectedByModel | NodeFailed):
        return []
    if len(batch.tickets) == 1:
        if batch.suspect:
            isolation.offended(batch.tickets[0].client, now)
        return []
    if isolation.may_halve(seconds, now):
        return halves(live)
    singly = isinstance(fault, RejectedByModel) or isolation.by_data(now)
    return [[ticket] for ticket in live] if singly else []


def halves(tickets: list[Ticket]) -> list[list[Ticket]]:
    """Both halves, in order; the second is empty if there is only one ticket."""
    middle = (len(tickets) + 1) // 2
    return [tickets[:middle], tickets[middle:]]
