"""A hot request, from its last byte on: handed over to another server, or decoded and submitted here."""

from collections.abc import Callable

from tidegate_runtime.batching.tickets import Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RuntimeFault
from tidegate_runtime.protocol.plain import Known, Layout
from tidegate_runtime.protocol.v2_request import decode, parse_header_length
from tidegate_runtime.tensors import Feeds
from tidegate_runtime.web.faults import CLIENT_GONE
from tidegate_runtime.web.handed_call import hand_over
from tidegate_runtime.web.head import Head
from tidegate_runtime.web.hot_answer import HotAnswer


class HotCall(HotAnswer):
    """A connection's hot request, one at a time."""

    __slots__ = ()

    takes = Head

    def begin(self, head: Head) -> None:
        """A request with this head is what the call is about from here on; its body follows."""
        self.response_complete = False
        self.keep_alive = head.keep_alive
        self.head = head
        self.body = b""

    def arrive(self) -> None:
        """Has the request, whose body is whole, answered."""
        self.received = self.clock()
        admit = self.head.admit
        if admit is not None and not self._admitted(admit):
            return
        handing = self.head.model.handing
        if handing is None or not hand_over(self, handing):
            self.go_on()

    def go_on(self) -> None:
        """Has it answered here, with others that the loop reads in the same turn.

        Where some are copied, one that goes no further goes by itself, and one whose copy has to show a token: both are
        told apart by their tickets.
        """
        head = self.head
        if head.model.copied and (head.hop or head.authorization is not None):
            self.take()
        else:
            self.turn.join(self)

    def _admitted(self, admit: Callable[[], None]) -> bool:
        try:
            admit()
        except RuntimeFault as fault:
            self.refuse(fault)
            return False
        return True

    def find(self) -> Known | None:
        """Its layout and numbers, if it repeats an earlier one but for these."""
        form = self.form = self.head.form
        if form is None or self.known is not None:
            return self.known
        known = self.known = form.find(self.body, self.head.json_size)
        if known is not None:
            self._connection.on_known(form, known[0])
        return known

    def take(self) -> None:
        """Has the request, whose body is whole and came at `received`, answered."""
        self._try(self._take)

    def take_whole(self) -> None:
        """The same, as if it were the first of its kind: its answer goes by itself, and is no evidence."""
        self._try(self._take_whole)

    def _try(self, take: Callable[[], None]) -> None:
        try:
            take()
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()

    def _take(self) -> None:
        form = self.form = self.head.form
        if form is not None:
            body, size, model = self.body, self.head.json_size, self.head.model
            known = self.known or form.find(body, size)
            feeds = form.read(known[0], [known[1]]).feeds if known is not None else None
            if known is not None and feeds:
                self.submit(feeds[0], known[0])
                return
            plain = form.decode(body, size)
            if plain is not None:
                self._taken(model.submit_plain(*plain, self.received, self.deliver, self.client))
                return
        self._take_whole()

    def _take_whole(self) -> None:
        head, body, model = self.head, self.body, self.head.model
        self.form = None
        length = head.json_length
        json_length = None if length is None else parse_header_length(length.decode("latin-1"))
        self.request = request = decode(body, json_length, model.signature.inputs)
        limit = 0.0 if self.handed is None else self.handed.timeout_seconds
        try:
            self._taken(model.submit(request, self.received, self.deliver, self.client, limit))
        except (Overloaded, DeadlineExceeded):
            # It fits the model; under load it is the refusals that have to be cheap.
            if head.form is not None:
                head.form.learn(body, head.json_size, request)
            raise
        if head.form is not None:
            head.form.learn(body, head.json_size, request)

    def submit(self, feeds: Feeds, layout: Layout) -> None:
        """Has the request, which was read by its layout, answered."""
        model = self.head.model
        try:
            ticket = model.submit_plain(
                feeds, layout.rows, self.received, self.deliver, self.client, layout.priority, layout.timeout_seconds
            )
        except RuntimeFault as fault:
            self.refuse(fault)
        except Exception:
            self.fail()
        else:
            self._taken(ticket)

    def _taken(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.parsed = ticket.arrived
        ticket.hop = self.head.hop
        ticket.authorization = self.head.authorization
        if self.form is not None:
            ticket.taker = self

    def lost(self, *, reading: bool) -> None:
        """The client left: its request leaves the queue. `reading` says that its body wasn't whole."""
        if self.response_complete:
            return
        self.response_complete = True
        if self.asking is not None:
            self.asking.cancel()  # It is counted where it was handed over to.
            return
        if self.ticket is not None:
            self.head.model.withdraw(self.ticket)
        elif reading:
            self.head.model.release()
        # One that hasn't come whole has taken no time yet, by where that is counted from.
        self.head.model.metrics.answered(CLIENT_GONE, None if reading else self.clock() - self.received)
