"""Clinical values that the scores take: units, ranges, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError


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
    min_median : float or None
        Least median that people with cirrhosis can have in this unit; below it `if_less` is the likely reason.
    """

    unit: str
    least: float
    greatest: float
    if_less: str
    if_greater: str
    zero: bool = False
    min_median: float | None = None

    @property
    def rule(self) -> str:
        """The range in words, as errors say it."""
        zero = "0 (undetectable) or " if self.zero else ""
        return f"must be in {self.unit}, {zero}{self.least:g} to {self.greatest:g}"


_LOGARITHM = "Logarithms? Give 10 to their power, and 0 where HBV DNA is undetectable."
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "age": Quantity(
            "years",
            0,
            120,
            "Give the age at the CT in years.",
            "Months, days or a year of birth? Give the age at the CT in years.",
        ),
        "bilirubin": Quantity(
            "umol/L",
            2,
            1000,
            "Values in mg/dL? Multiply bilirubin by 17.1 to get umol/L.",
            "Give total bilirubin in umol/L.",
            min_median=3,
        ),
        "albumin": Quantity(
            "g/L",
            10,
            70,
            "Values in g/dL? Multiply albumin by 10 to get g/L.",
            "Values in mg/dL or umol/L? Divide albumin by 100 (mg/dL) or by 15.0 (umol/L) to get g/L.",
        ),
        "platelets": Quantity(
            "10^9/L",
            1,
            1500,
            "Values in 10^4/uL? Multiply platelets by 10 to get 10^9/L.",
            "Values per uL (mm^3)? Divide platelets by 1000 to get 10^9/L.",
            min_median=30,
        ),
        # No assay counts fewer than about 10 IU/mL, and no logarithm reaches that number.
        "hbv_dna_iu_ml": Quantity("IU/mL", 10, 1e12, _LOGARITHM, "Give HBV DNA in IU/mL.", zero=True),
        "hbv_dna_copies_ml": Quantity("copies/mL", 50, 1e13, _LOGARITHM, "Give HBV DNA in copies/mL.", zero=True),
        "stiffness_kpa": Quantity(
            "kPa", 1, 80, "Give liver stiffness by elastography in kPa.", "Values in Pa? Divide them by 1000."
        ),
        # The constants 7.4 and 14.77 were chosen to give this range (Fan 2020).
        "amap": Quantity(
            "points", 0, 100, "Work aMAP out from its five values.", "Work aMAP out from its five values."
        ),
        "ct_image": Quantity(
            "standard deviations",
            -10,
            10,
            "Give aMAP-CT's image score, standardised.",
            "Is a decimal point missing? Give aMAP-CT's image score.",
        ),
    }
)
"""What scores and web pages take, by argument: the bounds of scores, manifest and web pages."""

_MIN_COUNT_FOR_MEDIAN = 10


def checked(name: str, values: ArrayLike, least: float | None = None) -> np.ndarray:
    """Values of a quantity as float, each within its range; `least` stands in for the lower end."""
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
    # A cohort in mg/dL can pass the range value by value (2 to 60), but not with such a median.
    least_median = quantity.min_median
    if least_median is not None and flat.size >= _MIN_COUNT_FOR_MEDIAN and np.median(flat) < least_median:
        found = f"a median of {np.median(flat):g}"
        raise DataError(name, f"must be in {quantity.unit}, median {least_median:g} or more", found, quantity.if_less)
    return array


FLAGS = {
    "male": ("must be 1 or True for men, 0 or False for women", "Give male=(sex == 'male')."),
    "cirrhosis": ("must be 1 or True with cirrhosis, 0 or False without", "Leave out patients where it is unknown."),
}


def checked_flag(name: str, values: ArrayLike) -> np.ndarray:
    """Values of a yes-or-no quantity as 0.0 and 1.0."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        rule, hint = FLAGS[name]
        found = pd.unique(pd.Series(array.ravel(), dtype=object).astype(str))
        raise DataError(name, rule, ", ".join(found[:4]), hint)
    return array.astype(float)


def like_given(result: np.ndarray, *given: ArrayLike) -> Any:
    """Scalar, array or Series, as the arguments were; all Series must have one index."""
    indexes = [value.index for value in given if isinstance(value, pd.Series)]
    if any(not indexes[0].equals(other) for other in indexes[1:]):
        rule = "must have the same patients in the same order"
        raise DataError("clinical values", rule, "Series of different index", "Align them.")
    if indexes:
        return pd.Series(result, index=indexes[0])
    return result[()] if np.ndim(result) == 0 else result


def checked_finite(name: str, values: ArrayLike) -> np.ndarray:
    """Values as float, none missing or infinite."""
    array = np.asarray(values, dtype=float)
    missing = int((~np.isfinite(array)).sum())
    if missing:
        raise DataError(name, "must be finite", f"{missing} missing", "Leave those patients out.")
    return array
