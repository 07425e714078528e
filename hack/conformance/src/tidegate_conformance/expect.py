"""How a check fails or is passed over. Every failure says what was expected and what came."""

from typing import Any, NoReturn

_SHOWN = 400


class Mismatch(AssertionError):
    """The server did something else than the check's source says."""


class Skip(Exception):
    """The check can't be made on this server; the reason is counted and shown."""


def shown(value: object) -> str:
    """`value` for a person, bounded."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def fail(what: str, expected: object, got: object) -> NoReturn:
    """Raises `Mismatch`."""
    raise Mismatch(f"{what}: expected {shown(expected)}, got {shown(got)}")


def equal(what: str, expected: Any, got: Any) -> None:
    """Raises `Mismatch` unless both are equal and of one type, so that 1 isn't True and not 1.0."""
    if type(expected) is not type(got) or expected != got:
        fail(what, expected, got)


def true(what: str, held: bool, got: object) -> None:
    """Raises `Mismatch` unless `held`; `what` says what had to be."""
    if not held:
        raise Mismatch(f"{what}; got {shown(got)}")


def member(owner: Any, name: str, kind: type, where: str) -> Any:
    """`owner[name]`, a `kind`. Raises `Mismatch` if `owner` is no object, lacks it or holds something else."""
    if not isinstance(owner, dict):
        fail(where, "an object", owner)
    if name not in owner:
        fail(where, f'a member "{name}"', sorted(owner))
    if type(owner[name]) is not kind:
        fail(f'"{name}" of {where}', kind.__name__, owner[name])
    return owner[name]
