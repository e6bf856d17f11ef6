"""Published clinical scores, from age, sex and blood tests.

Units are those of the book's conventions: years, bilirubin umol/L, albumin g/L, platelets 10^9/L.
A higher score means a higher risk.
Values in other units give plausible scores, so every function checks the range of what it is given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError

RISK_GROUPS = ("low", "medium", "high")
"""Names of three risk groups, in rising order."""


class _Quantity(NamedTuple):
    """What a clinical value may be, and which unit it is likely in when it is not."""

    unit: str
    least: float
    greatest: float
    if_less: str
    if_greater: str


_MG_DL = "Values in mg/dL? Multiply them by 17.1 to get umol/L."
_QUANTITIES = {
    "age": _Quantity("years", 0, 120, "Give the age at the CT in years.", "Months or days? Give years."),
    "bilirubin": _Quantity("umol/L", 1, 1000, _MG_DL, "Give total bilirubin in umol/L."),
    "albumin": _Quantity(
        "g/L", 10, 70, "Values in g/dL? Multiply them by 10 to get g/L.", "Values in mg/dL? Divide them by 100."
    ),
    "platelets": _Quantity(
        "10^9/L", 1, 1500, "Give platelets in 10^9/L (= 10^3/mm^3).", "Values per uL? Divide them by 1000."
    ),
}
_LEAST_MEDIAN_BILIRUBIN = 3.0
_LEAST_COUNT_FOR_MEDIAN = 10


def _checked(name: str, values: ArrayLike) -> np.ndarray:
    quantity = _QUANTITIES[name]
    rule = f"must be in {quantity.unit}, {quantity.least} to {quantity.greatest}"
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(name, rule, repr(values), "Give numbers.") from error
    flat = array.ravel()

    def refuse(bad: np.ndarray, cure: str) -> None:
        if not bad.any():
            return
        position = int(np.flatnonzero(bad)[0])
        label = values.index[position] if isinstance(values, pd.Series) else position
        place = name if array.ndim == 0 else f"{name}, row {label}"
        count = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise DataError(place, rule, f"{flat[position]:g}{count}", cure)

    refuse(~np.isfinite(flat), "Leave out patients whose value is missing: the score is not defined for them.")
    refuse(flat < quantity.least, quantity.if_less)
    refuse(flat > quantity.greatest, quantity.if_greater)
    # A cohort in mg/dL can pass the range value by value (1 to 60), but not with such a median.
    if name == "bilirubin" and flat.size >= _LEAST_COUNT_FOR_MEDIAN and np.median(flat) < _LEAST_MEDIAN_BILIRUBIN:
        found = f"a median of {np.median(flat):g}"
        raise DataError(name, f"must be in umol/L, median {_LEAST_MEDIAN_BILIRUBIN:g} or more", found, _MG_DL)
    return array


def _checked_male(male: ArrayLike) -> np.ndarray:
    array = np.asarray(male)
    numeric = array.dtype.kind in "biuf"
    if not numeric or not np.isin(array, (0, 1)).all():
        found = pd.unique(pd.Series(array.ravel(), dtype=object).astype(str))
        raise DataError(
            "male",
            "must be 1 or True for men, 0 or False for women",
            ", ".join(found[:4]),
            "Give male=(sex == 'male').",
        )
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
    score = (0.06 * _checked("age", age) + 0.89 * _checked_male(male) + 0.48 * liver - 0.01 * count + 7.4) / 14.77 * 100
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
