"""Makes `powers.h`: `python powers.py > powers.h`. A test holds the file against it."""

from typing import Final

FIRST: Final = -340
LAST: Final = 308
"""Beyond, no integer below 2^64 times that power of ten is a normal double."""

ROUNDED_UP: Final = -27
"""From here to -1 the exact power of a quotient may be in the middle of two doubles; rounding up keeps it there."""


def power(q: int) -> int:
    """The leading 128 bits of 5^q, cut off but where the algorithm needs them rounded up."""
    whole = 5 ** abs(q)
    if q < 0:
        bits = (whole - 1).bit_length()
        return (1 << (bits + 127)) // whole + (q >= ROUNDED_UP)
    return (whole << 128) >> whole.bit_length()


def header() -> str:
    """The file's text."""
    values = [power(q) for q in range(FIRST, LAST + 1)]
    halves = [f"{{0x{value >> 64:016x}, 0x{value & (2**64 - 1):016x}}}," for value in values]
    lines = [" ".join(halves[i : i + 2]) for i in range(0, len(halves), 2)]
    return "\n".join(
        [
            "/* The leading 128 bits of 5^q for q from POWERS_FIRST to POWERS_LAST; made by powers.py. */",
            "",
            "#include <stdint.h>",
            "",
            f"enum {{ POWERS_FIRST = {FIRST}, POWERS_LAST = {LAST} }};",
            "",
            f"static const uint64_t POWERS[{len(values)}][2] = {{",
            *(f"  {line}" for line in lines),
            "};",
            "",
        ]
    )


if __name__ == "__main__":
    print(header(), end="")
