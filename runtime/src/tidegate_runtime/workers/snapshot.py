"""All that a front end has to know of what is served, told anew whenever any of it has changed.

Pickled, for it is many small classes of this very program, and the hub is the front ends' own parent. What comes from a
front end, which reads what anybody may send, is never unpickled.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_runtime.access.tenants import Tenants
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.model.triton_config import ModelConfig
from tidegate_runtime.served_model import Limits
from tidegate_runtime.service import State
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.trace_settings import TraceSettings


@dataclass(frozen=True, slots=True)
class ToldModel:
    """A model version that answers, under the number by which it is asked; another one after a swap has another."""

    number: int
    signature: Signature
    verdict: Verdict
    labels: Mapping[str, tuple[str, ...]] | None
    config: ModelConfig | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class ToldVersion:
    """A version that there is; `model` is there in state READY alone."""

    name: str
    version: str
    device: str
    state: State
    reason: str
    model: ToldModel | None
    engine_ready: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The service, as its own process has it."""

    versions: tuple[ToldVersion, ...]
    started: bool
    draining: bool
    regions: tuple[tuple[int, Region], ...] = ()
    """Shared memory of clients, with the numbers under which its objects were handed over."""
    traces: TraceSettings | None = None
    """Which requests are recorded; None where none can be."""
    budgets: tuple[tuple[str, int], ...] = ()
    """Where they are counted, by whose count, with the number under which each `Budget` was handed over."""
    tenants: Tenants | None = None
    """Whose tokens are good; None where nobody is asked for one."""
    log_levels: Mapping[str, bool | int] = field(default_factory=dict)
    """What is logged, where that is told."""


def encode(snapshot: Snapshot) -> bytes:
    """For a front end."""
    return pickle.dumps(snapshot)


def decode(content: bytes) -> Snapshot:
    """What `encode` was given."""
    told = pickle.loads(content)
    assert isinstance(told, Snapshot)
    return told
