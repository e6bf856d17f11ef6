"""How features go with HCC and with one another: counts, AUCs, correlations, distributions by outcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import norm, rankdata

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_binary, check_values, cohorts
from hccbook.features.selection import check_features, constant_features, mann_whitney_p
from hccbook.models.development import phase_organ_name

_MIN_BANDWIDTH = 0.05


def feature_counts(names: Sequence[str]) -> pd.DataFrame:
    """Number of features by phase, organ, image and class, from their names.

    Parameters
    ----------
    names : sequence of str
        ``<phase>.<organ>.<image>_<class>_<feature>``, or ``<phase>.<organ>.deep_<number>``.

    Returns
    -------
    pandas.DataFrame
        Columns phase, organ, image, class, n, in the order of first appearance; deep features have the image and
        class "deep".

    Raises
    ------
    DataError
        If a name is built otherwise.

    References
    ----------
    ALARM, Table S2 and Figure S4.
    """
    rows = []
    for name in names:
        phase, organ, feature = phase_organ_name(str(name))
        parts = feature.split("_", 2)
        if parts[0] == "deep":
            parts = ["deep", "deep", ""]
        if len(parts) != 3:
            raise DataError(
                f"feature {name}", "must be named <image>_<class>_<feature>", feature, "Give the columns of features."
            )
        rows.append((phase, organ, parts[0], parts[1]))
    columns = ["phase", "organ", "image", "class"]
    return pd.DataFrame(rows, columns=columns).groupby(columns, sort=False).size().rename("n").reset_index()


def feature_associations(features: pd.DataFrame, y: ArrayLike) -> pd.DataFrame:
    """AUC and Mann-Whitney p of every feature.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.

    Returns
    -------
    pandas.DataFrame
        Columns feature, auc (chance that a patient with HCC has the higher value), p (1 for a constant feature); in
        the order of the features.

    Raises
    ------
    DataError
        If a value is missing, a class is absent, or the patients differ.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection; Figures S5 to S11.
    """
    check_features(features)
    outcome = check_binary(y)
    if outcome.size != len(features):
        raise DataError("outcome", f"must have {len(features)} values", outcome.size, "Give one value a patient.")
    if isinstance(y, pd.Series) and not y.index.equals(features.index):
        raise DataError("outcome", "must have the features' patients in their order", "another index", "Align them.")
    values = features.to_numpy(dtype=float)
    events, others = int(outcome.sum()), int((outcome == 0).sum())
    above = rankdata(values, axis=0)[outcome == 1].sum(axis=0) - events * (events + 1) / 2
    constant = constant_features(values)
    return pd.DataFrame(
        {
            "feature": features.columns,
            "auc": np.where(constant, 0.5, above / (events * others)),
            "p": np.where(constant, 1.0, mann_whitney_p(values, outcome)),
        }
    )


def spearman_correlations(features: pd.DataFrame, ordered: bool = True) -> pd.DataFrame:
    """Spearman correlation of every pair of features.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
        None of them constant.
    ordered : bool
        Whether features that agree are put side by side (average linkage on one less the absolute correlation).

    Returns
    -------
    pandas.DataFrame
        Columns feature, other, rho; a row a pair, both ways round and each with itself. No row without features.

    Raises
    ------
    DataError
        If a value is missing or a feature is constant.
    """
    check_features(features)
    values = features.to_numpy(dtype=float)
    constant = constant_features(values)
    if constant.any():
        raise DataError(
            f"features, column {features.columns[constant][0]}", "must vary", "one value", "Drop constant features."
        )
    names = features.columns.to_numpy(dtype=object)
    if not names.size:
        return pd.DataFrame(columns=["feature", "other", "rho"]).astype({"rho": float})
    rho = np.clip(np.atleast_2d(np.corrcoef(rankdata(values, axis=0), rowvar=False)), -1, 1)
    if ordered and len(names) > 2:
        apart = 1 - np.abs(rho)
        np.fill_diagonal(apart, 0)
        order = leaves_list(linkage(squareform(apart, checks=False), "average"))
        rho, names = rho[np.ix_(order, order)], names[order]
    return pd.DataFrame({"feature": np.repeat(names, len(names)), "other": np.tile(names, len(names)), "rho": rho.flat})


def outcome_densities(values: pd.DataFrame, y: ArrayLike, standardise: bool = True, points: int = 201) -> pd.DataFrame:
    """Density of each variable in patients with and without HCC.

    A Gaussian kernel with Scott's bandwidth, no narrower than a twentieth of the variable's standard deviation, so
    that a class of one value has a density too.

    Parameters
    ----------
    values : pandas.DataFrame, shape (n_patients, n_variables)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    standardise : bool
        Whether variables are given in standard deviations from the mean of all patients.
    points : int
        Points a curve.

    Returns
    -------
    pandas.DataFrame
        Columns variable, hcc (0, 1), x, density (area 1); the same x for both classes of a variable. No row without
        variables.

    Raises
    ------
    DataError
        If a value is missing, a variable is constant, a class is absent, or the patients differ.

    References
    ----------
    ALARM, Fig. 2A and Figure S12. Scott 1992, Multivariate Density Estimation, 6.5 (bandwidth).
    """
    check_features(values, "values")
    outcome = check_binary(y)
    parts = []
    for name in values:
        x = check_values(values[name], outcome, y, str(name))
        if constant_features(x[:, None])[0]:
            raise DataError(f"values, column {name}", "must vary", f"{x[0]:g} for all", "Leave it out.")
        spread = x.std()
        if standardise:
            x, spread = (x - x.mean()) / spread, 1.0
        at = np.linspace(x.min() - 0.6 * spread, x.max() + 0.6 * spread, points)
        for group in (0, 1):
            own = x[outcome == group]
            width = own.std(ddof=1) * own.size**-0.2 if own.size > 1 else 0.0
            width = max(width, _MIN_BANDWIDTH * spread)
            density = norm.pdf((at[:, None] - own[None, :]) / width).mean(axis=1) / width
            parts.append(pd.DataFrame({"variable": name, "hcc": group, "x": at, "density": density}))
    if not parts:
        return pd.DataFrame(columns=["variable", "hcc", "x", "density"])
    return pd.concat(parts, ignore_index=True)


def outcome_differences(values: pd.DataFrame, y: ArrayLike, cohort: str | ArrayLike) -> pd.DataFrame:
    """Quartiles of each variable with and without HCC in each cohort, with the Mann-Whitney p.

    Parameters
    ----------
    values : pandas.DataFrame, shape (n_patients, n_variables)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, variable, hcc (0, 1), n, median, q1, q3, low, high (furthest values within 1.5 quartile
        ranges of the box), p (the same on both rows), note; a class without patients has n 0, NaN and a note.

    Raises
    ------
    DataError
        If a value is missing or the patients differ.

    References
    ----------
    ALARM, Results, Image signature analysis; Figure S12.
    """
    check_features(values, "values")
    rows = []
    for name, outcome, table in cohorts(y, values, cohort):
        happened = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        both = 0 < happened.sum() < happened.size
        note = "" if both else "no test: one outcome only"
        for variable in table:
            x = table[variable].to_numpy(dtype=float)
            p = float(mann_whitney_p(x[:, None], happened)[0]) if both else np.nan
            for group in (0, 1):
                own = x[happened == group]
                if not own.size:
                    rows.append((name, variable, group, 0, *[np.nan] * 5, p, note))
                    continue
                q1, median, q3 = np.quantile(own, (0.25, 0.5, 0.75))
                reach = 1.5 * (q3 - q1)
                inside = own[(own >= q1 - reach) & (own <= q3 + reach)]
                rows.append((name, variable, group, own.size, median, q1, q3, inside.min(), inside.max(), p, note))
    columns = ["cohort", "variable", "hcc", "n", "median", "q1", "q3", "low", "high", "p", "note"]
    return pd.DataFrame(rows, columns=columns)
