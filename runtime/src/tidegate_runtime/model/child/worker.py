"""The child's side: the launch thread, which alone touches the device, and the thread that ends its runs."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from threading import Thread
from time import perf_counter
from typing import Any, NoReturn, Protocol

from tidegate_runtime.errors import DeviceLost, ExecutionFailed, RunEnded, RuntimeFault, StartupFailure
from tidegate_runtime.model.child import messages, slab
from tidegate_runtime.model.child.faults import encode_fault
from tidegate_runtime.model.child.messages import DEVICE_LOST, DONE_HEAD, END, HEAD, Kind
from tidegate_runtime.model.child.passage import Incoming, Outgoing
from tidegate_runtime.model.child.report import LoadReport, encode_report
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)


class Session(Protocol):
    """What runs batches, and what a run can be ended by."""

    def run(self, feeds: Feeds, options: Any) -> Sequence[Array]:
        """All outputs in declared order; raises `RuntimeFault`."""


Load = Callable[[], tuple[Session, LoadReport]]
NewOptions = Callable[[], Any]
"""Makes the options of a run; set on them, `terminate` ends it."""


def attend(line: socket.socket, second_line: socket.socket, load: Load, new_options: NewOptions) -> NoReturn:
    """Loads, reports, and runs batches, until the parent is gone; then the process ends."""
    worker = _Worker(line, new_options)
    Thread(target=_listen, args=(second_line, worker.end), name="listen", daemon=True).start()
    code = 0
    try:
        session, report = load()
        _tell(line, encode_report(report))
        worker.serve(session, report)
    except StartupFailure as failure:
        _tell(line, encode_report(failure))
    except ConnectionError:
        pass  # The parent is gone: nobody is left to tell.
    except DeviceLost as fault:  # The parent learns of it by the end of the process, and starts another.
        logger.error("the device is lost to this process", extra={"error": str(fault)})
        code = DEVICE_LOST
    except Exception:
        logger.exception("the engine's process can't go on")
        code = 1
    os._exit(code)


def _listen(second_line: socket.socket, end: Callable[[int], None]) -> None:
    """Ends runs as the parent asks; and ends the process with the parent's, whatever the launch thread is doing."""
    while message := messages.receive(second_line, END.size)[0]:
        end(END.unpack(message)[0])
    os._exit(0)


def _tell(line: socket.socket, report: bytes) -> None:
    memory, descriptor = slab.create(len(report))
    memory.root[: len(report)] = memoryview(report)
    messages.send_with(line, HEAD.pack(Kind.LOADED, 0, len(report)), descriptor)
    os.close(descriptor)


class _Worker:
    def __init__(self, line: socket.socket, new_options: NewOptions) -> None:
        self._line = line
        self._new_options = new_options
        self._inputs = Incoming()
        self._outputs: dict[int, Outgoing] = {}
        self._current: tuple[int, Any] = (0, None)
        self._ended = 0

    def end(self, run: int) -> None:
        """Ends that run, also one that is about to begin; called from the other thread."""
        self._ended = run
        current, options = self._current
        if current == run:
            options.terminate = True

    def serve(self, session: Session, report: LoadReport) -> None:
        """Runs what comes, until the parent is gone. Raises `OSError` or `ValueError` if it can't be understood."""
        names = [spec.name for spec in report.signature.inputs]
        longest = messages.longest(len(names))
        while True:
            message, descriptor = messages.receive(self._line, longest)
            if descriptor is not None:
                self._inputs.replace(descriptor)
            elif message:
                self._line.send(self._answer(session, names, message))
            else:
                return

    def _answer(self, session: Session, names: Sequence[str], message: bytes) -> bytes:
        _, number, run = HEAD.unpack_from(message)
        try:
            return self._run(session, names, run, number, message[HEAD.size :])
        except DeviceLost:
            raise
        except RuntimeFault as fault:
            return HEAD.pack(Kind.FAULT, number, run) + encode_fault(fault)
        except Exception:
            logger.exception("engine failed")
            failed = ExecutionFailed("the model failed on this request; the server's log says how")
            return HEAD.pack(Kind.FAULT, number, run) + encode_fault(failed)

    def _run(self, session: Session, names: Sequence[str], run: int, number: int, description: bytes) -> bytes:
        # Options of its own for each run: set too late, `terminate` would end the next one that shares them.
        options = self._new_options()
        self._current = run, options
        if self._ended == run:
            options.terminate = True
        feeds = dict(zip(names, self._inputs.view(description), strict=True))
        started = perf_counter()
        try:
            outputs = session.run(feeds, options)
        except RuntimeFault as fault:
            ended = options.terminate and not isinstance(fault, DeviceLost)
            raise (RunEnded("the run was ended before it was done") if ended else fault) from fault
        seconds = perf_counter() - started
        outgoing = self._outputs.get(number)
        if outgoing is None:
            outgoing = self._outputs[number] = Outgoing(lambda descriptor: self._announce(number, descriptor))
        return DONE_HEAD.pack(Kind.DONE, number, run, seconds) + outgoing.write(outputs)

    def _announce(self, number: int, descriptor: int) -> None:
        messages.send_with(self._line, HEAD.pack(Kind.SLAB, number, 0), descriptor)
