"""Kubernetes quantities, brought to the forms that our fields take: without fractions, memory in binary units."""

import re
from decimal import ROUND_CEILING, Decimal

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?")
_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** (power + 1) for power, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Decimal(1024) ** (power + 1) for power, unit in enumerate("KMGTPE")},
}


def parsed(quantity: object) -> Decimal:
    """The number that a quantity stands for; raises ValueError if it is none."""
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None or isinstance(quantity, bool):
        raise ValueError(f"{quantity!r} is no quantity: write a number with a unit such as 500m or 4Gi")
    number, unit = Decimal(match[1]), match[2] or ""
    return number * (Decimal(10) ** int(unit[1:]) if unit[:1] in ("e", "E") and unit[1:] else _UNITS[unit])


def processors(quantity: object) -> str:
    """A quantity of processors, rounded up to thousandths: `2`, `1500m`; raises ValueError."""
    thousandths = int((parsed(quantity) * 1000).to_integral_value(ROUND_CEILING))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def memory(quantity: object) -> str:
    """A quantity of memory in the largest binary unit that holds it whole; raises ValueError.

    It is rounded up to KiB, and from 10 TB on to MiB: a field has room for ten digits.
    """
    number = int((parsed(quantity) / 1024).to_integral_value(ROUND_CEILING))
    for unit in ("Ki", "Mi", "Gi"):
        if (number % 1024 or not number) and number < 10**10:
            return f"{number}{unit}"
        number = -(-number // 1024)
    return f"{number}Ti"
