"""Rates at different horizons, and incidences of groups against that of all."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from hccbook.audit.findings import CheckResult
from hccbook.audit.printed import Range, is_number, printed_range
from hccbook.audit.transcription import Transcription

CHECK = "horizons"


def yearly_risk(cumulative: Range, years: float) -> dict[str, Range]:
    """Yearly figures that a cumulative incidence stands for, were the rate constant.

    Parameters
    ----------
    cumulative : Range
        Cumulative incidence as a share.
    years : float
        Its horizon.

    Returns
    -------
    dict of str to Range
        ``risk``, of one year, ``1 - (1 - c)^(1/T)``; ``rate``, per person-year, ``-ln(1 - c) / T``; ``share``, the
        cumulative incidence divided by the years. A printed figure outside all three needs a rate that changes.
    """
    return {
        "risk": Range(*(1 - (1 - c) ** (1 / years) for c in (cumulative.low, cumulative.high))),
        "rate": Range(*(-math.log(1 - c) / years for c in (cumulative.low, cumulative.high))),
        "share": cumulative / years,
    }


def share_of_high(whole: Range, high: Range, low: Range) -> Range:
    """Share of people in the high-risk group that its incidence, the other's and that of all imply.

    ``f = (whole - low) / (high - low)``: incidences of groups average to that of all.

    Parameters
    ----------
    whole, high, low : Range
        Incidences of all, of the high-risk and of the low-risk group at one horizon.

    Returns
    -------
    Range
        Exact without censoring; with it, as near as the groups are censored alike.
    """
    corners = [
        (w - b) / (a - b)
        for w in (whole.low, whole.high)
        for a in (high.low, high.high)
        for b in (low.low, low.high)
        if a > b
    ]
    return Range(min(corners), max(corners))


def check_yearly(yearly: Range, cumulative: Range, years: float, horizon: str) -> CheckResult:
    """Whether a printed yearly incidence goes with a cumulative one: at a constant rate, or as that of the first year.

    Parameters
    ----------
    yearly, cumulative : Range
        Incidences as shares, as printed.
    years : float
        Horizon of the cumulative one.
    horizon : str
        The same in words.

    Returns
    -------
    CheckResult
        One comparison, which says in what way they go together.
    """
    constant = yearly_risk(cumulative, years)
    if any(yearly.meets(reading) for reading in constant.values()):
        return CheckResult(CHECK, "annual incidence at a constant rate")
    low, high = (100 * one for one in (min(r.low for r in constant.values()), max(r.high for r in constant.values())))
    what = (
        f"annual incidence {yearly.text} % possible as that of the first year; at a constant rate "
        f"{cumulative.text} % in {horizon} are {low:.2f} to {high:.2f} % a year"
    )
    # What happens in the first year is no more than what happens in all.
    possible, most = yearly.low <= cumulative.high, f"no more than {cumulative.text} %"
    return CheckResult.plain(CHECK, what, possible, f"{yearly.text} % in a year", most)


def _by_subgroup(rows: pd.DataFrame) -> dict[str, Range]:
    """First printing of each subgroup."""
    found: dict[str, Range] = {}
    for one in rows.itertuples():
        if is_number(one.value):
            found.setdefault(one.subgroup, printed_range(one.value, one.unit))
    return found


def check_incidences(paper: Transcription) -> Iterator[CheckResult]:
    """Cumulative incidences of risk groups against that of all, against yearly ones, and against all cases."""
    for horizon in paper.description.horizons:
        rows = paper.at(horizon.cumulative)
        cumulative = _by_subgroup(rows[rows["cohort"] == horizon.cohort])
        whole, high, low = (cumulative.get(group) for group in ("", horizon.high, horizon.low))
        size, group = (paper.sizes.get((horizon.cohort, one)) for one in ("", horizon.high))
        years = f"{horizon.years:g} years"
        if whole and high and low and size and group:
            implied = share_of_high(whole, high, low)
            shares = f"share {implied.low:.1%} to {implied.high:.1%}"
            what = f"incidences at {years} of the groups average to that of all: {shares}"
            yield CheckResult.plain(CHECK, what, implied.holds(group / size), f"{group / size:.1%}", implied).at("text")
        yearly = _by_subgroup(paper.at(horizon.yearly)) if horizon.yearly else {}
        for name in (horizon.high, horizon.low):
            if name in yearly and name in cumulative:
                yield check_yearly(yearly[name], cumulative[name], horizon.years, years).at(f"text: {name}")
        cases = paper.events.get((horizon.cohort, ""))
        if whole and size and cases is not None:
            what = f"incidence at {years} below the share of events in all follow-up, were nobody censored before"
            # Censoring raises the estimate of Kaplan and Meier over the crude share, seldom by half.
            holds = whole.low <= 1.5 * cases / size
            yield CheckResult.plain(CHECK, what, holds, whole, f"{cases / size:.1%}").at("text")
