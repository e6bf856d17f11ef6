"""Subgroups of patients, as each paper has them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.scores import RISK_GROUPS, amap_group

_AGE_BOUNDS = (45.0, 55.0)  # years; in aMAP-CT's Table 3, up to 45, above 45 and below 55, 55 and more


def _sexes(clinical: pd.DataFrame, columns: tuple[str, ...], men: str, women: str) -> pd.Categorical:
    """Sex of each patient under a paper's names, missing where it is; the other columns must be there."""
    absent = [name for name in columns if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort stage's table.")
    strange = set(clinical["sex"].dropna()) - {"male", "female"}
    if strange:
        raise DataError("sex", "must be male or female", ", ".join(map(str, sorted(strange))), "Correct the table.")
    return pd.Categorical(clinical["sex"].map({"male": men, "female": women}), [men, women])


def clinical_subgroups(clinical: pd.DataFrame, afp: float = 20.0) -> pd.DataFrame:
    """Subgroup of every patient by age, sex and AFP.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns age (years), sex ("male", "female") and afp (ug/L); missing values allowed.
    afp : float
        AFP that parts the patients, ug/L. ALARM prints no bound; 20 is the usual one.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Categorical columns age, sex, afp whose levels say the bound; missing where the value is. Ages part at the
        median of these patients: for them too, ALARM prints no bound.

    Raises
    ------
    DataError
        If a column is absent or a sex is something else.

    References
    ----------
    ALARM, Statistics; Supplementary A9 and Figure S15.
    """
    sexes = _sexes(clinical, ("age", "sex", "afp"), "Men", "Women")

    def halves(values: pd.Series, at: float, unit: str) -> pd.Categorical:
        levels = [f"< {at:.4g} {unit}", f"≥ {at:.4g} {unit}"]
        # Minus one is the code of a missing value.
        codes = np.where(values.isna(), -1, (values >= at).astype(int))
        return pd.Categorical.from_codes(codes, levels)

    age = halves(clinical["age"], clinical["age"].median(), "years")
    return pd.DataFrame({"age": age, "sex": sexes, "afp": halves(clinical["afp"], afp, "μg/L")}, clinical.index)


def amap_ct_subgroups(clinical: pd.DataFrame, amap_low: float = 50.0, amap_high: float = 60.0) -> pd.DataFrame:
    """Subgroup of every patient by sex, age and aMAP class, as aMAP-CT's Table 3 has them.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns sex ("male", "female"), age (years) and amap.
    amap_low, amap_high : float
        aMAP is low below the first, high above the second, medium from the one to the other.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Categorical columns sex, age and amap_group.

    Raises
    ------
    DataError
        If a column is absent, a sex is something else, or an age or aMAP is missing.

    References
    ----------
    aMAP-CT, Table 3. It prints "45-55" between the other two ages; to which group somebody of exactly 45 or 55
    belongs follows from the other two signs.
    """
    sexes = _sexes(clinical, ("sex", "age", "amap"), "Males", "Females")
    if sexes.isna().any():
        raise DataError("sex", "must not be missing", f"{int(sexes.isna().sum())} missing", "Fill it in.")
    age = clinical["age"].to_numpy(dtype=float)
    if not np.isfinite(age).all():
        raise DataError("age", "must not be missing", f"{int((~np.isfinite(age)).sum())} missing", "Fill it in.")
    young, old = _AGE_BOUNDS
    bands = [f"≤{young:g}", f"{young:g}–{old:g}", f"≥{old:g}"]
    ages = pd.Categorical.from_codes(np.where(age <= young, 0, np.where(age < old, 1, 2)), bands)
    groups = pd.Categorical(amap_group(clinical["amap"], amap_low, amap_high), RISK_GROUPS)
    return pd.DataFrame({"sex": sexes, "age": ages, "amap_group": groups}, clinical.index)
