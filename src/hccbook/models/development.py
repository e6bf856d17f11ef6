"""What every model does with its development cohort: check, standardise, and fit a logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression

from hccbook.errors import ModelError
from hccbook.features.selection import check_features, check_outcome, constant_features
from hccbook.models.linear_score import LinearScore

CLINICAL = "amap"
"""Column of the clinical score beside the features."""

PENALTY_C = 1.0
"""Inverse strength of the L2 penalty of every logistic regression (scikit-learn's default).

The papers print none; without one, scores that separate a small development cohort have no finite weights.
"""


def check_development(X: pd.DataFrame, y: ArrayLike) -> np.ndarray:
    """Outcome of a development cohort as integers; its table of features and ``amap`` is checked too.

    Raises
    ------
    DataError
        If a value is missing or not numeric, patients do not match, or the outcome has one class.
    ModelError
        If `X` is no DataFrame or lacks ``amap``.
    """
    if not isinstance(X, pd.DataFrame):
        raise ModelError("features", "must be a DataFrame with named columns", type(X).__name__, "Name the columns.")
    check_clinical(X)
    check_features(X)
    return check_outcome(y, X)


def check_clinical(X: pd.DataFrame) -> None:
    """Refuse a table without ``amap`` with a `ModelError`."""
    if CLINICAL not in X.columns:
        raise ModelError("features", f"must have a column {CLINICAL!r}", "none", "Add it with hccbook.scores.amap.")


def allowed_columns(columns: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Columns that are not left out; the clinical score never is, and a name that is no column changes nothing.

    Raises
    ------
    ModelError
        If `left_out` is one text instead of names.
    """
    if isinstance(left_out, str):
        raise ModelError("left_out", "must be names of features", repr(left_out), "Give a tuple of names.")
    dropped = set(left_out) - {CLINICAL}
    return [name for name in columns if name not in dropped]


def columns_of_blocks(columns: pd.Index) -> dict[str, pd.Index]:
    """Feature columns by block: ``deep`` are those with ``.deep_`` in their name, ``radiomics`` the others."""
    features = columns[columns != CLINICAL]
    deep = features.str.contains(".deep_", regex=False)
    return {"radiomics": features[~deep], "deep": features[deep]}


def phase_organ_name(column: str) -> tuple[str, str, str]:
    """Phase, organ and name of a feature column ``<phase>.<organ>.<name>``.

    Raises
    ------
    ModelError
        If the column is not named so.
    """
    parts = column.split(".", 2)
    if len(parts) != 3:
        rule = "must be named <phase>.<organ>.<name>"
        raise ModelError(f"column {column}", rule, repr(column), "Rename or drop the column.")
    return parts[0], parts[1], parts[2]


class Standardised(NamedTuple):
    """z-scores of the columns that vary.

    Attributes
    ----------
    z : pandas.DataFrame, shape (n_patients, n_varying)
    means, scales : pandas.Series, each of shape (n_varying,)
        Mean and standard deviation (divisor n) by column.
    constant : list of str
        Columns dropped because they do not vary.
    """

    z: pd.DataFrame
    means: pd.Series
    scales: pd.Series
    constant: list[str]


def standardise(X: pd.DataFrame) -> Standardised:
    """z-scores of the columns that vary, of a table of shape (n_patients, n_columns)."""
    values = X.to_numpy(dtype=float)
    constant = constant_features(values) if X.shape[1] else np.zeros(0, dtype=bool)
    kept = X.columns[~constant]
    values = values[:, ~constant]
    means, scales = values.mean(axis=0), values.std(axis=0)
    z = pd.DataFrame((values - means) / scales, index=X.index, columns=kept)
    return Standardised(z, pd.Series(means, index=kept), pd.Series(scales, index=kept), X.columns[constant].tolist())


def standardise_allowed(X: pd.DataFrame, left_out: Sequence[str], notes: list[str]) -> Standardised:
    """z-scores of the columns that vary and are not left out; what was dropped goes to the notes."""
    allowed = allowed_columns(X.columns, left_out)
    if len(allowed) < X.shape[1]:
        notes.append(f"{X.shape[1] - len(allowed)} features left out before any step.")
    standardised = standardise(X[allowed])
    if standardised.constant:
        first = standardised.constant[0]
        notes.append(f"{len(standardised.constant)} constant columns dropped, the first {first}.")
    return standardised


def logistic_score(scores: pd.DataFrame, y: np.ndarray, reference: pd.DataFrame | None = None) -> LinearScore:
    """Logistic regression (L2 penalty, no class weights) on standardised scores.

    Parameters
    ----------
    scores : pandas.DataFrame, shape (n_patients, n_scores)
    y : numpy.ndarray of int, shape (n_patients,)
    reference : pandas.DataFrame, optional
        Patients whose mean and standard deviation standardise the scores; `scores` itself by default.
        A score that does not vary in it enters with scale 1.

    Returns
    -------
    LinearScore
        Logit of the probability of HCC.
    """
    base = scores if reference is None else reference
    values = base.to_numpy(dtype=float)
    means, scales = values.mean(axis=0), values.std(axis=0)
    scales[constant_features(values)] = 1.0
    model = LogisticRegression(C=PENALTY_C, max_iter=10_000, tol=1e-8)
    model.fit((scores.to_numpy(dtype=float) - means) / scales, y)
    return LinearScore.of(scores.columns, means, scales, model.coef_[0], model.intercept_[0])


def probability(logit: np.ndarray) -> np.ndarray:
    """Probability of a logit, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logit))


def selection_counts(rows: Sequence[tuple[str, str, int]]) -> pd.DataFrame:
    """Number of features after each step: columns block, step, features."""
    return pd.DataFrame(list(rows), columns=["block", "step", "features"])
