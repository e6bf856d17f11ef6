"""Numbers as text, and tables with their captions.

Policies, the same in every table and on every figure:

- **Rounding** is half away from zero on the shortest decimal form of the number, as a reader rounds by hand:
  0.0125 to three places is 0.013. Python's own rounding would follow the binary form and give 0.013 or 0.012
  as that happens to fall; rounding half to even would give 0.012.
- **Ranges** are joined by an en dash, ``0.917–0.949``; where a bound is negative by " to ", so that no dash
  stands beside a minus. The minus is the sign U+2212, not a hyphen.
- **p-values** have three places; below 0.001 they are ``<0.001``, and from 0.9995 ``>0.999``.
- **Undefined** values are ``n.a.``, never an empty cell; an empty cell is one that the layout leaves free.
- **Counts** from a thousand on have a comma.
"""

from __future__ import annotations

import hashlib
import html
import math
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd
from pandas.io.formats.style import Styler

from hccbook.errors import DataError

UNDEFINED = "n.a."
"""What stands where a value is undefined."""

SYNTHETIC_NOTICE = "SYNTHETIC: simulated patients, not clinical data."
"""First words of the caption of every table made from simulated patients."""


def is_absent(value: object) -> bool:
    """Whether a value is None, NaN or NA."""
    return value is None or bool(pd.isna(value))


def decimal_text(value: float | None, places: int) -> str:
    """Number with a fixed count of decimal places.

    Parameters
    ----------
    value : float or None
        Number; None and NaN are undefined.
    places : int
        Decimal places, 0 or more.

    Returns
    -------
    str
        Rounded half away from zero on the shortest decimal form; a zero has no sign.

    Raises
    ------
    DataError
        If the number is infinite.
    """
    if is_absent(value):
        return UNDEFINED
    if math.isinf(value):
        raise DataError("a table cell", "must be finite or undefined", value, "Give NaN where it is undefined.")
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = f"{abs(rounded):,.{places}f}"
    return f"−{text}" if rounded < 0 else text


def cutoff_text(cutoff: float) -> str:
    """Cut-off to two places, or to two digits where that is more: ``0.26``, ``0.071``, ``0.0055``."""
    small = 0 < abs(cutoff) < 0.1
    return decimal_text(cutoff, 1 - math.floor(math.log10(abs(cutoff))) if small else 2)


def unbounded_text(value: float | None, places: int) -> str:
    """Number that may be infinite, ``∞``, as a slope is where the predictions separate the outcomes."""
    if not is_absent(value) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return decimal_text(value, places)


def joined_range(lower: str, upper: str) -> str:
    """Typeset bounds joined by a dash, or by " to " where a sign stands before one of them."""
    return (" to " if any(bound[0] in "-−>" for bound in (lower, upper)) else "–").join((lower, upper))


def estimate_text(value: float, lower: float, upper: float, places: int = 3) -> str:
    """Estimate with its 95% confidence interval, ``0.933 (0.917–0.949)``, or a median with its quartiles."""
    if is_absent(value):
        return UNDEFINED
    if is_absent(lower) or is_absent(upper):
        return f"{decimal_text(value, places)} ({UNDEFINED})"
    return f"{decimal_text(value, places)} ({joined_range(decimal_text(lower, places), decimal_text(upper, places))})"


def area_text(auc: float, lower: float, upper: float) -> str:
    """AUC with its interval, or the word that it has none."""
    if not is_absent(auc) and is_absent(lower):
        return f"{decimal_text(auc, 3)} (no interval)"
    return estimate_text(auc, lower, upper)


def noted_text(value: float, lower: float, upper: float, note: str) -> str:
    """Estimate with its interval; without one, the first part of the note, which says why."""
    if is_absent(value):
        return note.split(";")[0] or UNDEFINED
    return estimate_text(value, lower, upper)


def percent_text(fraction: float, lower: float, upper: float) -> str:
    """Fraction (0 to 1) with its 95% confidence interval, both in percent: ``24.3 (18.8–30.5)``."""
    # Decimal keeps 0.0145 x 100 at 1.45, which binary multiplication may not.
    parts = (math.nan if is_absent(part) else Decimal(repr(float(part))) * 100 for part in (fraction, lower, upper))
    return estimate_text(*map(float, parts), places=1)


def count_text(count: float, percent: float) -> str:
    """Count with its percentage (0 to 100), ``1,411 (79.8)``."""
    if is_absent(count):
        return UNDEFINED
    return f"{decimal_text(count, 0)} ({decimal_text(percent, 1)})"


def ratio_text(numerator: float, denominator: float) -> str:
    """Count out of another, ``42/45``."""
    if is_absent(numerator) or is_absent(denominator):
        return UNDEFINED
    return f"{decimal_text(numerator, 0)}/{decimal_text(denominator, 0)}"


def p_text(p: float | None) -> str:
    """p-value as a table cell: ``0.012``, ``<0.001``, ``>0.999`` or ``n.a.``.

    Raises
    ------
    DataError
        If the value lies outside 0 to 1.
    """
    if is_absent(p):
        return UNDEFINED
    if not 0 <= p <= 1:
        raise DataError("p-value", "must lie between 0 and 1", p, "Check the test that gave it.")
    if p < 0.001:
        return "<0.001"
    return ">0.999" if p >= 0.9995 else decimal_text(p, 3)


def p_phrase(p: float | None) -> str:
    """p-value in running text: ``p = 0.012``, ``p < 0.001``."""
    text = p_text(p)
    return f"p {text[0]} {text[1:]}" if text[0] in "<>" else f"p = {text}"


def step_text(per: str, step: float) -> str:
    """What an odds ratio is per, as it stands after the variable: ", per SD", ", per 10", nothing for one unit."""
    if per == "SD":
        return ", per SD"
    return "" if is_absent(step) or step == 1 else f", per {step:g}"


def odds_ratio_text(value: float, lower: float, upper: float) -> str:
    """Odds or hazard ratio with its interval, to two places, and no longer than can be read: ``>1,000``, ``<0.01``."""
    if is_absent(value):
        return UNDEFINED
    value, lower, upper = (
        ">1,000" if part > 1000 else "<0.01" if 0 < part < 0.01 else decimal_text(part, 2)
        for part in (value, lower, upper)
    )
    return f"{value} ({joined_range(lower, upper)})"


def caption_synthetic(table: pd.DataFrame, caption: str, *, synthetic: bool = True) -> Styler:
    """Table with its caption, which begins with SYNTHETIC where the patients are simulated.

    Parameters
    ----------
    table : pandas.DataFrame
        Typeset table.
    caption : str
        What the table shows.
    synthetic : bool
        Whether the patients are simulated.

    Returns
    -------
    pandas.io.formats.style.Styler
        Renders as HTML in a notebook; ``<`` and ``&`` in cells are escaped, and the same table gives the same HTML.
    """
    text = html.escape(caption)
    if synthetic:
        text = f"<strong>{html.escape(SYNTHETIC_NOTICE)}</strong> {text}"
    # The identifier that pandas puts into the HTML is random unless given.
    identity = hashlib.sha256((text + table.to_csv()).encode()).hexdigest()[:12]
    return (
        table.style.set_uuid(identity)
        .set_caption(text)
        .format(escape="html", na_rep=UNDEFINED)
        .format_index(escape="html", axis=0)
        .format_index(escape="html", axis=1)
        .set_table_styles(
            [
                {"selector": "caption", "props": "caption-side: top; text-align: left;"},
                {"selector": "th, td", "props": "text-align: left; white-space: nowrap;"},
            ]
        )
    )
