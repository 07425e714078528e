"""What picks out the requests of one model that are copied, and takes them with their answers once these are told."""

import logging
import random
from collections.abc import Sequence
from math import log, log1p
from typing import Final
from urllib.parse import quote

from tidegate_runtime.batching.rows import size_in_bytes
from tidegate_runtime.batching.tickets import RAN, Chosen, Outputs, Ticket
from tidegate_runtime.naming import ShadowOutcome
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.shadow.copies import Copy, Waiting, lasting
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.tensors import Feeds, Tensor

logger = logging.getLogger(__name__)


_LEAST: Final = 1e-300
"""Of a share: how many requests are passed over until one of a smaller share is chosen is no number any more."""


class Tap:
    """Each good request is chosen with the same probability, whatever came before it.

    Not every n-th: clients whose requests take turns would always have the same one copied. How many are passed over
    until the next is drawn instead, from the geometric distribution, so that a batch of which none is chosen costs a
    subtraction.
    """

    def __init__(
        self, model: ServedModel, percent: float, figures: ShadowFigures, waiting: Waiting, draw: random.Random
    ) -> None:
        self._inputs = model.signature.inputs
        self._outputs = model.signature.outputs
        self._timeout_seconds = model.limits.timeout_seconds
        self._path = f"/v2/models/{quote(model.name, safe='')}/versions/{quote(figures.canary, safe='')}/infer".encode()
        self._figures = figures
        self._waiting = waiting
        self._draw = draw
        # `log(1 - share)` would be 0 of a share that 1 has no digits for.
        self._log = log1p(-max(percent / 100, _LEAST)) if percent < 100 else None
        self._passed = self._gap()
        """Requests that are passed over until the next one is chosen."""

    def choose(self, tickets: Sequence[Ticket]) -> Sequence[Chosen]:
        """As `batching.tickets.Tap` says."""
        count, position = len(tickets), self._passed
        if position >= count:
            self._passed = position - count
            return ()
        chosen = []
        while position < count:
            ticket = tickets[position]
            if ticket.state == RAN and not ticket.hop and ticket.feeds is not None:
                chosen.append(Chosen(position, ticket.feeds, ticket.size, ticket.authorization))
            position += 1 + self._gap()
        self._passed = position - count
        return chosen

    def take(self, chosen: Chosen, outputs: Outputs) -> None:
        """As `batching.tickets.Tap` says. Where there is no room for it, it is dropped, and counted."""
        named = {spec.name: output for spec, output in zip(self._outputs, outputs, strict=True)}
        size = chosen.size + size_in_bytes(named)
        if not self._waiting.room(size):
            self._figures.count(ShadowOutcome.DROPPED)
            return
        try:
            self._waiting.add(self._copy(chosen, named, size))
        except Exception:
            logger.exception("a request could not be copied")
            self._figures.count(ShadowOutcome.DROPPED)

    def _copy(self, chosen: Chosen, outputs: Feeds, size: int) -> Copy:
        return Copy(
            self._path,
            self._inputs,
            {name: lasting(array) for name, array in chosen.feeds.items()},
            tuple([Tensor(spec.name, spec.datatype, lasting(outputs[spec.name])) for spec in self._outputs]),
            size,
            self._timeout_seconds,
            self._figures,
            chosen.authorization,
        )

    def _gap(self) -> int:
        if self._log is None:
            return 0
        return int(log(1 - self._draw.random()) / self._log)
