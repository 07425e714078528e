"""Which requests of a batch that failed run again, and together with whom. Pure."""

from tidegate_runtime.batching.isolation import Isolation
from tidegate_runtime.batching.tickets import RUNNING, Batch, Ticket
from tidegate_runtime.errors import RejectedByModel, RuntimeFault


def parts(batch: Batch, fault: RuntimeFault, isolation: Isolation, seconds: float, now: float) -> list[list[Ticket]]:
    """The parts of the batch that run again, each on its own; none: all are to be told the fault.

    Only data is looked for: after `RejectedByModel` each half runs again, within the budget. Any other failure may be
    the engine's (a device fault), and running again what just broke it risks what waits.
    """
    live = [ticket for ticket in batch.tickets if ticket.state == RUNNING]
    if not isinstance(fault, RejectedByModel):
        return []
    if len(batch.tickets) == 1:
        if batch.suspect:
            isolation.offended(batch.tickets[0].client, now)
        return []
    if not isolation.may_halve(seconds, now):
        return [[ticket] for ticket in live]
    return halves(live)


def halves(tickets: list[Ticket]) -> list[list[Ticket]]:
    """Both halves, in order; the second is empty if there is only one ticket."""
    middle = (len(tickets) + 1) // 2
    return [tickets[:middle], tickets[middle:]]
