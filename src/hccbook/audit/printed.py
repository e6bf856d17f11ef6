"""What a printed number may have been before it was rounded: an interval, and arithmetic on intervals.

A value printed as 0.65 may have been anything from 0.645 to 0.655; one printed as ``<0.001`` anything below 0.001.
A check that forgets this finds errors where there are none, so every check of the audit works on a `Range`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

from hccbook.errors import DataError

DEVIATE = NormalDist().inv_cdf(0.975)
"""Standard errors from an estimate to each limit of its 95 % interval."""

SLACK = 1e-9
"""What floating-point arithmetic may lose at the edge of an interval."""

_PRINTED = re.compile(r"(?P<sign>[<>≤≥]=?)?\s*(?P<number>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)")


@dataclass(frozen=True)
class Range:
    """All values between two ends, both included.

    Attributes
    ----------
    low, high : float
        Ends; infinite where nothing bounds the value.
    text : str
        What was printed; empty for a computed range.
    """

    low: float
    high: float
    text: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise DataError("range", "must not end before it begins", f"{self.low} to {self.high}", "Swap the ends.")

    @property
    def middle(self) -> float:
        """Midway between the ends: what was printed, where that was a plain number."""
        return (self.low + self.high) / 2

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low

    def holds(self, value: float, slack: float = SLACK) -> bool:
        """Whether `value` may stand behind what was printed."""
        return self.low - slack <= value <= self.high + slack

    def meets(self, other: Range) -> bool:
        """Whether one value may stand behind both."""
        return self.low - SLACK <= other.high and other.low - SLACK <= self.high

    def gap(self, other: Range) -> float:
        """Distance to `other`; 0 where the two meet."""
        return max(0.0, other.low - self.high, self.low - other.high)

    def __add__(self, other: Range | float) -> Range:
        right = as_range(other)
        return Range(self.low + right.low, self.high + right.high)

    __radd__ = __add__

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low)

    def __sub__(self, other: Range | float) -> Range:
        return self + (-as_range(other))

    def __mul__(self, other: Range | float) -> Range:
        right = as_range(other)
        ends = [a * b for a in (self.low, self.high) for b in (right.low, right.high)]
        return Range(min(ends), max(ends))

    __rmul__ = __mul__

    def __truediv__(self, other: Range | float) -> Range:
        right = as_range(other)
        if right.low <= 0 <= right.high:
            raise DataError("divisor", "must not reach 0", f"{right.low} to {right.high}", "Check what is divided by.")
        return self * Range(1 / right.high, 1 / right.low)

    def __str__(self) -> str:
        return self.text or (f"{self.low:g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}")

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.text:
            return format(self.middle, spec)
        return " to ".join(dict.fromkeys(format(end, spec) for end in (self.low, self.high)))


Quartiles = tuple[Range, Range, Range]
"""Lower quartile, median and upper quartile as printed."""


def as_range(value: Range | float) -> Range:
    """A number as the interval that holds it alone; an interval as it is."""
    return value if isinstance(value, Range) else Range(float(value), float(value))


def printed_range(text: str, unit: str = "") -> Range:
    """Interval of the values that `text` may stand for.

    Parameters
    ----------
    text : str
        A number as printed, thousands comma and inequality sign and all.
    unit : str
        ``'%'`` to get a share of 1 from a percentage; anything else leaves the number as it is.

    Returns
    -------
    Range
        Half a unit of the last printed decimal to each side; from or to infinity behind an inequality sign.

    Raises
    ------
    DataError
        If `text` prints no number, as ``n.a.`` does.
    """
    match = _PRINTED.fullmatch(text.strip())
    if not match:
        raise DataError("printed number", "must be a number, an inequality sign before it at most", repr(text), "Skip.")
    number = match["number"].replace(",", "")
    value, half = float(number), 0.5 * 10.0 ** -len(number.partition(".")[2])
    sign = (match["sign"] or "")[:1]
    if sign in ("<", "≤"):
        low, high = -math.inf, value
    elif sign in (">", "≥"):
        low, high = value, math.inf
    else:
        low, high = value - half, value + half
    scale = 0.01 if unit == "%" else 1.0
    return Range(low * scale, high * scale, text)


def cut_or_rounded(rounded: Range) -> Range:
    """Interval of the values behind a printed number if its last digit may have been cut.

    Half a unit of the last digit below, one above.
    0.8899 prints as 0.889 when it is cut instead of rounded.
    """
    return Range(rounded.low, rounded.low + 1.5 * rounded.width, rounded.text)


_SPELLED = (
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    ("", "single", "double", "triple"),
)
_WORDS = {word: number for words in _SPELLED for number, word in enumerate(words) if word}


def in_digits(text: str) -> str:
    """`text`, a spelled number turned into digits."""
    return str(_WORDS.get(text.strip().lower(), text))


def is_number(text: str) -> bool:
    """Whether `text` prints a number, with or without an inequality sign."""
    return _PRINTED.fullmatch(text.strip()) is not None


def whole_number(text: str) -> int:
    """The count that `text` prints: exact, not rounded; in digits, thousands comma and all, or a word up to twelve.

    Raises
    ------
    DataError
        If `text` is no whole number.
    """
    bare = in_digits(text).strip().replace(",", "")
    if not re.fullmatch(r"\d+", bare):
        raise DataError("printed count", "must be a whole number", repr(text), "Correct the transcription.")
    return int(bare)


def estimate_and_limits(row: NamedTuple) -> tuple[Range, Range, Range] | None:
    """Estimate, lower and upper limit of a transcribed row, as printed; None where one of them is no number."""
    texts = (row.value, row.lower, row.upper)
    return tuple(map(printed_range, texts)) if all(map(is_number, texts)) else None


def total(ranges: Iterable[Range | float]) -> Range:
    """Range of the sum of `ranges`."""
    return sum((as_range(one) for one in ranges), Range(0.0, 0.0))


def counts_that_print_as(share: Range, denominator: int) -> range:
    """Numerators whose share of `denominator` rounds to what was printed.

    Parameters
    ----------
    share : Range
        Printed share of 1, as `printed_range` gives it.
    denominator : int
        Number of patients, 1 or more.

    Returns
    -------
    range
        From the least to the greatest; empty where no whole number of patients fits.

    Examples
    --------
    >>> list(counts_that_print_as(printed_range("0.944"), 31))
    []
    >>> list(counts_that_print_as(printed_range("0.968"), 31))
    [30]
    """
    least = max(0, math.ceil(share.low * denominator - 1e-7))
    greatest = min(denominator, math.floor(share.high * denominator + 1e-7))
    return range(least, greatest + 1)
