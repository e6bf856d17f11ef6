"""Claims of significance against printed p-values, marks, intervals and the paper's own threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scipy.stats import norm

from hccbook.audit.auc import implied_se
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import Range, estimate_and_limits, is_number, printed_range
from hccbook.audit.transcription import Transcription

CHECK = "significance"


def check_marks(shown: Mapping[str, str], marks: Mapping[str, str], mark: str) -> CheckResult:
    """Whether a table marks comparisons as significant that the text calls so.

    Parameters
    ----------
    shown, marks : mapping of str to str
        For each comparison what the table prints of it, and the footnote mark printed with it, if any.
    mark : str
        The mark that means significant.

    Returns
    -------
    CheckResult
        One comparison each.
    """
    wrong = tuple(
        Discrepancy(CHECK, name, f"{name} {text}", "not marked as significant", f"without {mark}: {name} {text}")
        for name, text in shown.items()
        if marks.get(name) != mark
    )
    return CheckResult(CHECK, "claimed superiority marked as significant", len(shown), wrong)


def check_interval(cell: str, limits: tuple[Range, Range, Range], stated: Range) -> CheckResult:
    """Whether the p-value printed of an effect can be that of its interval.

    Parameters
    ----------
    cell : str
        Where it stands.
    limits : (Range, Range, Range)
        As `p_of_interval` takes them.
    stated : Range
        Printed p-value.

    Returns
    -------
    CheckResult
        One comparison: it fails where the interval may reach no effect, or its width implies a greater p.
    """
    estimate, lower, upper = limits
    p, error = p_of_interval(*limits), (upper - lower).middle / 3.92
    otherwise = Discrepancy(
        CHECK,
        cell,
        f"{estimate} ({lower} to {upper}), p {stated}",
        f"p {p.low:.2f} to {p.high:.2f} from the width of the interval",
        f"a symmetric interval of this width has a standard error of {error:.3f}, "
        f"{estimate} / {error:.3f} = {estimate.middle / error:.2f}",
        IMPLIED,
    )
    return CheckResult.of_one(p.low < stated.high and lower.low > 0, f"{cell}: p-value and interval", otherwise)


def significant_at(p: Range, threshold: float) -> bool | None:
    """Whether a printed p-value is below a threshold; None where its rounding leaves that open."""
    if p.high <= threshold and (p.text.startswith("<") or p.high < threshold):
        return True
    return False if p.low >= threshold else None


def p_of_interval(estimate: Range, lower: Range, upper: Range) -> Range:
    """p-value against no effect that a symmetric interval implies.

    ``z = estimate / SE`` with SE the printed width over ``2 x 1.96``, two-sided, rounding included.

    Parameters
    ----------
    estimate, lower, upper : Range
        As printed, of an effect that is 0 where there is none.

    Returns
    -------
    Range
    """
    error = implied_se(lower, upper)
    deviates = [abs(end) / one for end in (estimate.low, estimate.high) for one in (error.low, error.high)]
    least = 0.0 if estimate.low <= 0 <= estimate.high else min(deviates)
    return Range(2 * float(norm.sf(max(deviates))), 2 * float(norm.sf(least)))


DIFFERENCES = ("net reclassification improvement", "integrated discrimination improvement", "difference")
"""Quantities, or last words of such, that are 0 where there is no effect."""


def check_claimed(paper: Transcription) -> Iterator[CheckResult]:
    """Whether a table marks as significant what a sentence calls significantly better."""
    for claim in paper.description.marks:
        rows = paper.own[paper.own["place"] == claim.place]
        left_out = {"", paper.description.model, *claim.but}
        shown, marks = {}, {}
        for one in rows.itertuples(index=False):
            name = f"{one.subgroup}, {one.cohort}".replace("_", " ")
            if one.subgroup in left_out:
                continue
            if one.quantity == "auc":
                shown[name] = f"{one.value} ({one.lower} to {one.upper})" if one.lower else one.value
            elif one.quantity == "footnote mark":
                marks[name] = one.value
        if shown:
            yield check_marks(shown, marks, claim.mark).at(f"{claim.said}, against {claim.place}")


def check_differences(paper: Transcription) -> Iterator[CheckResult]:
    """Whether the p-value of a difference can be that of its interval; of one row, for all its cohorts or each."""
    own = paper.own
    stated = {(one.row, one.cohort): one.value for one in own[own["quantity"] == "p-value"].itertuples()}
    for one in own[own["lower"] != ""].itertuples(index=False):
        p = stated.get((one.row, one.cohort)) or stated.get((one.row, ""))
        if one.quantity.endswith(DIFFERENCES) and p and is_number(p) and is_number(one.value):
            name = ", ".join(filter(None, (one.quantity, one.cohort.replace("_", " "), one.subgroup)))
            yield check_interval(name, estimate_and_limits(one), printed_range(p)).at(one.place)
