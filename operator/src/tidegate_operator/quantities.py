"""Kubernetes' quantities as exact numbers, and back for people."""

import re
from decimal import Decimal
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE])?)")
_UNITS = {
    "": Fraction(1),
    **{unit: Fraction(1, 1000**power) for power, unit in enumerate("mun", 1)},
    **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)},
}
_BINARY = [(unit, _UNITS[unit]) for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")]


def number(quantity: str | int | float) -> Fraction:
    """What a quantity such as `500m`, `2Gi`, `1e3` or `4` stands for; ValueError if it is none."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity: write a number and a unit, such as 500m or 2Gi")
    digits, exponent, unit = match.groups()
    return Fraction(Decimal(digits)) * (Fraction(10) ** int(exponent) if exponent else _UNITS[unit or ""])


def told(resource: str, amount: Fraction) -> str:
    """An amount of a resource, for people: bytes to a tenth of a binary unit, else a number to a thousandth."""
    if "memory" in resource or "storage" in resource:
        unit, size = next(((unit, size) for unit, size in _BINARY if amount >= size), ("", Fraction(1)))
        return f"{float(round(amount / size, 1)):g}{unit}"
    return f"{float(round(amount, 3)):g}"
