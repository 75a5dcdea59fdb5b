"""A number of a table: what was written, and between what the value may lie."""

import re
from dataclasses import dataclass

SINGLE_PRECISION = 2.0**-23
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}


@dataclass(frozen=True)
class Number:
    """A number as it was written, and between what it may lie.

    It was rounded, or cut off, at its last digit, and computed in single precision at best.
    """

    text: str
    value: float
    low: float
    high: float

    @classmethod
    def read(cls, text: str, scale: float = 1.0) -> "Number":
        """The number that `text` writes, as `1.83`, `3e-4` or `12`; a whole number is off by a twentieth at most.

        Example:
            >>> Number.read("0.25")
            Number(text='0.25', value=0.25, low=0.245, high=0.26)
        """
        value = float(text)  # infinite where it has more digits than a float holds; who reads it bounds it
        digits, _, exponent = text.lower().partition("e")
        decimals = digits.partition(".")[2]
        last = 10.0 ** max(-300, min(300, int(exponent or 0) - len(decimals)))
        if "." not in digits:
            last = min(last, abs(value) / 20)
        last = max(last, abs(value) * SINGLE_PRECISION)
        below, above = (last, last / 2) if value < 0 else (last / 2, last)  # cut off means towards 0
        return cls(text, value * scale, (value - below) * scale, (value + above) * scale)


def figure(x: float) -> str:
    """A computed number, with as many digits as an argument needs."""
    if not 1e-4 <= abs(x) < 1e9:
        return f"{x:.3g}"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.2f}" if abs(x) >= 1 else f"{x:.3g}"


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two ranges share a value, each given as (low, high)."""
    slack = 1e-9
    return a[0] - abs(a[0]) * slack <= b[1] + abs(b[1]) * slack and b[0] - abs(b[0]) * slack <= a[1] + abs(a[1]) * slack


def key_of(text: str) -> str:
    """One spelling for a name: `Bits per byte` and `bits-per-byte` are `bits_per_byte`."""
    return re.sub(r"\W+", "_", text.strip().lower()).strip("_")
