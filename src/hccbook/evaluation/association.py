"""How features go with HCC and with one another: counts, AUCs, correlations, distributions by outcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import mannwhitneyu, norm, rankdata

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import by_cohort, check_binary, check_values
from hccbook.features.selection import check_features, constant_features
from hccbook.models.development import phase_organ_name

_MIN_BANDWIDTH = 0.05
_DENSITY_POINTS = 201

MAP_FEATURES = 40
"""Features whose correlations are shown: more would not be told apart."""


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
    rows = [(*phase_organ_name(str(name))[:2], *_image_and_class(str(name))) for name in names]
    columns = ["phase", "organ", "image", "class"]
    return pd.DataFrame(rows, columns=columns).groupby(columns, sort=False).size().rename("n").reset_index()


def feature_family(name: str) -> str:
    """Family of a feature: ``shape``, ``firstorder``, ``glcm``, ..., or ``deep``.

    Parameters
    ----------
    name : str
        ``<phase>.<organ>.<image>_<class>_<feature>`` or ``<phase>.<organ>.deep_<number>``.

    Raises
    ------
    DataError
        If the name is built otherwise.
    """
    return _image_and_class(name)[1]


def _image_and_class(name: str) -> tuple[str, str]:
    feature = phase_organ_name(name)[2]
    parts = feature.split("_", 2)
    if parts[0] == "deep":
        return "deep", "deep"
    if len(parts) != 3:
        rule = "must be named <image>_<class>_<feature>"
        raise DataError(f"feature {name}", rule, feature, "Give the columns of features.")
    return parts[0], parts[1]


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
    test = mannwhitneyu(values[outcome == 1], values[outcome == 0], method="asymptotic")
    constant = constant_features(values)
    areas = np.where(constant, 0.5, test.statistic / (outcome.sum() * (outcome == 0).sum()))
    return pd.DataFrame({"feature": features.columns, "auc": areas, "p": np.where(constant, 1.0, test.pvalue)})


def spearman_correlations(features: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of every pair of features.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
        None of them constant.

    Returns
    -------
    pandas.DataFrame
        Columns feature, other, rho; one row per pair, both ways round and each with itself; those that agree come side
        by side (average linkage on one less the absolute correlation). No row without features.

    Raises
    ------
    DataError
        If a value is missing or a feature is constant.
    """
    check_features(features)
    values = features.to_numpy(dtype=float)
    constant = features.columns[constant_features(values)]
    if len(constant):
        raise DataError(f"features, column {constant[0]}", "must vary", "one value", "Drop constant features.")
    names = features.columns.to_numpy(dtype=object)
    if not names.size:
        return pd.DataFrame(columns=["feature", "other", "rho"]).astype({"rho": float})
    rho = np.clip(np.atleast_2d(np.corrcoef(rankdata(values, axis=0), rowvar=False)), -1, 1)
    if len(names) > 2:
        apart = 1 - np.abs(rho)
        np.fill_diagonal(apart, 0)
        order = leaves_list(linkage(squareform(apart, checks=False), "average"))
        rho, names = rho[np.ix_(order, order)], names[order]
    return pd.DataFrame({"feature": np.repeat(names, len(names)), "other": np.tile(names, len(names)), "rho": rho.flat})


def screened_features(features: pd.DataFrame, y: ArrayLike, screening: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the first two steps of the selection saw of each block of features.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
        Of the development patients.
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    screening : pandas.DataFrame
        Columns block, feature, p, kept: what the Mann-Whitney test kept of the features that it was asked of.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``associations``: block and the columns of `feature_associations`, of all features. ``correlations``: block and
        the columns of `spearman_correlations`, of the `MAP_FEATURES` kept ones with the smallest p.

    Raises
    ------
    DataError
        As `feature_associations`.

    References
    ----------
    ALARM, Figures S5, S6, S9 and S10.
    """
    associations, correlations = [], []
    for block in screening["block"].unique():
        own = screening[screening["block"] == block]
        first = own[own["kept"]].nsmallest(MAP_FEATURES, "p")["feature"]
        associations.append(feature_associations(features[own["feature"]], y).assign(block=block))
        correlations.append(spearman_correlations(features[first]).assign(block=block))
    columns = {"associations": ["block", "feature", "auc", "p"], "correlations": ["block", "feature", "other", "rho"]}
    parts = {"associations": associations, "correlations": correlations}
    return {
        name: pd.concat(parts[name])[of_table] if parts[name] else pd.DataFrame(columns=of_table)
        for name, of_table in columns.items()
    }


def outcome_densities(values: pd.DataFrame, y: ArrayLike) -> pd.DataFrame:
    """Density of each variable in patients with and without HCC.

    Variables are given in standard deviations from the mean of all patients. A Gaussian kernel with Scott's bandwidth,
    no narrower than a twentieth of a standard deviation, so that a class of one value has a density too, which scipy's
    ``gaussian_kde`` refuses.

    Parameters
    ----------
    values : pandas.DataFrame, shape (n_patients, n_variables)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.

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
        x = (x - x.mean()) / x.std()
        at = np.linspace(x.min() - 0.6, x.max() + 0.6, _DENSITY_POINTS)
        for group in (0, 1):
            members = x[outcome == group]
            width = members.std(ddof=1) * members.size**-0.2 if members.size > 1 else 0.0
            width = max(width, _MIN_BANDWIDTH)
            density = norm.pdf((at[:, None] - members[None, :]) / width).mean(axis=1) / width
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
    return by_cohort(_quartiles_by_outcome, y, values, cohort, each="variable")


def _quartiles_by_outcome(y: pd.Series, values: pd.Series) -> pd.DataFrame:
    outcome = check_binary(y, both=False)
    groups = [values[outcome == group].to_numpy(dtype=float) for group in (0, 1)]
    both = all(group.size for group in groups)
    p = float(mannwhitneyu(groups[1], groups[0], method="asymptotic").pvalue) if both else np.nan
    rows = []
    for hcc, members in enumerate(groups):
        box = [np.nan] * 5
        if members.size:
            q1, median, q3 = np.quantile(members, (0.25, 0.5, 0.75))
            reach = 1.5 * (q3 - q1)
            inside = members[(members >= q1 - reach) & (members <= q3 + reach)]
            box = [median, q1, q3, inside.min(), inside.max()]
        rows.append((hcc, members.size, *box, p, "" if both else "no test: one outcome only"))
    return pd.DataFrame(rows, columns=["hcc", "n", "median", "q1", "q3", "low", "high", "p", "note"])
