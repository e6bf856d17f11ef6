"""Checks that every statistic makes of outcomes and predictions, and its split by cohort."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError


def check_binary(y: ArrayLike, *, both: bool = True, place: str = "outcome") -> np.ndarray:
    """Outcome as integers 0 and 1.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 or True for HCC, 0 or False otherwise.
    both : bool
        Whether each value must be present.
    place : str
        What the outcome is called in the message.

    Returns
    -------
    numpy.ndarray of int, shape (n_patients,)

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
        raise DataError(
            place,
            "must hold patients with and without HCC",
            f"{values.size} patients, all {values[0]}",
            "Pool cohorts, or leave this one out.",
        )
    return values


def check_values(
    values: ArrayLike, y: np.ndarray, given_y: ArrayLike | None = None, place: str = "score"
) -> np.ndarray:
    """Finite values, one a patient of `y`.

    Parameters
    ----------
    values : array-like, shape (n_patients,)
    y : numpy.ndarray, shape (n_patients,)
        Checked outcome.
    given_y : array-like, optional
        Outcome as the caller gave it: where both are Series, their patients must agree.
    place : str
        What the values are called in the message.

    Returns
    -------
    numpy.ndarray of float, shape (n_patients,)

    Raises
    ------
    DataError
        If the number of values or the patients differ, or a value is missing or infinite.
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
        raise DataError(
            place,
            "must be a probability, 0 to 1",
            f"values from {array.min():g} to {array.max():g}",
            "Give predict_proba's second column, not a score or a percentage.",
        )
    return array


def check_level(level: float) -> float:
    """Confidence level, between 0 and 1."""
    if not 0 < level < 1:
        raise DataError("level", "must be above 0 and below 1", level, "Give 0.95 for a 95 % interval.")
    return level


def cohorts(
    y: ArrayLike, values: pd.DataFrame, cohort: str | ArrayLike
) -> Iterator[tuple[str, pd.Series, pd.DataFrame]]:
    """Outcome and values of each cohort, in the order in which cohorts first appear.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    values : pandas.DataFrame, shape (n_patients, n_models)
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
    if not isinstance(values, pd.DataFrame):
        raise DataError("values", "must be a DataFrame, a column a model", type(values).__name__, "Name the models.")
    for what, given in (("outcome", y), ("cohort", cohort)):
        if isinstance(given, pd.Series) and not given.index.equals(values.index):
            raise DataError(what, "must have the values' patients in their order", "another index", "Align them.")
    names = np.full(len(values), cohort, dtype=object) if isinstance(cohort, str) else np.asarray(cohort, dtype=object)
    outcome = np.asarray(y)
    if not len(outcome) == len(names) == len(values):
        found = f"{len(outcome)}, {len(names)} and {len(values)}"
        raise DataError("outcome, cohort and values", "must have one row a patient each", found, "Align them.")
    for name in pd.unique(names):
        rows = names == name
        yield str(name), pd.Series(outcome[rows], index=values.index[rows]), values.loc[rows]
