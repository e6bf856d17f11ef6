"""Claims of significance against printed p-values, marks, intervals and the paper's own threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scipy.stats import norm

from hccbook.audit.auc import implied_se
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.p_values import fits_deviates, wald_deviates
from hccbook.audit.printed import Range, estimate_and_limits, is_number, printed_range
from hccbook.audit.transcription import Transcription

CHECK = "significance"

LEVEL = 0.05
"""Level of which a 95 % interval speaks."""


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
        One comparison: it fails where the p of the interval's width is another, or one is significant and the other
        is not.
    """
    estimate, lower, upper = limits
    p, error = p_of_interval(*limits), (upper - lower).middle / 3.92
    reaches_no_effect = lower.low <= 0 <= upper.high
    is_claimed = reaches_no_effect and stated.high <= LEVEL < p.low
    is_denied = not reaches_no_effect and p.high < LEVEL <= stated.low
    fits = fits_deviates(wald_deviates(estimate, implied_se(lower, upper)), stated)
    otherwise = Discrepancy(
        CHECK,
        cell,
        f"{estimate} ({lower} to {upper}), p {stated}",
        f"p {p.low:.2f} to {p.high:.2f} from the width of the interval",
        f"a symmetric interval of this width has a standard error of {error:.3f}, "
        f"{estimate} / {error:.3f} = {estimate.middle / error:.2f}",
        IMPLIED,
    )
    holds = fits and not is_claimed and not is_denied
    return CheckResult.of_one(holds, f"{cell}: p-value and interval", otherwise)


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
    z = wald_deviates(estimate, implied_se(lower, upper))
    return Range(2 * float(norm.sf(z.high)), 2 * float(norm.sf(z.low)))


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
    """Whether the p-value of a difference can be that of its interval; of one row, for all its cohorts or each.

    Where a row has several such effects, print does not say whose a p-value is.
    """
    own = paper.own
    stated = {(one.row, one.cohort): one.value for one in own[own["quantity"] == "p-value"].itertuples()}
    effects = own[(own["lower"] != "") & own["quantity"].str.endswith(DIFFERENCES)]
    several = effects.groupby("row")["quantity"].nunique() > 1
    for one in effects[~effects["row"].isin(several[several].index)].itertuples(index=False):
        p = stated.get((one.row, one.cohort)) or stated.get((one.row, ""))
        limits = estimate_and_limits(one)
        if p and is_number(p) and limits and implied_se(*limits[1:]).low > 0:
            name = ", ".join(filter(None, (one.quantity, one.cohort.replace("_", " "), one.subgroup)))
            yield check_interval(name, limits, printed_range(p)).at(one.place)
