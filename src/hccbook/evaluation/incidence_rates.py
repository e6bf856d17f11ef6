"""Rates of HCC a person-year, and what they say of the risk over years."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import LEVEL
from hccbook.evaluation.survival import strata

MONTHS_A_YEAR = 12.0


def person_year_rates(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Annual incidence of HCC: events a person-year, with the exact Poisson interval of 95 %.

    Parameters
    ----------
    months, event, cohort
        As in `hccbook.evaluation.cumulative_incidence`.
    group : array-like, shape (n_patients,), optional
        Group of each patient: a risk group, or a centre.
    order : sequence of str, optional
        Order of the groups; see `hccbook.evaluation.survival.group_labels`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, n, events, person_years, rate, lower, upper (each a person-year), note. A group
        without events has rate 0 and an upper limit; one without follow-up NaN and a note.

    Raises
    ------
    DataError
        As `hccbook.evaluation.cumulative_incidence`.

    References
    ----------
    Garwood 1936, Biometrika 28:437. aMAP-CT, Discussion: 13.2 % and 0.8 % a year.
    """
    tail = (1 - LEVEL) / 2
    rows = []
    for stratum in strata(months, event, group, cohort, order):
        events, years = int(stratum.event.sum()), float(stratum.time.sum()) / MONTHS_A_YEAR
        head = (stratum.cohort, stratum.group, stratum.time.size, events, years)
        if not years:
            note = "no follow-up" if stratum.time.size else "nobody"
            rows.append((*head, np.nan, np.nan, np.nan, note))
            continue
        lower = chi2.ppf(tail, 2 * events) / 2 if events else 0.0
        upper = chi2.isf(tail, 2 * events + 2) / 2
        rows.append((*head, events / years, lower / years, upper / years, "" if events else "no HCC"))
    columns = ["cohort", "group", "n", "events", "person_years", "rate", "lower", "upper", "note"]
    return pd.DataFrame(rows, columns=columns)


def rate_from_risk(risk: ArrayLike, years: float) -> float | np.ndarray:
    """Rate a person-year that gives a cumulative incidence, were the hazard constant: ``-ln(1 - risk) / years``.

    Parameters
    ----------
    risk : array-like
        Cumulative incidence, 0 to below 1.
    years : float
        Horizon, above 0.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    DataError
        If a value is out of range.
    """
    values = np.asarray(risk, dtype=float)
    if not ((values >= 0) & (values < 1)).all():
        raise DataError("risk", "must be 0 or more and below 1", risk, "Give a share, not per cent.")
    if not (np.isfinite(years) and years > 0):
        raise DataError("years", "must be above 0", years, "Give, for example, 3.")
    return (-np.log1p(-values) / years)[()]
