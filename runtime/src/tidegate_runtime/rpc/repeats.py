"""Messages that repeat earlier ones but for their numbers, and the model that each is for."""

from typing import Final, NamedTuple
from weakref import WeakKeyDictionary, ref

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.plain import MAX_LAYOUTS, TOGETHER_BYTES, Layout
from tidegate_runtime.rpc.plain_messages import PlainMessages
from tidegate_runtime.rpc.protos.inference_pb2 import ModelInferRequest
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import InferRequest

MAX_BEGINNINGS: Final = 4
"""Lengths that what repeats may have in messages of one length: each is looked up in every such message."""


class Repeat(NamedTuple):
    """A message that repeats: who answers it, and what it says."""

    model: ServedModel
    form: PlainMessages
    layout: Layout
    numbers: bytes


class _Known(NamedTuple):
    model: "ref[ServedModel]"
    """Not held: a model that is unloaded goes, whatever was asked of it."""
    form: PlainMessages
    layout: Layout
    name: str
    version: str | None


class Repeats:
    """What has come to `service`, by all but its numbers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._beginnings: dict[int, tuple[int, ...]] = {}
        """By the length of a message: how much of it repeats, in those that are known."""
        self._known: dict[bytes, _Known] = {}
        self._forms: WeakKeyDictionary[ServedModel, PlainMessages | None] = WeakKeyDictionary()

    def find(self, data: bytes) -> Repeat | None:
        """What the message repeats, if that would be answered by the same model; None says nothing of it."""
        for begin in self._beginnings.get(len(data), ()):
            known = self._known.get(data[:begin])
            if known is not None:
                try:
                    model = self._service.model(known.name, known.version)
                except RuntimeFault:
                    return None
                if known.model() is not model:
                    return None
                return Repeat(model, known.form, known.layout, data[begin:])
        return None

    def learn(self, data: bytes, message: ModelInferRequest, request: InferRequest, model: ServedModel) -> None:
        """Notes the message, which was read as `request` and fits the model, for the next like it."""
        if len(data) > TOGETHER_BYTES or (form := self._form(model)) is None:
            return
        found = form.layout_of(data, message, request)
        if found is None:
            return
        begin, layout = found
        beginnings = self._beginnings.get(len(data), ())
        if begin not in beginnings:
            if len(beginnings) >= MAX_BEGINNINGS:
                return
            beginnings = (*beginnings, begin)
        if len(self._known) >= MAX_LAYOUTS:
            self._known.clear()
            self._beginnings.clear()
            beginnings = (begin,)
        self._beginnings[len(data)] = beginnings
        name, version = message.model_name, message.model_version or None
        self._known[data[:begin]] = _Known(ref(model), form, layout, name, version)

    def _form(self, model: ServedModel) -> PlainMessages | None:
        if model not in self._forms:
            signature = model.signature
            sides, finite = (signature.inputs, signature.outputs), model.limits.reject_non_finite
            form = None if model.labels else PlainMessages.of(model.name, model.version, *sides, finite=finite)
            self._forms[model] = form
        return self._forms[model]
