"""Claims of significance against printed p-values, marks, intervals and the paper's own threshold."""

from __future__ import annotations

from collections.abc import Mapping

from scipy.stats import norm

from hccbook.audit.printed import Range

CHECK = "significance"
"""Name of this family of checks."""


def unmarked(marks: Mapping[str, str], mark: str) -> list[str]:
    """Comparisons that a table does not mark as significant.

    Parameters
    ----------
    marks : mapping of str to str
        For each comparison the footnote mark printed with it; empty for none.
    mark : str
        The mark that means significant.

    Returns
    -------
    list of str
    """
    return [name for name, printed in marks.items() if printed != mark]


def significant_at(p: Range, threshold: float) -> bool | None:
    """Whether a printed p-value is below a threshold; None where its rounding leaves that open."""
    if p.high <= threshold and (p.text.startswith("<") or p.high < threshold):
        return True
    return False if p.low >= threshold else None


def p_of_interval(estimate: Range, lower: Range, upper: Range, level: float = 0.95) -> Range:
    """p-value against no effect that a symmetric interval implies.

    ``z = estimate / SE`` with SE the printed width over ``2 x 1.96``, two-sided, rounding included.

    Parameters
    ----------
    estimate, lower, upper : Range
        As printed, of an effect that is 0 where there is none.
    level : float
        Confidence level.

    Returns
    -------
    Range
    """
    z = float(norm.isf((1 - level) / 2))
    narrow, wide = (upper - lower).low / (2 * z), (upper - lower).high / (2 * z)
    deviates = [abs(end) / error for end in (estimate.low, estimate.high) for error in (narrow, wide)]
    least = 0.0 if estimate.low <= 0 <= estimate.high else min(deviates)
    return Range(2 * float(norm.sf(max(deviates))), 2 * float(norm.sf(least)))


def reaches_no_effect(lower: Range, null: float = 0.0) -> bool:
    """Whether the lower limit may be at or below no effect, rounding included."""
    return lower.low <= null
