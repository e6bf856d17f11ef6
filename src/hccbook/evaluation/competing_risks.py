"""Incidence of HCC where death may come first: Aalen-Johansen beside 1 - Kaplan-Meier."""

from __future__ import annotations

import numpy as np
import pandas as pd
from lifelines import AalenJohansenFitter
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_binary
from hccbook.evaluation.survival import MIN_AT_RISK, cumulative_incidence, strata

KAPLAN_MEIER, AALEN_JOHANSEN, DEATH = "1 − Kaplan-Meier", "Aalen-Johansen", "death before HCC"

_HCC, _DEATH = 1, 2
_TIE = 1e-7  # months by which deaths follow HCC of the same month, and the end of follow-up deaths


def competing_incidence(
    months: ArrayLike,
    hcc: ArrayLike,
    died: ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
) -> pd.DataFrame:
    """Cumulative incidence of HCC with death before HCC as a competing event, and beside it 1 - Kaplan-Meier.

    1 - Kaplan-Meier treats death as the end of follow-up, after which HCC may still come, and so answers what the
    incidence were if nobody died; Aalen-Johansen answers how many get HCC. The first is never below the second.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC, to death, or to the last visit.
    hcc, died : array-like, shape (n_patients,)
        1 where it ended with HCC, 1 where it ended with death; never both.
    group, cohort
        As in `cumulative_incidence`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, estimate (`KAPLAN_MEIER` and `AALEN_JOHANSEN` of HCC, `DEATH` by Aalen-Johansen),
        months, incidence, lower, upper (0 to 1), at_risk; steps as those of `cumulative_incidence`.

    Raises
    ------
    DataError
        As `cumulative_incidence`, or if a follow-up ended with both.

    References
    ----------
    Aalen and Johansen 1978, Scand J Stat 5:141; Austin, Lee and Fine 2016, Circulation 133:601. Where events of both
    kinds share a month, HCC comes first, then deaths, then ends of follow-up.
    """
    deaths = check_binary(died, both=False, place="died")
    cancers = check_binary(hcc, both=False)
    if cancers.shape != deaths.shape:
        raise DataError("died", f"must have {cancers.size} values", deaths.size, "Give one a patient.")
    if (cancers & deaths).any():
        found = f"{int((cancers & deaths).sum())} patients with both"
        raise DataError("died", "must be 0 where follow-up ended with HCC", found, "Death after HCC does not count.")
    curves = [cumulative_incidence(months, hcc, group, cohort).assign(estimate=KAPLAN_MEIER)]
    # Both outcomes are split into the same strata, in the same order.
    pairs = zip(strata(months, cancers, group, cohort), strata(months, deaths, group, cohort), strict=True)
    for of_hcc, of_death in pairs:
        if of_hcc.time.size:
            code = of_hcc.event * _HCC + of_death.event * _DEATH
            for cause, estimate in ((_HCC, AALEN_JOHANSEN), (_DEATH, DEATH)):
                curve = _aalen_johansen(of_hcc.time, code, cause)
                curves.append(curve.assign(cohort=of_hcc.cohort, group=of_hcc.group, estimate=estimate))
    columns = ["cohort", "group", "estimate", "months", "incidence", "lower", "upper", "at_risk"]
    return pd.concat(curves, ignore_index=True)[columns]


def _aalen_johansen(time: np.ndarray, code: np.ndarray, cause: int) -> pd.DataFrame:
    """Incidence of one cause at month 0, its events, the last month with `MIN_AT_RISK` and the last."""
    # lifelines moves ties at random; here they are told apart by what comes first.
    apart = time + _TIE * np.select([code == _HCC, code == _DEATH], [0, 1], 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = AalenJohansenFitter().fit(apart, code, event_of_interest=cause)
    table = fitted.event_table
    # lifelines 0.30 names its limits the wrong way round. Without an event so far there is nothing to transform, and
    # both are 0.
    limits = fitted.confidence_interval_cumulative_density_.fillna(0.0)
    curve = fitted.cumulative_density_.set_axis(["incidence"], axis=1)
    curve = curve.assign(lower=limits.min(axis=1), upper=limits.max(axis=1), at_risk=table["at_risk"].astype(int))
    curve["step"] = table[f"observed_{cause}"] > 0
    shown = curve["step"].to_numpy(copy=True)
    shown[[0, -1]] = True
    shown[np.flatnonzero(curve["at_risk"] >= MIN_AT_RISK)[-1:]] = True
    curve = curve[shown].drop(columns="step").rename_axis("months").reset_index()
    curve["months"] = curve["months"].round(6)
    return curve.drop_duplicates("months", keep="last")


def recorded_deaths(clinical: pd.DataFrame) -> pd.DataFrame:
    """Follow-up with its two possible ends, as a manifest records it.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Columns months, hcc, and died: 1 where follow-up ended with death before HCC.

    Returns
    -------
    pandas.DataFrame
        Columns months, hcc, died; one row per patient.

    Raises
    ------
    DataError
        If deaths are not recorded, or not for everybody.
    """
    if "died" not in clinical or clinical["died"].isna().any():
        hint = "Add the column to the manifest: 1 where follow-up ended with death before HCC, else 0."
        found = "no such column" if "died" not in clinical else f"{int(clinical['died'].isna().sum())} without"
        raise DataError("manifest, column died", "must say of everybody who died", found, hint)
    return clinical[["months", "hcc", "died"]].astype({"died": int})


def held_at(curves: pd.DataFrame, months: float) -> pd.DataFrame:
    """What each curve says at a month: the last step until then.

    Parameters
    ----------
    curves : pandas.DataFrame
        As of `competing_incidence`.
    months : float

    Returns
    -------
    pandas.DataFrame
        One row per cohort, group and estimate; its ``months`` are those asked for, and ``at_risk`` is left out.
    """
    until = curves[curves["months"] <= months]
    last = until.groupby(["cohort", "group", "estimate"], sort=False).tail(1)
    return last.assign(months=months).drop(columns="at_risk").reset_index(drop=True)
