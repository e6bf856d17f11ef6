"""Incidence of HCC over time, and in risk groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import LEVEL, by_cohort, check_binary, check_level
from hccbook.scores import RISK_GROUPS

EVERYBODY = "all"
"""Name of the group where none is given, and of the row of a whole cohort."""

MIN_AT_RISK = 10
"""Patients at risk below whom a curve is not drawn: each event would move it by a tenth or more."""


class LogRank(NamedTuple):
    """Log-rank test of equal hazards in all groups.

    Attributes
    ----------
    chi2, p : float
        Statistic, and its p with as many degrees of freedom as there are groups at risk at some event, less one; 0 and
        1 where there is nothing to compare: no event, or all patients in one group.
    """

    chi2: float
    p: float


def check_follow_up(months: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Months as floats, 0 or more, and event as 0 and 1, one a patient.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, or the patients do not match.
    """
    if isinstance(months, pd.Series) and isinstance(event, pd.Series) and not months.index.equals(event.index):
        raise DataError("event", "must have the follow-up's patients in their order", "another index", "Align the two.")
    events = check_binary(event, both=False, place="event")
    times = np.asarray(months, dtype=float)
    if times.shape != events.shape:
        raise DataError("months", f"must have {events.size} values", f"shape {times.shape}", "Give one a patient.")
    bad = ~np.isfinite(times) | (times < 0)
    if bad.any():
        found = f"{times[bad][0]:g}" + (f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else "")
        hint = "Correct the follow-up, or leave the patient out."
        raise DataError("months", "must be finite, 0 or more", found, hint)
    return times, events


def follow_up_table(months: ArrayLike, event: ArrayLike, index: pd.Index | None = None) -> pd.DataFrame:
    """Checked follow-up as columns months and event, by the patients of `event`, or of `index` where it names none."""
    times, events = check_follow_up(months, event)
    named = event.index if isinstance(event, pd.Series) else index
    if named is not None and len(named) != times.size:
        raise DataError("event", f"must have {len(named)} values, one a patient", times.size, "Align the tables.")
    return pd.DataFrame({"months": times, "event": events}, index=named)


def group_labels(
    group: ArrayLike | None, like: ArrayLike, order: Sequence[str] | None = None, place: str = "group"
) -> pd.Categorical:
    """Group of each patient, as text, with the groups in the order in which they are shown.

    Parameters
    ----------
    group : array-like, shape (n_patients,), optional
        Label of each patient, or one for all where it is text; `EVERYBODY` where it is None.
    like : array-like, shape (n_patients,)
        Outcome of the same patients.
    order : sequence of str, optional
        Order wanted; may name groups that nobody is in.
    place : str
        What the labels are called in a message.

    Returns
    -------
    pandas.Categorical
        Its categories are `order`; else those of a categorical; else low, medium, high where these are all there is;
        else the labels in the order of first appearance.

    Raises
    ------
    DataError
        If a label is missing or not in `order`, or the patients do not match.
    """
    size = len(np.asarray(like))
    if isinstance(group, pd.Series) and isinstance(like, pd.Series) and not group.index.equals(like.index):
        raise DataError(place, "must have the outcome's patients in their order", "another index", "Align the two.")
    if group is None or isinstance(group, str):
        group = [EVERYBODY if group is None else group] * size
    labels = group.array if isinstance(group, pd.Series) else group
    values = np.asarray(labels, dtype=object)
    if len(values) != size:
        raise DataError(place, f"must have {size} labels, one a patient", len(values), "Align the two.")
    missing = int(pd.isna(values).sum())
    if missing:
        raise DataError(place, "must have a label for every patient", f"{missing} missing", "Fill them.")
    present = [str(name) for name in pd.unique(values)]
    unknown = [name for name in present if order is not None and name not in order]
    if unknown:
        raise DataError("order", "must name every group", f"{unknown[0]!r} left out", "Add it.")
    if order is None and isinstance(labels, pd.Categorical):
        order = [str(name) for name in labels.categories]
    elif order is None and set(present) <= set(RISK_GROUPS):
        order = [name for name in RISK_GROUPS if name in present]
    return pd.Categorical(values.astype(str), present if order is None else order)


class Stratum(NamedTuple):
    """Follow-up of one group of one cohort."""

    cohort: str
    group: str
    time: np.ndarray
    event: np.ndarray


def strata(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike | None,
    cohort: str | ArrayLike,
    order: Sequence[str] | None = None,
) -> Iterator[Stratum]:
    """Follow-up of each group of each cohort, checked; groups that nobody is in are there too."""
    times, events = check_follow_up(months, event)
    groups, cohorts = group_labels(group, event, order), group_labels(cohort, event, place="cohort")
    for name in cohorts.unique():
        for label in groups.categories:
            rows = (cohorts == name) & (groups == label)
            yield Stratum(name, label, times[rows], events[rows])


def _curve(stratum: Stratum, level: float) -> pd.DataFrame:
    """1 - Kaplan-Meier at month 0, each event, the last month with `MIN_AT_RISK`, and the last."""
    fitted = KaplanMeierFitter(alpha=1 - check_level(level)).fit(stratum.time, stratum.event)
    curve = pd.concat([fitted.cumulative_density_, fitted.confidence_interval_cumulative_density_], axis=1)
    curve = curve.set_axis(["incidence", "lower", "upper"], axis=1).rename_axis("months")
    # The last patient at risk had the event: the transform is not defined at 1.
    curve["lower"] = curve["lower"].where(curve["incidence"] < 1, curve["lower"].shift(fill_value=0.0))
    curve["at_risk"] = fitted.event_table["at_risk"].astype(int)
    shown = fitted.event_table["observed"] > 0
    shown.iloc[[0, -1]] = True
    shown[curve.index[curve["at_risk"] >= MIN_AT_RISK][-1:]] = True
    return curve[shown].reset_index()


def cumulative_incidence(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
    level: float = 0.95,
) -> pd.DataFrame:
    """Cumulative incidence of HCC, 1 - Kaplan-Meier, as steps.

    Death is not told apart from the end of follow-up, so that it counts as censoring; `competing_incidence` tells it.
    A group without events stays at 0 with the interval 0 to 0; a group without patients has no rows.
    Where the last patient at risk has HCC the incidence is 1, the upper limit 1, the lower that before.

    Parameters
    ----------
    months, event : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit; 1 for HCC, 0 for censored.
    group : array-like, shape (n_patients,), optional
        Risk group, in the order of `group_labels`; one group "all" by default.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    level : float
        Confidence level; log-log transformed limits with Greenwood's variance.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper (0 to 1), at_risk (followed for so long or longer). The
        first row of a curve is month 0, the last its last follow-up, and the last month at which `MIN_AT_RISK` are
        followed has one; each value holds from its month on.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, or the patients do not match.

    References
    ----------
    Kaplan and Meier 1958, J Am Stat Assoc 53:457; Kalbfleisch and Prentice 2002, 1.4 (limits). aMAP-CT, Fig. 2.
    """
    curves = {
        (stratum.cohort, stratum.group): _curve(stratum, level)
        for stratum in strata(months, event, group, cohort)
        if stratum.time.size
    }
    return pd.concat(curves, names=["cohort", "group"]).reset_index(["cohort", "group"]).reset_index(drop=True)


def incidence_at(
    months: ArrayLike,
    event: ArrayLike,
    at: float | ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
) -> pd.DataFrame:
    """Cumulative incidence of HCC at given months, with its 95 % interval.

    Beyond a group's last follow-up the last value is carried on, and ``at_risk`` is 0 to say so.
    A group without events has incidence 0 and the interval 0 to 0; one without patients NaN and 0 to 1.

    Parameters
    ----------
    months, event, group, cohort
        As in `cumulative_incidence`.
    at : float or array-like, shape (n_times,)
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
    counts = numbers_at_risk(months, event, at, group, cohort)
    wanted, rows = _check_months(at), []
    for stratum in strata(months, event, group, cohort):
        if not stratum.time.size:
            rows += [(np.nan, 0.0, 1.0)] * len(wanted)
            continue
        curve = _curve(stratum, LEVEL)
        held = np.searchsorted(curve["months"], wanted, side="right") - 1
        rows += curve[["incidence", "lower", "upper"]].to_numpy()[held].tolist()
    counts[["incidence", "lower", "upper"]] = rows
    return counts[["cohort", "group", "months", "incidence", "lower", "upper", "at_risk", "events"]]


def numbers_at_risk(
    months: ArrayLike,
    event: ArrayLike,
    at: float | ArrayLike,
    group: ArrayLike | None = None,
    cohort: str | ArrayLike = "",
) -> pd.DataFrame:
    """Patients still followed, and events so far, at given months.

    Parameters
    ----------
    months, event, at, group, cohort
        As in `incidence_at`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, group, months, at_risk (followed for so long or longer), events (until then). A group
        without patients has zeros.

    Raises
    ------
    DataError
        As `incidence_at`.
    """
    rows = [
        (name, label, month, int((time >= month).sum()), int(((time <= month) & (events == 1)).sum()))
        for name, label, time, events in strata(months, event, group, cohort)
        for month in _check_months(at)
    ]
    return pd.DataFrame(rows, columns=["cohort", "group", "months", "at_risk", "events"])


def _check_months(at: float | ArrayLike) -> list[float]:
    wanted = np.atleast_1d(np.asarray(at, dtype=float))
    if not (np.isfinite(wanted) & (wanted >= 0)).all():
        raise DataError("at", "must be months, 0 or more", at, "Give, for example, 36.")
    return wanted.tolist()


def logrank(months: ArrayLike, event: ArrayLike, group: ArrayLike) -> LogRank:
    """Log-rank test of two groups or more.

    Parameters
    ----------
    months, event
        As in `cumulative_incidence`.
    group : array-like, shape (n_patients,)
        Group of each patient.

    Returns
    -------
    LogRank

    Raises
    ------
    DataError
        As `cumulative_incidence`.

    References
    ----------
    Mantel 1966, Cancer Chemother Rep 50:163; Peto and Peto 1972, J R Stat Soc A 135:185. aMAP-CT, Fig. 2, 4B.
    """
    times, events = check_follow_up(months, event)
    labels = np.asarray(group_labels(group, event))
    # Who left before the first event tells nothing, and a group that all have left has no degree of freedom.
    first = times[events == 1].min(initial=np.inf)
    at_risk = times >= first
    outlived = (times > first) | ((times == first) & (events == 0))
    if pd.Series(labels[at_risk]).nunique() < 2 or not outlived.any():
        return LogRank(0.0, 1.0)
    test = multivariate_logrank_test(times[at_risk], labels[at_risk], events[at_risk])
    return LogRank(float(test.test_statistic), float(test.p_value))


def logrank_table(months: ArrayLike, event: ArrayLike, group: ArrayLike, cohort: str | ArrayLike = "") -> pd.DataFrame:
    """Log-rank test of the groups in each cohort.

    Parameters
    ----------
    months, event, group, cohort
        As in `cumulative_incidence`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, chi2, p.

    Raises
    ------
    DataError
        As `logrank`.
    """
    follow_up = follow_up_table(months, event)
    labels = pd.Series(group_labels(group, event), index=follow_up.index)
    names = pd.Series(group_labels(cohort, event, place="cohort"), index=follow_up.index)
    return by_cohort(lambda table, groups: logrank(table["months"], table["event"], groups), follow_up, labels, names)


class FollowUp(NamedTuple):
    """What is known of risk groups over time, as their figure shows it.

    Attributes
    ----------
    incidence, at_risk, logrank : pandas.DataFrame
        As `cumulative_incidence`, `numbers_at_risk` and `logrank_table` give them.
    """

    incidence: pd.DataFrame
    at_risk: pd.DataFrame
    logrank: pd.DataFrame


def follow_up(
    months: ArrayLike,
    event: ArrayLike,
    at: float | ArrayLike,
    group: ArrayLike,
    cohort: str | ArrayLike = "",
) -> FollowUp:
    """Incidence of HCC by group in each cohort, the numbers at risk, and the log-rank test.

    Parameters
    ----------
    months, event, at, group, cohort
        As in `incidence_at`.

    Returns
    -------
    FollowUp

    Raises
    ------
    DataError
        As `incidence_at`.
    """
    counts = numbers_at_risk(months, event, at, group, cohort)
    curves = cumulative_incidence(months, event, group, cohort)
    return FollowUp(curves, counts, logrank_table(months, event, group, cohort))


def group_incidence(group: ArrayLike, y: ArrayLike, order: Sequence[str] | None = None) -> pd.DataFrame:
    """Share of patients with HCC in each risk group, with Wilson's 95 % interval.

    Parameters
    ----------
    group : array-like, shape (n_patients,)
        Risk group of each patient.
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a class may be absent.
    order : sequence of str, optional
        Order of the groups; see `group_labels`.

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
    groups = pd.Series(outcome).groupby(group_labels(group, y, order), observed=False)
    table = groups.agg(n="size", events="sum").rename_axis("group")
    lower, upper = wilson_interval(table["events"], table["n"])
    table = table.assign(incidence=table["events"] / table["n"].where(table["n"] > 0), lower=lower, upper=upper)
    return table.reset_index().astype({"group": object})
