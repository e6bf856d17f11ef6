"""Published clinical scores, from age, sex, blood tests and liver stiffness.

Units are those of the book's conventions: years, bilirubin umol/L, albumin g/L, platelets 10^9/L, stiffness kPa.
HBV DNA is copies/mL in CU-HCC and IU/mL in LSM-HCC, never its logarithm.
A higher score means a higher risk.
Values in other units give plausible scores, so every function checks the range of what it is given.
No score guesses a missing value: it refuses, and `missing_inputs` says beforehand who lacks what.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError

RISK_GROUPS = ("low", "medium", "high")
"""Names of three risk groups, in rising order."""


class Quantity(NamedTuple):
    """What a clinical value may be, and which unit it is likely in when it is not.

    Attributes
    ----------
    unit : str
        Unit that the scores expect.
    least, greatest : float
        Range that is accepted, both ends included.
    if_less, if_greater : str
        Hint where a value lies below or above it.
    zero : bool
        Whether 0 is accepted below `least`, meaning undetectable.
    """

    unit: str
    least: float
    greatest: float
    if_less: str
    if_greater: str
    zero: bool = False

    @property
    def rule(self) -> str:
        """The range in words, as errors say it."""
        zero = "0 (undetectable) or " if self.zero else ""
        return f"must be in {self.unit}, {zero}{self.least:g} to {self.greatest:g}"


_MG_DL = "Values in mg/dL? Multiply them by 17.1 to get umol/L."
_LOGARITHM = "Logarithms? Give 10 to their power, and 0 where HBV DNA is undetectable."
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "age": Quantity("years", 0, 120, "Give the age at the CT in years.", "Months or days? Give years."),
        "bilirubin": Quantity("umol/L", 1, 1000, _MG_DL, "Give total bilirubin in umol/L."),
        "albumin": Quantity(
            "g/L", 10, 70, "Values in g/dL? Multiply them by 10 to get g/L.", "Values in mg/dL? Divide them by 100."
        ),
        "platelets": Quantity(
            "10^9/L", 1, 1500, "Give platelets in 10^9/L (= 10^3/mm^3).", "Values per uL? Divide them by 1000."
        ),
        # No assay counts fewer than about 10 IU/mL, and no logarithm reaches that number.
        "hbv_dna_iu_ml": Quantity("IU/mL", 10, 1e12, _LOGARITHM, "Give HBV DNA in IU/mL.", zero=True),
        "hbv_dna_copies_ml": Quantity("copies/mL", 50, 1e13, _LOGARITHM, "Give HBV DNA in copies/mL.", zero=True),
        "stiffness_kpa": Quantity(
            "kPa", 1, 80, "Give liver stiffness by elastography in kPa.", "Values in Pa? Divide them by 1000."
        ),
    }
)
"""Clinical values that the scores take, by argument."""

COPIES_PER_IU = 5.82
"""Copies of HBV DNA in one international unit.

It depends on the assay: 5.82 for Roche's TaqMan, 3.41 for Abbott's AccuGene (guidelines of the Japan Society of
Hepatology for the management of hepatitis B, 2014, conversion table).
"""

MIN_MEDIAN_BILIRUBIN = 3.0
"""Least median of a cohort's bilirubin that can be in umol/L; below it the values are taken for mg/dL."""

_MIN_COUNT_FOR_MEDIAN = 10


def _checked(name: str, values: ArrayLike, least: float | None = None) -> np.ndarray:
    quantity = QUANTITIES[name] if least is None else QUANTITIES[name]._replace(least=least)
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(name, quantity.rule, repr(values), "Give numbers.") from error
    flat = array.ravel()

    def refuse(bad: np.ndarray, hint: str) -> None:
        if not bad.any():
            return
        position = int(np.flatnonzero(bad)[0])
        label = values.index[position] if isinstance(values, pd.Series) else position
        place = name if array.ndim == 0 else f"{name}, row {label}"
        count = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise DataError(place, quantity.rule, f"{flat[position]:g}{count}", hint)

    refuse(~np.isfinite(flat), "Leave out patients whose value is missing: the score is not defined for them.")
    refuse((flat < quantity.least) & ~(quantity.zero & (flat == 0)), quantity.if_less)
    refuse(flat > quantity.greatest, quantity.if_greater)
    # A cohort in mg/dL can pass the range value by value (1 to 60), but not with such a median.
    if name == "bilirubin" and flat.size >= _MIN_COUNT_FOR_MEDIAN and np.median(flat) < MIN_MEDIAN_BILIRUBIN:
        found = f"a median of {np.median(flat):g}"
        raise DataError(name, f"must be in umol/L, median {MIN_MEDIAN_BILIRUBIN:g} or more", found, _MG_DL)
    return array


_FLAGS = {
    "male": ("must be 1 or True for men, 0 or False for women", "Give male=(sex == 'male')."),
    "cirrhosis": ("must be 1 or True with cirrhosis, 0 or False without", "Leave out patients where it is unknown."),
}


def _checked_flag(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    numeric = array.dtype.kind in "biuf"
    if not numeric or not np.isin(array, (0, 1)).all():
        rule, hint = _FLAGS[name]
        found = pd.unique(pd.Series(array.ravel(), dtype=object).astype(str))
        raise DataError(name, rule, ", ".join(found[:4]), hint)
    return array.astype(float)


def _like(result: np.ndarray, *given: ArrayLike) -> float | np.ndarray | pd.Series:
    """Scalar, array or Series, as the arguments were; all Series must have one index."""
    indexes = [value.index for value in given if isinstance(value, pd.Series)]
    if any(not indexes[0].equals(other) for other in indexes[1:]):
        raise DataError(
            "clinical values",
            "must have the same patients in the same order",
            "Series of different index",
            "Align them.",
        )
    if indexes:
        return pd.Series(result, index=indexes[0])
    return result[()] if np.ndim(result) == 0 else result


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
    score = 0.66 * np.log10(_checked("bilirubin", bilirubin)) - 0.085 * _checked("albumin", albumin)
    return _like(score, bilirubin, albumin)


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
    return _like(1 + np.searchsorted((-2.60, -1.39), _finite("ALBI", albi), side="left"), albi)


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise DataError(
            name, "must be finite", f"{int((~np.isfinite(array)).sum())} missing", "Leave those patients out."
        )
    return array


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
    bilirubin : array-like, shape (n_patients,), or float
        Total bilirubin, umol/L; 1 to 1000.
    albumin : array-like, shape (n_patients,), or float
        Serum albumin, g/L; 10 to 70.
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
    count = _checked("platelets", platelets)
    score = (
        (0.06 * _checked("age", age) + 0.89 * _checked_flag("male", male) + 0.48 * liver - 0.01 * count + 7.4)
        / 14.77
        * 100
    )
    return _like(score, age, male, bilirubin, albumin, platelets)


def amap_group(amap: ArrayLike, low: float = 50.0, high: float = 60.0) -> str | np.ndarray | pd.Series:
    """Risk group of an aMAP score: low below 50, medium from 50 to 60 (both included), high above 60.

    Parameters
    ----------
    amap : array-like, shape (n_patients,), or float
        aMAP score.
    low : float
        Least score of the medium group.
    high : float
        Greatest score of the medium group.

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
    score = _finite("aMAP", amap)
    group = np.where(score < low, "low", np.where(score > high, "high", "medium"))
    return str(group) if group.ndim == 0 else _like(group.astype(object), amap)


# --- scores by points -------------------------------------------------------------------------------------------------


class Bound(NamedTuple):
    """Where the next step of a table begins: at the value, or only above it."""

    value: float
    belongs: bool


def _from(value: float) -> Bound:
    return Bound(value, belongs=True)


def _above(value: float) -> Bound:
    return Bound(value, belongs=False)


class PointItem(NamedTuple):
    """One row of a point table.

    Attributes
    ----------
    name : str
        Argument that it reads.
    bounds : tuple of Bound
        Where the steps begin, rising; for a flag, 1.
    points : tuple of float
        Points below the first bound, and from each bound on.
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
    group_bounds : tuple of Bound
        Scores at which the next risk group begins.
    groups : tuple of str
        Risk groups, rising; one more than `group_bounds`.
    """

    label: str
    items: tuple[PointItem, ...]
    greatest: float
    group_bounds: tuple[Bound, ...]
    groups: tuple[str, ...]


_THRI_CAUSES = MappingProxyType(
    {
        "autoimmune": 0,
        "HCV after SVR": 0,
        "other": 36,
        "NASH": 54,
        "alcohol": 54,
        "steatohepatitis": 54,
        "HCV": 97,
        "HBV": 97,
    }
)
"""The manifest's causes; steatohepatitis is alcoholic or not."""

POINT_SCORES: Mapping[str, PointScore] = MappingProxyType(
    {
        "page_b": PointScore(
            "PAGE-B",
            (
                PointItem(
                    "age", (_from(30), _from(40), _from(50), _from(60), _from(70)), (0, 2, 4, 6, 8, 10), least=16
                ),
                PointItem("male", (_from(1),), (0, 6)),
                PointItem("platelets", (_from(100), _from(200)), (9, 6, 0)),
            ),
            25,
            (_from(10), _from(18)),
            RISK_GROUPS,
        ),
        "mpage_b": PointScore(
            "mPAGE-B",
            (
                PointItem("age", (_from(30), _from(40), _from(50), _from(60), _from(70)), (0, 3, 5, 7, 9, 11)),
                PointItem("male", (_from(1),), (0, 2)),
                PointItem("platelets", (_from(100), _from(150), _from(200), _from(250)), (5, 4, 3, 2, 0)),
                PointItem("albumin", (_from(30), _from(35), _from(40)), (3, 2, 1, 0)),
            ),
            21,
            (_from(9), _from(13)),
            RISK_GROUPS,
        ),
        "cu_hcc": PointScore(
            "CU-HCC",
            (
                PointItem("age", (_above(50),), (0, 3)),
                PointItem("albumin", (_above(35),), (20, 0)),
                PointItem("bilirubin", (_above(18),), (0, 1.5)),
                PointItem("hbv_dna_copies_ml", (_from(1e4), _above(1e6)), (0, 1, 4)),
                PointItem("cirrhosis", (_from(1),), (0, 15)),
            ),
            43.5,
            (_from(5), _from(20)),
            RISK_GROUPS,
        ),
        "lsm_hcc": PointScore(
            "LSM-HCC",
            (
                PointItem("age", (_above(50),), (0, 10)),
                PointItem("albumin", (_above(35),), (1, 0)),
                PointItem("hbv_dna_iu_ml", (_above(2e5),), (0, 5)),
                PointItem("stiffness_kpa", (_above(8), _above(12)), (0, 8, 14)),
            ),
            30,
            (_from(11),),
            ("low", "high"),
        ),
        "thri": PointScore(
            "THRI",
            (
                PointItem("age", (_from(45), _above(60)), (0, 50, 100)),
                PointItem("etiology", choices=_THRI_CAUSES),
                PointItem("male", (_from(1),), (0, 80)),
                PointItem("platelets", (_from(80), _from(140), _above(200)), (89, 70, 20, 0)),
            ),
            366,
            (_from(120), _above(240)),
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
    checked = _checked_flag(item.name, values) if item.name in _FLAGS else _checked(item.name, values, item.least)
    return np.array(item.points, dtype=float)[_step(checked, item.bounds)]


def _point_score(name: str, *given: ArrayLike) -> float | np.ndarray | pd.Series:
    items = POINT_SCORES[name].items
    total = sum(_item_points(item, values) for item, values in zip(items, given, strict=True))
    return _like(total, *given)


def page_b(age: ArrayLike, male: ArrayLike, platelets: ArrayLike) -> float | np.ndarray | pd.Series:
    """PAGE-B score of the five-year risk of HCC under antiviral treatment of hepatitis B.

    Up to 9 low, 10 to 17 medium, 18 and more high risk: see `point_score_group`.

    Parameters
    ----------
    age : array-like, shape (n_patients,), or float
        Years; 16 to 120, because the table begins at 16. Taken as given, not rounded to completed years.
    male : array-like, shape (n_patients,), or bool
        1 or True for men, 0 or False for women.
    platelets : array-like, shape (n_patients,), or float
        Platelet count, 10^9/L; 1 to 1500.

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
    age : array-like, shape (n_patients,), or float
        Years; 0 to 120. Taken as given, not rounded to completed years.
    male : array-like, shape (n_patients,), or bool
        1 or True for men, 0 or False for women.
    platelets : array-like, shape (n_patients,), or float
        Platelet count, 10^9/L; 1 to 1500.
    albumin : array-like, shape (n_patients,), or float
        Serum albumin, g/L; 10 to 70.

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
    age : array-like, shape (n_patients,), or float
        Years; 0 to 120. Taken as given, not rounded to completed years.
    albumin : array-like, shape (n_patients,), or float
        Serum albumin, g/L; 10 to 70.
    bilirubin : array-like, shape (n_patients,), or float
        Total bilirubin, umol/L; 1 to 1000.
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
    age : array-like, shape (n_patients,), or float
        Years; 0 to 120. Taken as given, not rounded to completed years.
    albumin : array-like, shape (n_patients,), or float
        Serum albumin, g/L; 10 to 70.
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
    age : array-like, shape (n_patients,), or float
        Years; 0 to 120. Taken as given, not rounded to completed years.
    etiology : array-like of str, shape (n_patients,), or str
        Cause of cirrhosis: HBV, HCV, HCV after SVR (sustained virological response), NASH, alcohol or
        steatohepatitis (which is one of these two), autoimmune, other.
    male : array-like, shape (n_patients,), or bool
        1 or True for men, 0 or False for women.
    platelets : array-like, shape (n_patients,), or float
        Platelet count, 10^9/L; 1 to 1500.

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

    References
    ----------
    As of the scores; see `POINT_SCORES`.
    """
    if name not in POINT_SCORES:
        raise DataError("score", f"must be one of {', '.join(POINT_SCORES)}", name, "Check the spelling.")
    table = POINT_SCORES[name]
    points = _finite(table.label, score)
    outside = (points < 0) | (points > table.greatest)
    if outside.any():
        raise DataError(
            table.label, f"must be 0 to {table.greatest:g}", f"{points[outside].ravel()[0]:g}", f"Use scores.{name}."
        )
    group = np.array(table.groups, dtype=object)[_step(points, table.group_bounds)]
    return str(group) if points.ndim == 0 else _like(group, score)


def hbv_dna_copies(hbv_dna_iu_ml: ArrayLike, copies_per_iu: float = COPIES_PER_IU) -> float | np.ndarray | pd.Series:
    """HBV DNA in copies/mL, for `cu_hcc`, from IU/mL.

    Parameters
    ----------
    hbv_dna_iu_ml : array-like, shape (n_patients,), or float
        HBV DNA, IU/mL; 0 where undetectable, otherwise 10 to 1e12.
    copies_per_iu : float
        Copies in one IU; it depends on the assay, about 3.4 to 5.8.

    Returns
    -------
    float, numpy.ndarray or pandas.Series
        HBV DNA, copies/mL.

    Raises
    ------
    DataError
        If a value is missing or out of range, or the factor is not 1 to 10.

    References
    ----------
    See `COPIES_PER_IU`.
    """
    if not 1 <= copies_per_iu <= 10:
        raise DataError("copies_per_iu", "must be 1 to 10", f"{copies_per_iu:g}", "Look it up for the assay.")
    return _like(_checked("hbv_dna_iu_ml", hbv_dna_iu_ml) * copies_per_iu, hbv_dna_iu_ml)


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
    absent = inputs.isna() | inputs.eq("")
    reasons = [", ".join(f"no {column}" for column in absent.columns[row]) for row in absent.to_numpy()]
    return pd.Series(reasons, index=table.index, dtype=object, name=name)
