"""Whether an object holds what a manifest declares. Pure."""

from collections.abc import Mapping
from typing import Any


def contains(live: Any, declared: Any) -> bool:
    """Whether all that is `declared` is in `live` as it is; what else `live` has, doesn't matter.

    Lists have to be of the same length, in the same order. False where the API server tells a value in other words than
    it was given: `1000m` of a processor are `1`. What says nothing (`""`, `0`, `false`, an empty list or map) it may
    leave out.
    """
    if isinstance(declared, Mapping):
        if not isinstance(live, Mapping):
            return live is None and not declared
        return all(contains(live.get(name), value) for name, value in declared.items())
    if isinstance(declared, list):
        if not isinstance(live, list):
            return live is None and not declared
        return len(live) == len(declared) and all(map(contains, live, declared))
    if live is None:
        return not declared
    # 1 == True, but they aren't the same.
    return type(live) is type(declared) and live == declared
