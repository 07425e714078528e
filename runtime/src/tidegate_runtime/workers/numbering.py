"""Numbers for what two processes speak of. Pure."""

from weakref import WeakKeyDictionary


class Numbers:
    """A number for each thing, from 1 on, as long as it lives; none is used twice."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._latest = 0

    def of(self, thing: object) -> int:
        """That thing's."""
        number = self._known.get(thing)
        if number is None:
            self._latest = number = self._latest + 1
            self._known[thing] = number
        return number
