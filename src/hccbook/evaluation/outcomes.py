"""Checks that every statistic makes of outcomes and predictions, and its split by cohort."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError

LEVEL = 0.95
"""Confidence level of the intervals of tables and figures."""


def check_binary(y: ArrayLike, *, both: bool = True, place: str = "outcome") -> np.ndarray:
    """Outcome of each patient as integers, 1 (or True) for HCC, 0 otherwise; `place` is its name in the message.

    Raises
    ------
    DataError
        If there is no patient, a value is not 0 or 1, or (with `both`) one of them is absent.
    """
    values = np.asarray(y)
    if values.ndim != 1 or not values.size:
        raise DataError(place, "must have one value a patient", f"shape {values.shape}", "Give a cohort with patients.")
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        found = ", ".join(pd.Series(values).drop_duplicates().astype(str).head(4))
        raise DataError(place, "must be 0 or 1", found, "Code HCC as 1, others as 0, and leave out missing ones.")
    values = values.astype(int)
    if both and values.min() == values.max():
        found = f"{values.size} patients, all {values[0]}"
        raise DataError(place, "must hold patients with and without HCC", found, "Pool cohorts, or leave this one out.")
    return values


def check_values(
    values: ArrayLike, y: np.ndarray, given_y: ArrayLike | None = None, place: str = "score"
) -> np.ndarray:
    """Finite values, one a patient of the checked outcome `y`.

    Where the outcome as it came, `given_y`, and the values are Series, their patients must agree.

    Raises
    ------
    DataError
        If the number of values or the patients differ, or a value is missing or infinite; `place` is their name.
    """
    if isinstance(values, pd.Series) and isinstance(given_y, pd.Series) and not values.index.equals(given_y.index):
        raise DataError(place, "must have the outcome's patients in their order", "another index", "Align the two.")
    array = np.asarray(values, dtype=float)
    if array.shape != y.shape:
        raise DataError(place, f"must have {y.size} values, one a patient", f"shape {array.shape}", "Align the two.")
    if not np.isfinite(array).all():
        missing = int((~np.isfinite(array)).sum())
        raise DataError(place, "must be finite", f"{missing} missing or infinite", "Leave those patients out of both.")
    return array


def check_probability(p: ArrayLike, y: np.ndarray, given_y: ArrayLike | None = None, place: str = "p") -> np.ndarray:
    """As `check_values`, and from 0 to 1; a linear predictor is refused."""
    array = check_values(p, y, given_y, place)
    if array.min() < 0 or array.max() > 1:
        found = f"values from {array.min():g} to {array.max():g}"
        hint = "Give predict_proba's second column, not a score or a percentage."
        raise DataError(place, "must be a probability, 0 to 1", found, hint)
    return array


def check_level(level: float) -> float:
    """Confidence level, between 0 and 1."""
    if not 0 < level < 1:
        raise DataError("level", "must be above 0 and below 1", level, "Give 0.95 for a 95 % interval.")
    return level


def check_two_each(y: np.ndarray) -> None:
    """Refuse a checked outcome with fewer than two patients of a class."""
    rarest = int(min(y.sum(), len(y) - y.sum()))
    if rarest < 2:
        rule = "must have 2 patients or more in each class for a variance"
        raise DataError("outcome", rule, rarest, "Pool cohorts, or add patients.")


def cohorts(
    y: ArrayLike | pd.DataFrame, values: pd.DataFrame | pd.Series, cohort: str | ArrayLike
) -> Iterator[tuple[str, pd.Series | pd.DataFrame, pd.DataFrame | pd.Series]]:
    """Outcome and values of each cohort, in the order in which cohorts first appear.

    Parameters
    ----------
    y : array-like, shape (n_patients,), or pandas.DataFrame, shape (n_patients, n_columns)
        1 for HCC, 0 otherwise; a table where an outcome has several columns, as event and months.
    values : pandas.DataFrame, shape (n_patients, n_models), or pandas.Series, shape (n_patients,)
        A column a model.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Yields
    ------
    name, outcome, values

    Raises
    ------
    DataError
        If the patients of the three differ.
    """
    if not isinstance(values, (pd.DataFrame, pd.Series)):
        raise DataError("values", "must be a DataFrame, a column a model", type(values).__name__, "Name the models.")
    for what, given in (("outcome", y), ("cohort", cohort)):
        if isinstance(given, (pd.DataFrame, pd.Series)) and not given.index.equals(values.index):
            raise DataError(what, "must have the values' patients in their order", "another index", "Align them.")
    names = np.full(len(values), cohort, dtype=object) if isinstance(cohort, str) else np.asarray(cohort, dtype=object)
    outcome = y if isinstance(y, pd.DataFrame) else np.asarray(y)
    if not len(outcome) == len(names) == len(values):
        found = f"{len(outcome)}, {len(names)} and {len(values)}"
        raise DataError("outcome, cohort and values", "must have one row a patient each", found, "Align them.")
    outcome = y if isinstance(y, pd.DataFrame) else pd.Series(outcome, index=values.index)
    for name in pd.unique(names):
        rows = names == name
        yield str(name), outcome[rows], values[rows]


_refusals: ContextVar[list[str] | None] = ContextVar("refusals", default=None)


@contextlib.contextmanager
def cohorts_may_be_refused() -> Iterator[list[str]]:
    """Let `by_cohort` leave out a cohort that its statistic refuses, as long as another one has it.

    Yields
    ------
    list of str
        Why, a text a cohort and statistic, as they come up inside the block.
    """
    token = _refusals.set([])
    try:
        yield _refusals.get()
    finally:
        _refusals.reset(token)


def by_cohort(
    statistic: Callable[..., pd.DataFrame | NamedTuple],
    y: ArrayLike | pd.DataFrame,
    values: pd.DataFrame | pd.Series,
    cohort: str | ArrayLike,
    each: str | None = "model",
    **options: object,
) -> pd.DataFrame:
    """A statistic of each model in each cohort, as one table.

    Parameters
    ----------
    statistic : callable
        Takes the outcome and the values of a cohort's patients; returns a table, or a named tuple that is one row.
    y, values, cohort
        As in `cohorts`.
    each : str, optional
        Where `values` is a table, the statistic takes one of its columns at a time, and this column of the result
        says which; without it, the statistic takes the whole table.
    **options
        Further arguments of the statistic.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, `each` where it applies, then those of the statistic; cohorts in the order in which they
        first appear.

    Raises
    ------
    DataError
        If the patients of the three differ, there are none, or there is no column; or what the statistic raises,
        with the cohort named. Inside `cohorts_may_be_refused`, only if it refuses every cohort.
    """
    apart = isinstance(values, pd.DataFrame) and each is not None
    parts, refused = [], []
    for name, outcome, table in cohorts(y, values, cohort):
        for column, given in table.items() if apart else [(None, table)]:
            try:
                result = statistic(outcome, given, **options)
            except DataError as error:
                refused.append(DataError(f"{error.place}, {name} cohort", error.rule, error.found, error.hint))
                if _refusals.get() is None:
                    raise refused[-1] from error
                continue
            part = result if isinstance(result, pd.DataFrame) else pd.DataFrame([result])
            parts.append(part.assign(cohort=name, **({each: column} if apart else {})))
    if refused and not parts:
        raise refused[0]
    if refused:
        _refusals.get().extend(map(str, refused))
    if not parts:
        raise DataError("values", "must have patients and a column", values.shape, "Give the scores of a cohort.")
    table = pd.concat(parts, ignore_index=True)
    first = ["cohort", each] if apart else ["cohort"]
    return table[[*first, *table.columns.drop(first)]]
