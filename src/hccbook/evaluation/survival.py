"""Incidence of HCC over time, and in risk groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import check_binary, check_level
from hccbook.scores import RISK_GROUPS

EVERYBODY = "all"
"""Name of the group where none is given."""


class LogRank(NamedTuple):
    """Log-rank test of equal hazards in all groups.

    Attributes
    ----------
    chi2 : float
        Statistic; 0 where there is nothing to compare.
    df : int
        Degrees of freedom: groups at risk at some event, less one; 0 with no event or one group.
    p : float
        p of `chi2`; 1 where `df` is 0.
    groups : pandas.DataFrame
        Columns group, n, observed, expected (events).
    """

    chi2: float
    df: int
    p: float
    groups: pd.DataFrame


def _check_follow_up(months: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(months, pd.Series) and isinstance(event, pd.Series) and not months.index.equals(event.index):
        raise DataError("event", "must have the follow-up's patients in their order", "another index", "Align the two.")
    happened = check_binary(event, both=False, place="event")
    time = np.asarray(months, dtype=float)
    if time.shape != happened.shape:
        raise DataError("months", f"must have {happened.size} values", f"shape {time.shape}", "Give one a patient.")
    bad = ~np.isfinite(time) | (time < 0)
    if bad.any():
        found = f"{time[bad][0]:g}" + (f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else "")
        raise DataError(
            "months", "must be finite, 0 or more", found, "Correct the follow-up, or leave the patient out."
        )
    return time, happened


def _labels(labels: ArrayLike | None, like: ArrayLike, name: str) -> np.ndarray | pd.Categorical:
    size = len(np.asarray(like))
    if labels is None:
        return np.full(size, EVERYBODY, dtype=object)
    if isinstance(labels, str):
        return np.full(size, labels, dtype=object)
    if isinstance(labels, pd.Series):
        if isinstance(like, pd.Series) and not labels.index.equals(like.index):
            raise DataError(name, "must have the outcome's patients in their order", "another index", "Align the two.")
        labels = labels.array
    values = labels if isinstance(labels, pd.Categorical) else np.asarray(labels, dtype=object)
    if len(values) != size:
        raise DataError(name, f"must have {size} labels, one a patient", len(values), "Align the two.")
    if pd.isna(values).any():
        raise DataError(
            name, "must have a label for every patient", f"{int(pd.isna(values).sum())} missing", "Fill them."
        )
    return values


def group_order(group: ArrayLike, order: Sequence[str] | None = None) -> list[str]:
    """Names of groups in the order in which they are shown.

    Parameters
    ----------
    group : array-like, shape (n_patients,)
        Label of each patient.
    order : sequence of str, optional
        Order wanted; may name groups that nobody is in.

    Returns
    -------
    list of str
        `order`; else the categories of a categorical; else low, medium, high where these are all there is; else
        the order of first appearance.

    Raises
    ------
    DataError
        If a label is not in `order`.
    """
    present = [str(name) for name in pd.unique(np.asarray(group, dtype=object))]
    if order is not None:
        unknown = [name for name in present if name not in order]
        if unknown:
            raise DataError("order", "must name every group", f"{unknown[0]!r} left out", "Add it.")
        return list(order)
    if isinstance(group, pd.Series):
        group = group.array
    if isinstance(group, pd.Categorical):
        return [str(name) for name in group.categories]
    if set(present) <= set(RISK_GROUPS):
        return [name for name in RISK_GROUPS if name in present]
    return present


class _Stratum(NamedTuple):
    cohort: str
    group: str
    months: np.ndarray
    event: np.ndarray


def _strata(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike | None,
    cohort: str | ArrayLike,
    order: Sequence[str] | None,
) -> Iterator[_Stratum]:
    time, happened = _check_follow_up(months, event)
    labels, names = _labels(group, event, "group"), _labels(cohort, event, "cohort")
    shown = group_order(labels, order)
    labels, names = np.asarray(labels, dtype=object).astype(str), np.asarray(names, dtype=object).astype(str)
    for name in pd.unique(names):
        for label in shown:
            rows = (names == name) & (labels == label)
            yield _Stratum(name, label, time[rows], happened[rows])


def _event_table(months: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct event times, events at each, and patients at risk just before."""
    times, events = np.unique(months[event == 1], return_counts=True)
    at_risk = months.size - np.searchsorted(np.sort(months), times, side="left")
    return times, events, at_risk


def _incidence_steps(
    months: np.ndarray, event: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Event times, 1 - Kaplan-Meier after each, and its limits (log-log transformed, Greenwood)."""
    times, events, at_risk = _event_table(months, event)
    survival = np.cumprod(1 - events / at_risk)
    left = at_risk - events
    greenwood = np.cumsum(np.divide(events, at_risk * left, out=np.zeros(times.size), where=left > 0))
    inside = survival > 0
    log_survival = np.log(np.where(inside, survival, 0.5))
    spread = norm.isf((1 - check_level(level)) / 2) * np.sqrt(greenwood) / np.abs(log_survival)
    lower, upper = 1 - np.exp(log_survival * np.exp(-spread)), 1 - np.exp(log_survival * np.exp(spread))
    if times.size and not inside[-1]:
        # The last patient at risk had the event: the transform is not defined at 1.
        lower[-1], upper[-1] = (lower[-2] if times.size > 1 else 0.0), 1.0
    return times, 1 - survival, lower, upper


def cumulative_incidence(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
    order: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Cumulative incidence of HCC, 1 - Kaplan-Meier, as steps.

    Death is not told apart from the end of follow-up, so that it counts as censoring.
    A group without events stays at 0 with the interval 0 to 0; a group without patients has no rows.
    Where the last patient at risk has HCC the incidence is 1, the upper limit 1, the lower that before.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    group : array-like, shape (n_patients,), optional
        Risk group; one group "all" by default.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    order : sequence of str, optional
        Order of the groups; see `group_order`.
    level : float
        Confidence level; log-log transformed limits with Greenwood's variance.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper (0 to 1). The first row of a curve is month 0, the
        last its last follow-up; each value holds from its month on.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, or the patients do not match.

    References
    ----------
    Kaplan and Meier 1958, J Am Stat Assoc 53:457; Kalbfleisch and Prentice 2002, 1.4 (limits). aMAP-CT, Fig. 2.
    """
    parts = []
    for stratum in _strata(months, event, group, cohort, order):
        if not stratum.months.size:
            continue
        times, incidence, lower, upper = _incidence_steps(stratum.months, stratum.event, level)
        table = pd.DataFrame(
            {
                "cohort": stratum.cohort,
                "group": stratum.group,
                "months": np.r_[0.0, times],
                "incidence": np.r_[0.0, incidence],
                "lower": np.r_[0.0, lower],
                "upper": np.r_[0.0, upper],
            }
        )
        last = stratum.months.max()
        if last > table["months"].iloc[-1]:
            table = pd.concat([table, table.iloc[[-1]].assign(months=last)])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def incidence_at(
    months: ArrayLike,
    event: ArrayLike,
    at: float | ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
    order: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Cumulative incidence of HCC at given months.

    Beyond a group's last follow-up the last value is carried on, and ``at_risk`` is 0 to say so.
    A group without events has incidence 0 and the interval 0 to 0; one without patients NaN and 0 to 1.

    Parameters
    ----------
    months, event, group, cohort, order, level
        As in `cumulative_incidence`.
    at : float or array-like
        Months.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper, at_risk (followed for so long or longer), events
        (until then).

    Raises
    ------
    DataError
        As `cumulative_incidence`, or if a month is negative.
    """
    wanted = _check_months(at)
    rows = []
    for stratum in _strata(months, event, group, cohort, order):
        times, incidence, lower, upper = _incidence_steps(stratum.months, stratum.event, level)
        start = (0.0, 0.0, 0.0) if stratum.months.size else (float("nan"), 0.0, 1.0)
        for month in wanted:
            last = np.searchsorted(times, month, side="right") - 1
            values = (incidence[last], lower[last], upper[last]) if last >= 0 else start
            at_risk, events = _counts_at(stratum, month)
            rows.append((stratum.cohort, stratum.group, month, *values, at_risk, events))
    columns = ["cohort", "group", "months", "incidence", "lower", "upper", "at_risk", "events"]
    return pd.DataFrame(rows, columns=columns)


def numbers_at_risk(
    months: ArrayLike,
    event: ArrayLike,
    at: ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Patients still followed, and events so far, at given months.

    Parameters
    ----------
    months, event, group, cohort, order
        As in `cumulative_incidence`.
    at : array-like, shape (n_times,)
        Months.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, months, at_risk (followed for so long or longer), events (until then). A group
        without patients has zeros.

    Raises
    ------
    DataError
        As `cumulative_incidence`, or if a month is negative.
    """
    rows = [
        (stratum.cohort, stratum.group, month, *_counts_at(stratum, month))
        for stratum in _strata(months, event, group, cohort, order)
        for month in _check_months(at)
    ]
    return pd.DataFrame(rows, columns=["cohort", "group", "months", "at_risk", "events"])


def _check_months(at: float | ArrayLike) -> list[float]:
    wanted = np.atleast_1d(np.asarray(at, dtype=float))
    if not (np.isfinite(wanted) & (wanted >= 0)).all():
        raise DataError("at", "must be months, 0 or more", at, "Give, for example, 36.")
    return wanted.tolist()


def _counts_at(stratum: _Stratum, month: float) -> tuple[int, int]:
    return int((stratum.months >= month).sum()), int(((stratum.months <= month) & (stratum.event == 1)).sum())


def logrank(months: ArrayLike, event: ArrayLike, group: ArrayLike, order: Sequence[str] | None = None) -> LogRank:
    """Log-rank test of two groups or more.

    With no event, or with all patients in one group, there is nothing to compare: chi2 is 0, df 0 and p 1.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    group : array-like, shape (n_patients,)
        Group of each patient.
    order : sequence of str, optional
        Order of the groups in the result; see `group_order`.

    Returns
    -------
    LogRank

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, or the patients do not match.

    References
    ----------
    Mantel 1966, Cancer Chemother Rep 50:163; Peto and Peto 1972, J R Stat Soc A 135:185. aMAP-CT, Fig. 2, 4B.
    """
    strata = list(_strata(months, event, group, "", order))
    time = np.concatenate([stratum.months for stratum in strata])
    happened = np.concatenate([stratum.event for stratum in strata])
    times, deaths, at_risk = _event_table(time, happened)
    in_group = np.array(
        [stratum.months.size - np.searchsorted(np.sort(stratum.months), times, side="left") for stratum in strata]
    ).reshape(len(strata), times.size)
    observed = np.array([stratum.event.sum() for stratum in strata], dtype=float)
    share = in_group / np.maximum(at_risk, 1)
    expected = share @ deaths
    factor = deaths * (at_risk - deaths) / np.maximum(at_risk - 1, 1)
    covariance = np.diag(share @ factor) - (share * factor) @ share.T
    # Groups that were never at risk when somebody had HCC carry no information and no degree of freedom.
    df = int(np.linalg.matrix_rank(covariance, tol=1e-9 * max(float(np.trace(covariance)), 1e-300), hermitian=True))
    surplus = observed - expected
    statistic = float(surplus @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ surplus) if df else 0.0
    groups = pd.DataFrame(
        {
            "group": [stratum.group for stratum in strata],
            "n": [stratum.months.size for stratum in strata],
            "observed": observed.astype(int),
            "expected": expected,
        }
    )
    return LogRank(statistic, df, float(chi2_distribution.sf(statistic, df)) if df else 1.0, groups)


def logrank_table(months: ArrayLike, event: ArrayLike, group: ArrayLike, cohort: str | ArrayLike = "") -> pd.DataFrame:
    """Log-rank test of the groups in each cohort.

    Parameters
    ----------
    months, event, group
        As in `logrank`.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, chi2, p.

    Raises
    ------
    DataError
        As `logrank`.
    """
    time, happened = _check_follow_up(months, event)
    labels, names = _labels(group, event, "group"), np.asarray(_labels(cohort, event, "cohort"), dtype=object)
    rows = []
    for name in pd.unique(names):
        test = logrank(time[names == name], happened[names == name], np.asarray(labels, dtype=object)[names == name])
        rows.append((str(name), test.chi2, test.p))
    return pd.DataFrame(rows, columns=["cohort", "chi2", "p"])


def group_incidence(
    group: ArrayLike, y: ArrayLike, order: Sequence[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Share of patients with HCC in each risk group, with Wilson's interval.

    Parameters
    ----------
    group : array-like, shape (n_patients,)
        Risk group of each patient.
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a class may be absent.
    order : sequence of str, optional
        Order of the groups; see `group_order`.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns group, n, events, incidence, lower, upper (0 to 1). A group without patients has incidence NaN and
        the interval 0 to 1.

    Raises
    ------
    DataError
        If an outcome is not 0 or 1, or the patients do not match.

    References
    ----------
    ALARM, Fig. 5B.
    """
    outcome = check_binary(y, both=False)
    labels = _labels(group, y, "group")
    shown = group_order(labels, order)
    labels = np.asarray(labels, dtype=object).astype(str)
    n = np.array([(labels == name).sum() for name in shown])
    events = np.array([outcome[labels == name].sum() for name in shown])
    lower, upper = wilson_interval(events, n, level)
    incidence = np.divide(events, n, out=np.full(n.size, np.nan), where=n > 0)
    return pd.DataFrame(
        {"group": shown, "n": n, "events": events, "incidence": incidence, "lower": lower, "upper": upper}
    )
