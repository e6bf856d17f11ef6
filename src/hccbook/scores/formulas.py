"""ALBI and aMAP, which are formulas, and the scores that add points, with their tables and groups."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.scores.quantities import FLAGS, checked, checked_finite, checked_flag, like_given

RISK_GROUPS = ("low", "medium", "high")
"""Names of three risk groups, in rising order."""

COPIES_PER_IU = 5.82
"""Copies of HBV DNA in one international unit.

It depends on the assay: 5.82 for Roche's TaqMan, 3.41 for Abbott's AccuGene (guidelines of the Japan Society of
Hepatology for the management of hepatitis B, 2014, conversion table).
"""


def albi(bilirubin: ArrayLike, albumin: ArrayLike) -> float | np.ndarray | pd.Series:
    """Albumin-bilirubin (ALBI) score of liver function.

    ``0.66 log10(bilirubin) - 0.085 albumin``

    Parameters
    ----------
    bilirubin : array-like, shape (n_patients,), or float
        Total bilirubin, umol/L; 1 to 1000.
    albumin : array-like, shape (n_patients,), or float
        Serum albumin, g/L; 10 to 70.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        ALBI, of the shape of the arguments; a higher value means worse liver function.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Johnson et al. 2015, J Clin Oncol 33:550; ALARM, footnote of Table 1.
    """
    score = 0.66 * np.log10(checked("bilirubin", bilirubin)) - 0.085 * checked("albumin", albumin)
    return like_given(score, bilirubin, albumin)


def albi_grade(albi: ArrayLike) -> int | np.ndarray | pd.Series:
    """ALBI grade: 1 up to -2.60, 2 up to -1.39, 3 above.

    Parameters
    ----------
    albi : array-like, shape (n_patients,), or float
        ALBI score.

    Returns
    -------
    int, numpy.ndarray or pandas.Series
        Grade 1 (best) to 3 (worst).

    Raises
    ------
    DataError
        If a score is missing.

    References
    ----------
    Johnson et al. 2015, J Clin Oncol 33:550.
    """
    # A bound belongs to the better grade.
    return like_given(1 + np.searchsorted((-2.60, -1.39), checked_finite("ALBI", albi), side="left"), albi)


def amap(
    age: ArrayLike, male: ArrayLike, bilirubin: ArrayLike, albumin: ArrayLike, platelets: ArrayLike
) -> float | np.ndarray | pd.Series:
    """Age-male-ALBI-platelets (aMAP) score of the risk of liver cancer.

    ``(0.06 age + 0.89 male + 0.48 ALBI - 0.01 platelets + 7.4) / 14.77 x 100``

    The score is not clipped to 0 to 100: neither paper says that it is.

    Parameters
    ----------
    age : array-like, shape (n_patients,), or float
        Years; 0 to 120.
    male : array-like, shape (n_patients,), or bool
        1 or True for men, 0 or False for women.
    bilirubin, albumin
        As in `albi`.
    platelets : array-like, shape (n_patients,), or float
        Platelet count, 10^9/L; 1 to 1500.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        aMAP, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Fan et al. 2020, J Hepatol 73:1368; ALARM, footnote of Table 1.
    """
    liver = albi(np.asarray(bilirubin), np.asarray(albumin))
    count = checked("platelets", platelets)
    total = 0.06 * checked("age", age) + 0.89 * checked_flag("male", male) + 0.48 * liver - 0.01 * count + 7.4
    return like_given(total / 14.77 * 100, age, male, bilirubin, albumin, platelets)


def amap_group(amap: ArrayLike, low: float = 50.0, high: float = 60.0) -> str | np.ndarray | pd.Series:
    """Risk group of an aMAP score: low below 50, medium from 50 to 60 (both included), high above 60.

    Parameters
    ----------
    amap : array-like, shape (n_patients,), or float
        aMAP score.
    low, high : float
        Least and greatest score of the medium group.

    Returns
    -------
    str, numpy.ndarray of str or pandas.Series of str
        ``low``, ``medium`` or ``high``.

    Raises
    ------
    DataError
        If a score is missing, or the bounds are not in rising order.

    References
    ----------
    Fan et al. 2020, J Hepatol 73:1368; aMAP-CT, Table 1.
    """
    if not low <= high:
        raise DataError("aMAP bounds", "must rise", f"low={low:g}, high={high:g}", "Give the lower bound first.")
    score = checked_finite("aMAP", amap)
    group = np.where(score < low, "low", np.where(score > high, "high", "medium"))
    return str(group) if group.ndim == 0 else like_given(group.astype(object), amap)


# --- scores by points -------------------------------------------------------------------------------------------------


class Bound(NamedTuple):
    """Where the next step of a table begins: at the value, or only above it."""

    value: float
    belongs: bool


class PointItem(NamedTuple):
    """One row of a point table.

    Attributes
    ----------
    name : str
        Argument that it reads.
    bounds, points : tuple of Bound, tuple of float
        Where the steps begin, rising (for a flag, 1); points below the first of them, and from each on.
    choices : mapping of str to float
        Points by name, for a value that is no number; `bounds` and `points` are empty then.
    least : float, optional
        Least value for which the table is printed, where that is more than a plausible value.
    """

    name: str
    bounds: tuple[Bound, ...] = ()
    points: tuple[float, ...] = ()
    choices: Mapping[str, float] = MappingProxyType({})
    least: float | None = None


class PointScore(NamedTuple):
    """A score that adds points.

    Attributes
    ----------
    label : str
        Name as it is printed.
    items : tuple of PointItem
        Rows of its table.
    greatest : float
        The most points that the rows can give; the fewest are 0.
    group_bounds, groups : tuple of Bound, tuple of str
        Scores at which the next risk group begins; risk groups, rising, one more than these.
    """

    label: str
    items: tuple[PointItem, ...]
    greatest: float
    group_bounds: tuple[Bound, ...]
    groups: tuple[str, ...]


def _above(value: float) -> Bound:
    return Bound(value, belongs=False)


def _bounds(*values: float | Bound) -> tuple[Bound, ...]:
    return tuple(value if isinstance(value, Bound) else Bound(value, belongs=True) for value in values)


def _item(name: str, first: float, *steps: tuple[float | Bound, float], least: float | None = None) -> PointItem:
    """Row whose lowest values have the `first` points, and others those of the last bound that they reach."""
    bounds, points = zip(*steps, strict=True)
    return PointItem(name, _bounds(*bounds), (first, *points), least=least)


_THRI_CAUSES = MappingProxyType(
    dict.fromkeys(("autoimmune", "HCV after SVR"), 0)
    | {"other": 36}
    | dict.fromkeys(("NASH", "alcohol", "steatohepatitis"), 54)
    | dict.fromkeys(("HCV", "HBV"), 97)
)
"""The manifest's causes; steatohepatitis is alcoholic or not."""

POINT_SCORES: Mapping[str, PointScore] = MappingProxyType(
    {
        "page_b": PointScore(
            "PAGE-B",
            (
                _item("age", 0, (30, 2), (40, 4), (50, 6), (60, 8), (70, 10), least=16),
                _item("male", 0, (1, 6)),
                _item("platelets", 9, (100, 6), (200, 0)),
            ),
            25,
            _bounds(10, 18),
            RISK_GROUPS,
        ),
        "mpage_b": PointScore(
            "mPAGE-B",
            (
                _item("age", 0, (30, 3), (40, 5), (50, 7), (60, 9), (70, 11)),
                _item("male", 0, (1, 2)),
                _item("platelets", 5, (100, 4), (150, 3), (200, 2), (250, 0)),
                _item("albumin", 3, (30, 2), (35, 1), (40, 0)),
            ),
            21,
            _bounds(9, 13),
            RISK_GROUPS,
        ),
        "cu_hcc": PointScore(
            "CU-HCC",
            (
                _item("age", 0, (_above(50), 3)),
                _item("albumin", 20, (_above(35), 0)),
                _item("bilirubin", 0, (_above(18), 1.5)),
                _item("hbv_dna_copies_ml", 0, (1e4, 1), (_above(1e6), 4)),
                _item("cirrhosis", 0, (1, 15)),
            ),
            43.5,
            _bounds(5, 20),
            RISK_GROUPS,
        ),
        "lsm_hcc": PointScore(
            "LSM-HCC",
            (
                _item("age", 0, (_above(50), 10)),
                _item("albumin", 1, (_above(35), 0)),
                _item("hbv_dna_iu_ml", 0, (_above(2e5), 5)),
                _item("stiffness_kpa", 0, (_above(8), 8), (_above(12), 14)),
            ),
            30,
            _bounds(11),
            ("low", "high"),
        ),
        "thri": PointScore(
            "THRI",
            (
                _item("age", 0, (45, 50), (_above(60), 100)),
                PointItem("etiology", choices=_THRI_CAUSES),
                _item("male", 0, (1, 80)),
                _item("platelets", 89, (80, 70), (140, 20), (_above(200), 0)),
            ),
            366,
            _bounds(120, _above(240)),
            RISK_GROUPS,
        ),
    }
)
"""Point tables of the scores that aMAP-CT is compared with, by function."""

SCORE_INPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "albi": ("bilirubin", "albumin"),
        "amap": ("age", "male", "bilirubin", "albumin", "platelets"),
        **{name: tuple(item.name for item in score.items) for name, score in POINT_SCORES.items()},
    }
)
"""Arguments of every score, by function."""


def _step(values: np.ndarray, bounds: tuple[Bound, ...]) -> np.ndarray:
    reached = [values >= bound.value if bound.belongs else values > bound.value for bound in bounds]
    return np.sum(reached, axis=0, dtype=int)


def _item_points(item: PointItem, values: ArrayLike) -> np.ndarray:
    if item.choices:
        causes = np.asarray(values, dtype=object)
        unknown = [cause for cause in causes.ravel() if not isinstance(cause, str) or cause not in item.choices]
        if unknown:
            rule = f"must be one of {', '.join(item.choices)}"
            raise DataError(item.name, rule, repr(unknown[0]), "Correct it, or leave out patients where it is missing.")
        return np.array([item.choices[cause] for cause in causes.ravel()], dtype=float).reshape(causes.shape)
    known = checked_flag(item.name, values) if item.name in FLAGS else checked(item.name, values, item.least)
    return np.array(item.points, dtype=float)[_step(known, item.bounds)]


def _point_score(name: str, *given: ArrayLike) -> float | np.ndarray | pd.Series:
    items = POINT_SCORES[name].items
    total = sum((_item_points(item, values) for item, values in zip(items, given, strict=True)), np.zeros(()))
    return like_given(total, *given)


def page_b(age: ArrayLike, male: ArrayLike, platelets: ArrayLike) -> float | np.ndarray | pd.Series:
    """PAGE-B score of the five-year risk of HCC under antiviral treatment of hepatitis B.

    Up to 9 low, 10 to 17 medium, 18 and more high risk: see `point_score_group`.

    Parameters
    ----------
    age : array-like, shape (n_patients,), or float
        Years; 16 to 120, because the table begins at 16. Taken as given, not rounded to completed years.
    male, platelets
        As in `amap`.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        0 to 25, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Papatheodoridis et al. 2016, J Hepatol 64:800.
    """
    return _point_score("page_b", age, male, platelets)


def mpage_b(
    age: ArrayLike, male: ArrayLike, platelets: ArrayLike, albumin: ArrayLike
) -> float | np.ndarray | pd.Series:
    """Modified PAGE-B score of the five-year risk of HCC under antiviral treatment of hepatitis B.

    Up to 8 low, 9 to 12 medium, 13 and more high risk: see `point_score_group`.

    Parameters
    ----------
    age, male, platelets, albumin
        As in `amap`; years are taken as given, not rounded to completed ones.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        0 to 21, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Kim et al. 2018, J Hepatol 69:1066.
    """
    return _point_score("mpage_b", age, male, platelets, albumin)


def cu_hcc(
    age: ArrayLike, albumin: ArrayLike, bilirubin: ArrayLike, hbv_dna_copies_ml: ArrayLike, cirrhosis: ArrayLike
) -> float | np.ndarray | pd.Series:
    """CU-HCC score of the risk of HCC in chronic hepatitis B.

    Below 5 low, 5 to below 20 medium, 20 and more high risk: see `point_score_group`.
    The rows of its table sum to 43.5; the original paper reports 44.5 as the highest score.
    In a cohort of cirrhosis the row of cirrhosis is the same for everybody.

    Parameters
    ----------
    age, albumin, bilirubin
        As in `amap`; years are taken as given, not rounded to completed ones.
    hbv_dna_copies_ml : array-like, shape (n_patients,), or float
        HBV DNA, copies/mL, not its logarithm; 0 where undetectable, otherwise 50 to 1e13.
        `hbv_dna_copies` converts IU/mL.
    cirrhosis : array-like, shape (n_patients,), or bool
        1 or True with cirrhosis, 0 or False without.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        0 to 43.5, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Wong et al. 2010, J Clin Oncol 28:1660.
    """
    return _point_score("cu_hcc", age, albumin, bilirubin, hbv_dna_copies_ml, cirrhosis)


def lsm_hcc(
    age: ArrayLike, albumin: ArrayLike, hbv_dna_iu_ml: ArrayLike, stiffness_kpa: ArrayLike
) -> float | np.ndarray | pd.Series:
    """LSM-HCC score of the risk of HCC in chronic hepatitis B, with liver stiffness in place of cirrhosis.

    Below 11 low, 11 and more high risk: see `point_score_group`.

    Parameters
    ----------
    age, albumin
        As in `amap`; years are taken as given, not rounded to completed ones.
    hbv_dna_iu_ml : array-like, shape (n_patients,), or float
        HBV DNA, IU/mL, not its logarithm; 0 where undetectable, otherwise 10 to 1e12.
    stiffness_kpa : array-like, shape (n_patients,), or float
        Liver stiffness by transient elastography, kPa; 1 to 80.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        0 to 30, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range; the message names the unit it is likely in.

    References
    ----------
    Wong et al. 2014, J Hepatol 60:339.
    """
    return _point_score("lsm_hcc", age, albumin, hbv_dna_iu_ml, stiffness_kpa)


def thri(age: ArrayLike, etiology: ArrayLike, male: ArrayLike, platelets: ArrayLike) -> float | np.ndarray | pd.Series:
    """Toronto HCC risk index (THRI) of the ten-year risk of HCC in cirrhosis.

    Below 120 low, 120 to 240 medium, above 240 high risk: see `point_score_group`.

    Parameters
    ----------
    age, male, platelets
        As in `amap`; years are taken as given, not rounded to completed ones.
    etiology : array-like of str, shape (n_patients,), or str
        Cause of cirrhosis: HBV, HCV, HCV after SVR (sustained virological response), NASH, alcohol or
        steatohepatitis (which is one of these two), autoimmune, other.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        0 to 366, of the shape of the arguments; a higher value means a higher risk.

    Raises
    ------
    DataError
        If a value is missing or out of range, or a cause is unknown.

    References
    ----------
    Sharma et al. 2018, J Hepatol 68:92.
    """
    return _point_score("thri", age, etiology, male, platelets)


def point_score_group(name: str, score: ArrayLike) -> str | np.ndarray | pd.Series:
    """Risk group of a score that adds points.

    Parameters
    ----------
    name : str
        ``page_b``, ``mpage_b``, ``cu_hcc``, ``lsm_hcc`` or ``thri``.
    score : array-like, shape (n_patients,), or float
        The score.

    Returns
    -------
    str, numpy.ndarray of str or pandas.Series of str
        ``low``, ``medium`` or ``high``; LSM-HCC has no medium group.

    Raises
    ------
    DataError
        If a score is missing, cannot come from the table of points, or its name is unknown.
    """
    if name not in POINT_SCORES:
        raise DataError("score", f"must be one of {', '.join(POINT_SCORES)}", name, "Check the spelling.")
    table = POINT_SCORES[name]
    points = checked_finite(table.label, score)
    outside = (points < 0) | (points > table.greatest)
    if outside.any():
        first = points[outside].ravel()[0]
        raise DataError(table.label, f"must be 0 to {table.greatest:g}", f"{first:g}", f"Use scores.{name}.")
    group = np.array(table.groups, dtype=object)[_step(points, table.group_bounds)]
    return str(group) if points.ndim == 0 else like_given(group, score)


def hbv_dna_copies(hbv_dna_iu_ml: ArrayLike, copies_per_iu: float = COPIES_PER_IU) -> float | np.ndarray | pd.Series:
    """HBV DNA in copies/mL, for `cu_hcc`, from IU/mL.

    Parameters
    ----------
    hbv_dna_iu_ml : array-like, shape (n_patients,), or float
        HBV DNA, IU/mL; 0 where undetectable, otherwise 10 to 1e12.
    copies_per_iu : float
        Copies in one IU; it depends on the assay, see `COPIES_PER_IU`.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        HBV DNA, copies/mL.

    Raises
    ------
    DataError
        If a value is missing or out of range, or the factor is not 1 to 10.
    """
    if not 1 <= copies_per_iu <= 10:
        raise DataError("copies_per_iu", "must be 1 to 10", f"{copies_per_iu:g}", "Look it up for the assay.")
    return like_given(checked("hbv_dna_iu_ml", hbv_dna_iu_ml) * copies_per_iu, hbv_dna_iu_ml)


def missing_inputs(name: str, table: pd.DataFrame) -> pd.Series:
    """Which inputs of a score each patient lacks: the reason why the score is not defined for them.

    Parameters
    ----------
    name : str
        A score of `SCORE_INPUTS`.
    table : pandas.DataFrame, shape (n_patients, n_columns)
        Columns named as the score's arguments; a column that is absent is missing for everybody.

    Returns
    -------
    pandas.Series of str, shape (n_patients,)
        For example ``no hbv_dna_iu_ml, no stiffness_kpa``; empty where the score can be computed.

    Raises
    ------
    DataError
        If the score is unknown.
    """
    if name not in SCORE_INPUTS:
        raise DataError("score", f"must be one of {', '.join(SCORE_INPUTS)}", name, "Check the spelling.")
    inputs = table.reindex(columns=list(SCORE_INPUTS[name]))
    absent = inputs.isna() | (inputs == "")
    reasons = [", ".join(f"no {column}" for column in absent.columns[row]) for row in absent.to_numpy()]
    return pd.Series(reasons, index=table.index, dtype=object, name=name)
