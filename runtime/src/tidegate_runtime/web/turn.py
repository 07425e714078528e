"""The writing of hot requests' answers that ran together, of one turn of the event loop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.compression import MIN_BYTES
from tidegate_runtime.protocol.plain import Answers
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array
from tidegate_runtime.turn import Turn
from tidegate_runtime.web.answer_heads import AnswerHeads
from tidegate_runtime.web.connection import KEEP_ALIVE_SECONDS

if TYPE_CHECKING:
    from tidegate_runtime.web.hot_call import HotCall

logger = logging.getLogger(__name__)

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than a second buffer to write."""


class HttpTurn(Turn["HotCall"]):
    """The hot requests of one event loop. All is called from it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.heads = AnswerHeads()

    def _refuse_all(self, model: ServedModel, calls: "list[HotCall]", fault: RuntimeFault) -> None:
        """Answers each of the calls with the fault."""
        body = orjson.dumps({"error": str(fault)})
        answer = b"%b%d\r\n\r\n%b" % (self.heads.bad(calls[0].server_state, fault), len(body), body)
        late_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
        received = []
        for call in calls:
            if call.keep_alive:
                call.transport.write(answer)
                received.append(call.received)
                call.written(late_at)
            else:
                call.refuse(fault)
        if received:
            now = self._clock()
            model.metrics.answered_all(fault.http_status, [now - each for each in received])

    def _write_all(
        self, first: "HotCall", calls: "Sequence[HotCall | None]", outputs: Sequence[Array], *, leads: bool
    ) -> None:
        """Writes the answers of calls whose requests ran together."""
        delivered = self._clock()
        try:
            before, pieces, behind, json_length = self._answers(first, outputs, len(calls))
            ok_head = self.heads.good(first.server_state, json_length)
        except RuntimeFault as fault:
            self._refuse_all(first.model, [call for call in calls if call is not None], fault)
            return
        except Exception:
            logger.exception("a batch's answers could not be written")
            for call in calls:
                if call is not None:
                    call.fail()
            return
        around = len(before) + len(behind)
        late_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
        times = []
        for call, piece in zip(calls, pieces, strict=True):
            if call is None:
                continue
            size = around + len(piece)
            try:
                # What is compressed, is the connection's last or isn't copied goes its own way.
                special = size > JOINED_BYTES or not call.keep_alive
                if special or (size >= MIN_BYTES and call.head.accepted is not None):
                    if leads and call is first:
                        # It is counted there, once it is written: it may have to be compressed in a thread.
                        leads, call.leads = False, True
                    call.deliver_one(Answers(before, [piece], behind, json_length), delivered)
                else:
                    call.transport.write(b"%b%d\r\n\r\n%b%b%b" % (ok_head, size, before, piece, behind))
                    times.append((call.received, call.parsed))
                    call.written(late_at)
            except Exception:
                # One request's answer that can't be written must not keep the others' from them.
                logger.exception("an answer could not be delivered")
                leads = leads and call is not first
        first.model.metrics.served_all(times, delivered, self._clock(), leads=leads)
