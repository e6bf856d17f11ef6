"""Cut-offs and risk groups: Youden, groups by cut-offs, and aMAP to aMAP-CT step by step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import check_binary, check_values
from hccbook.scores import RISK_GROUPS, amap_group

NOT_NEEDED = "not needed"
"""CT group of patients whom aMAP already calls low-risk."""

WARNING_MONTHS = (6.0, 9.0)
"""Months that part ALARM's lead times: below 6, 6 to below 9, 9 and more."""


def midpoints(distinct: np.ndarray) -> np.ndarray:
    """Cut-offs between neighbouring scores; they keep their groups when a score is rounded in a file."""
    middle = distinct[:-1] + np.diff(distinct) / 2
    # Between neighbouring floats the middle is one of the two: the upper one cuts the same patients.
    return np.where(middle > distinct[:-1], middle, distinct[1:])


def youden_cutoff(y: ArrayLike, score: ArrayLike) -> float:
    """Cut-off with the greatest sensitivity + specificity - 1.

    Midway between neighbouring scores, with patients on both sides; a patient at it is positive. Of equal maxima
    the lowest cut-off is taken, which has the highest sensitivity.

    Parameters
    ----------
    y, score : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a higher score means a higher risk.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If a value is missing, a class is absent, the patients do not match, or all scores are equal.

    References
    ----------
    Youden 1950, Cancer 3:32. aMAP-CT, Results: "optimal cut-off value", its rule not printed.
    """
    outcome = check_binary(y)
    values = check_values(score, outcome, y)
    distinct, position = np.unique(values, return_inverse=True)
    if distinct.size < 2:
        raise DataError("score", "must differ between patients", f"{distinct[0]:g} for all", "Use another score.")
    below_events = np.bincount(position[outcome == 1], minlength=distinct.size).cumsum()[:-1]
    below_others = np.bincount(position[outcome == 0], minlength=distinct.size).cumsum()[:-1]
    events = int(outcome.sum())
    # In whole numbers, so that equal maxima are equal: (J) x events x others.
    youden = below_others * events - below_events * (outcome.size - events)
    return float(midpoints(distinct)[int(np.argmax(youden))])


def risk_groups(score: ArrayLike, cuts: float | Sequence[float]) -> np.ndarray | pd.Series:
    """Risk group by cut-offs; a score at a cut-off belongs to the higher group.

    Parameters
    ----------
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    cuts : float or sequence of float
        One cut-off (low, high) or two, rising (low, medium, high).

    Returns
    -------
    numpy.ndarray of str or pandas.Series of str, shape (n_patients,)
        A Series where `score` is one.

    Raises
    ------
    DataError
        If a score is missing, or there are not one or two rising cut-offs.
    """
    bounds = np.atleast_1d(np.asarray(cuts, dtype=float))
    if bounds.shape not in ((1,), (2,)) or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
        raise DataError("cuts", "must be one or two cut-offs, rising", cuts, "Give, for example, (0.21, 0.65).")
    values = np.asarray(score, dtype=float)
    if np.isnan(values).any():
        raise DataError("score", "must not be missing", f"{int(np.isnan(values).sum())} missing", "Leave those out.")
    names = np.array(RISK_GROUPS if bounds.size == 2 else (RISK_GROUPS[0], RISK_GROUPS[2]), dtype=object)
    labels = names[np.searchsorted(bounds, values, side="right")]
    return pd.Series(labels, index=score.index, name="group") if isinstance(score, pd.Series) else labels


def _of_patients(values: ArrayLike, like: pd.Series | pd.DataFrame | ArrayLike, place: str) -> np.ndarray:
    named = isinstance(values, pd.Series) and isinstance(like, (pd.Series, pd.DataFrame))
    if named and not values.index.equals(like.index):
        raise DataError(place, "must have the same patients in the same order", "another index", "Align the two.")
    array = np.asarray(values)
    if array.shape != (len(like),):
        raise DataError(place, f"must have {len(like)} values", f"shape {array.shape}", "Give one value a patient.")
    return array


def stepwise_groups(
    amap: pd.Series | ArrayLike,
    amap_ct_score: pd.Series | ArrayLike,
    cutoff: float,
    amap_low: float = 50.0,
    amap_high: float = 60.0,
) -> pd.DataFrame:
    """aMAP first, then aMAP-CT for those whom aMAP does not call low-risk.

    Parameters
    ----------
    amap : array-like, shape (n_patients,)
        aMAP score.
    amap_ct_score : array-like, shape (n_patients,)
        aMAP-CT score or probability, in the unit of `cutoff`; may be missing where aMAP is below `amap_low`.
    cutoff : float
        aMAP-CT score at or above which a patient is high-risk.
    amap_low, amap_high : float
        aMAP is low below the first, high above the second, medium from the one to the other.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Columns amap_group (low, medium, high), ct_group (low, high, or "not needed") and final (low, high); index
        is that of `amap` where it is a Series.

    Raises
    ------
    DataError
        If an aMAP is missing, an aMAP-CT score is missing where it is needed, or the patients do not match.

    References
    ----------
    aMAP-CT, Results, Stepwise application; Fig. 4.
    """
    clinical = pd.Series(amap, dtype=float)
    image = _of_patients(amap_ct_score, amap, "amap_ct_score").astype(float)
    first = amap_group(clinical, amap_low, amap_high)
    needed = (first != "low").to_numpy()
    if np.isnan(image[needed]).any():
        missing = clinical.index[needed][np.isnan(image[needed])]
        place, rule = f"amap_ct_score, {missing[0]}", f"must be given where aMAP is {amap_low:g} or more"
        hint = "Compute the score of those patients, or leave them out."
        raise DataError(place, rule, f"{len(missing)} missing", hint)
    second = np.full(clinical.size, NOT_NEEDED, dtype=object)
    second[needed] = risk_groups(image[needed], cutoff)
    final = np.where(second == "high", "high", "low").astype(object)
    return pd.DataFrame({"amap_group": first, "ct_group": second, "final": final}, index=clinical.index)


def stepwise_flows(groups: pd.DataFrame, hcc: ArrayLike) -> pd.DataFrame:
    """Patients and events that flow from aMAP group to CT group to final group.

    Parameters
    ----------
    groups : pandas.DataFrame, shape (n_patients, 3)
        From `stepwise_groups`.
    hcc : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a class may be absent.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, n, events; nodes "aMAP low", "aMAP medium", "aMAP high", then "aMAP-CT not needed",
        "aMAP-CT low", "aMAP-CT high", then "Final low", "Final high". Flows of nobody are left out.

    Raises
    ------
    DataError
        If an outcome is not 0 or 1, or the patients do not match.

    References
    ----------
    aMAP-CT, Fig. 4A.
    """
    outcome = check_binary(_of_patients(hcc, groups, "hcc"), both=False, place="hcc")
    steps = (
        ("aMAP", "amap_group", RISK_GROUPS),
        ("aMAP-CT", "ct_group", (NOT_NEEDED, "low", "high")),
        ("Final", "final", ("low", "high")),
    )
    rows = []
    for (source, source_column, sources), (target, target_column, targets) in itertools.pairwise(steps):
        for one, other in itertools.product(sources, targets):
            flow = ((groups[source_column] == one) & (groups[target_column] == other)).to_numpy()
            if flow.any():
                rows.append((f"{source} {one}", f"{target} {other}", int(flow.sum()), int(outcome[flow].sum())))
    return pd.DataFrame(rows, columns=["source", "target", "n", "events"])


def stepwise_tradeoff(
    amap: ArrayLike,
    amap_ct_score: ArrayLike,
    hcc: ArrayLike,
    amap_cutoffs: Sequence[float],
    ct_cutoffs: Sequence[float],
    cohort: str = "",
) -> pd.DataFrame:
    """CTs that the stepwise strategy spares against the cancers that it misses, over a range of both cut-offs.

    A patient whose aMAP is below the first cut-off gets no CT score and counts as low-risk; of the others, those
    whose aMAP-CT score is below the second count as low-risk too. A cancer is missed when its patient counts as
    low-risk. Outcomes are those of the follow-up as it is: HCC that came after its end is not seen.

    Parameters
    ----------
    amap : array-like, shape (n_patients,)
        aMAP score.
    amap_ct_score : array-like, shape (n_patients,)
        aMAP-CT score or probability, known for everybody: the strategy that gives a CT score to all is compared.
    hcc : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    amap_cutoffs : sequence of float
        aMAP below which no CT score is made; 0 or less spares nobody.
    ct_cutoffs : sequence of float
        aMAP-CT scores from which a patient is high-risk.
    cohort : str
        Name to put into the table.

    Returns
    -------
    pandas.DataFrame
        One row per pair of cut-offs; the 95 % intervals are Wilson's, each of one share. Columns cohort, amap_cutoff,
        ct_cutoff, n, events, spared (patients without a CT score), spared_share, spared_lower, spared_upper,
        missed_by_amap (HCC among the spared), missed_by_ct (HCC with a low aMAP-CT score among the others), missed
        (both), missed_share, missed_lower, missed_upper (of all HCC), lost (HCC that a CT score for everybody would
        have called high-risk and the stepwise strategy does not), lost_share, lost_lower, lost_upper, high (patients
        in the high-risk group), high_share, ppv. Without HCC the shares of HCC are NaN with the interval 0 to 1;
        without a high-risk group ppv is NaN.

    Raises
    ------
    DataError
        If a value is missing, an outcome is not 0 or 1, a list of cut-offs is empty, or the patients differ.
    """
    outcome = check_binary(hcc, both=False, place="hcc")
    clinical, image = check_values(amap, outcome, hcc, "amap"), check_values(amap_ct_score, outcome, hcc, "score")
    if not len(amap_cutoffs) or not len(ct_cutoffs):
        raise DataError("cut-offs", "must be one or more of each", "none", "Give, for example, (45, 50, 55).")
    events, n, hcc_of = int(outcome.sum()), outcome.size, outcome == 1
    rows = []
    for ct_cutoff, amap_cutoff in itertools.product(ct_cutoffs, amap_cutoffs):
        spared, flagged = clinical < amap_cutoff, image >= ct_cutoff
        high = ~spared & flagged
        by_amap, by_ct = int((spared & hcc_of).sum()), int((~spared & ~flagged & hcc_of).sum())
        rows.append(
            {"cohort": cohort, "amap_cutoff": float(amap_cutoff), "ct_cutoff": float(ct_cutoff), "n": n}
            | {"events": events, **_share("spared", int(spared.sum()), n)}
            | {"missed_by_amap": by_amap, "missed_by_ct": by_ct, **_share("missed", by_amap + by_ct, events)}
            | _share("lost", int((spared & flagged & hcc_of).sum()), events)
            | {"high": int(high.sum()), "high_share": high.mean()}
            | {"ppv": hcc_of[high].mean() if high.any() else np.nan}
        )
    return pd.DataFrame(rows)


def _share(name: str, count: int, total: int) -> dict[str, float]:
    lower, upper = wilson_interval(count, total)
    share = count / total if total else float("nan")
    return {name: count, f"{name}_share": share, f"{name}_lower": float(lower), f"{name}_upper": float(upper)}


def lead_times(months: ArrayLike, hcc: ArrayLike, score: ArrayLike, cutoff: float) -> pd.DataFrame:
    """How long before the diagnosis patients with HCC were warned, by a score at or above a cut-off.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        From the CT to the diagnosis, for patients with HCC.
    hcc, score : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a higher score means a higher risk.
    cutoff : float
        Score at or above which a patient is warned.

    Returns
    -------
    pandas.DataFrame
        Columns lead_time ("all", then one row per class between `WARNING_MONTHS`, a bound belonging to the longer one),
        n (warned), share (of the warned), mean_months; NaN in share and mean where nobody was warned, with a note in
        the column note.

    Raises
    ------
    DataError
        If a value is missing, or the patients differ.

    References
    ----------
    ALARM, Results, Risk stratification: 7.2 months on average; 33.3, 32.1 and 34.5 % of those warned.
    """
    outcome = check_binary(hcc, both=False, place="hcc")
    time, values = check_values(months, outcome, hcc, "months"), check_values(score, outcome, hcc)
    warned = time[(outcome == 1) & (values >= cutoff)]
    first, last = WARNING_MONTHS
    part = np.searchsorted(WARNING_MONTHS, warned, side="right")
    classes = {
        "all": warned,
        f"below {first:g} months": warned[part == 0],
        f"{first:g} to below {last:g} months": warned[part == 1],
        f"{last:g} months or more": warned[part == 2],
    }
    rows = [
        (name, months_before.size, months_before.size / warned.size, float(months_before.mean()), "")
        if months_before.size
        else (name, 0, 0.0 if warned.size else np.nan, np.nan, "nobody")
        for name, months_before in classes.items()
    ]
    return pd.DataFrame(rows, columns=["lead_time", "n", "share", "mean_months", "note"])
