"""Printed distributions of the clinical values, and quantile functions that go through them.

What Table 1 of each paper prints is read from ``data/published``; `_CORRECTIONS` replaces its obvious slips.
What neither paper prints (correlations, shifts of a paper that does not split its Table 1 by outcome) is chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy import stats

from hccbook.papers import find_paper, published

Quartiles = tuple[float, float, float]

UPPER_QUARTILE_Z = float(stats.norm.ppf(0.75))
"""Third quartile of the standard normal."""


class Quantity(NamedTuple):
    """How one clinical value is simulated.

    A skewed one takes its quartiles on a ``log`` scale; no patient passes ``least`` and ``greatest``, in the value's
    unit; ``decimals`` are those that laboratories report.
    """

    log: bool
    least: float
    greatest: float
    decimals: int


QUANTITIES: dict[str, Quantity] = {
    "age": Quantity(False, 18.0, 86.0, 1),
    "bilirubin": Quantity(True, 3.0, 220.0, 1),
    "albumin": Quantity(False, 18.0, 54.0, 1),
    "platelets": Quantity(True, 15.0, 420.0, 0),
    "afp": Quantity(True, 0.5, 400.0, 1),
    "alt": Quantity(True, 6.0, 400.0, 0),
    "ast": Quantity(True, 8.0, 400.0, 0),
    "creatinine": Quantity(True, 25.0, 260.0, 0),
    "bun": Quantity(True, 1.2, 20.0, 1),
    "glucose": Quantity(True, 3.0, 20.0, 1),
    "stiffness_kpa": Quantity(True, 2.5, 75.0, 1),
    "months": Quantity(False, 3.2, 68.0, 1),
}
"""Simulated quantities; units are the manifest's (umol/L, g/L, 10^9/L, ug/L, IU/L, mmol/L, kPa, months)."""

LATENTS = tuple(name for name in QUANTITIES if name != "months")
"""Values that share the Gaussian copula, in the order of its correlation matrix."""

_CORRELATIONS = {
    ("age", "platelets"): -0.15,
    ("age", "albumin"): -0.15,
    ("bilirubin", "albumin"): -0.35,
    ("bilirubin", "platelets"): -0.25,
    ("albumin", "platelets"): 0.25,
    ("alt", "ast"): 0.70,
    ("ast", "bilirubin"): 0.30,
    ("ast", "albumin"): -0.20,
    ("ast", "afp"): 0.30,
    ("alt", "afp"): 0.20,
    ("stiffness_kpa", "platelets"): -0.30,
    ("stiffness_kpa", "albumin"): -0.25,
    ("stiffness_kpa", "bilirubin"): 0.30,
    ("stiffness_kpa", "ast"): 0.25,
    ("creatinine", "bun"): 0.45,
    ("age", "creatinine"): 0.15,
    ("age", "bun"): 0.20,
    ("age", "glucose"): 0.15,
}
"""Correlations of the latents within a cohort and outcome group; a choice, since neither paper prints any.

Modest ones that every hepatologist would expect: liver function, portal hypertension and inflammation move together.
"""


def latent_correlation() -> np.ndarray:
    """Correlation matrix of the copula, shape (n_latents, n_latents)."""
    matrix = np.eye(len(LATENTS))
    for (a, b), value in _CORRELATIONS.items():
        i, j = LATENTS.index(a), LATENTS.index(b)
        matrix[i, j] = matrix[j, i] = value
    return matrix


AMAP_SHIFT: dict[str, float] = {
    "age": 0.80,
    "bilirubin": 0.25,
    "albumin": -0.25,
    "platelets": -0.60,
    "afp": 1.10,
    "alt": 0.20,
    "stiffness_kpa": 0.40,
}
"""Direction in which HCC shifts the latents in aMAP-CT, SD units; the pattern of ALARM's two columns."""

AMAP_SHIFT_SIZE: dict[str, float] = {"training": 0.63, "validation": 0.63, "test": 0.72}
"""Size of the shift by cohort, chosen so that aMAP's AUC is near the printed 0.643, 0.686 and 0.692 (Table 4)."""

MEASURED: dict[str, tuple[str, ...]] = {"alarm": LATENTS, "amap_ct": tuple(AMAP_SHIFT)}
"""Values that a paper's cohort has."""

_ROW_NAMES = {
    "Age": "age",
    "Sex (Male)": "male",
    "Male": "male",
    "Follow-up time": "months",
    "aMAP score ^b": "amap",
    "AST": "ast",
    "ALT": "alt",
    "Total bilirubin": "bilirubin",
    "TBIL": "bilirubin",
    "Albumin": "albumin",
    "Platelet": "platelets",
    "PLT": "platelets",
    "Creatinine": "creatinine",
    "Bun": "bun",
    "Glucose": "glucose",
    "AFP": "afp",
    "LSM": "stiffness_kpa",
    "header": "patients",
    "Total patients": "patients",
}
"""What the rows of the papers' Tables 1, without their units, are called here."""

_CORRECTIONS: dict[tuple[str, str], dict[str, Quartiles]] = {
    # Printed as 0 (0.0) of 13, but 78 men with HCC in all less 41 and 24 leave 13.
    ("internal_validation", "HCC"): {"male": (np.nan, 13.0, np.nan)},
    # Printed as 4.5 (3.8, 5.4), the cell of urea nitrogen one row up; the discovery cohort's stands here.
    ("internal_validation", "non-HCC"): {"glucose": (4.9, 5.3, 5.8)},
}
"""Slips of print in ALARM's Table 1, by cohort and outcome group: what stands in for them.

The upper quartile of ALBI in the discovery cohort's HCC is another; ALBI is computed, so that nobody reads it here.
"""


def prints_outcomes(paper: str) -> bool:
    """Whether the paper's Table 1 tells patients with HCC from those without."""
    return find_paper(paper).compares == "outcomes"


@cache
def table_1(paper: str, cohort: str, hcc: bool = False) -> Mapping[str, Quartiles]:
    """Column of a paper's Table 1, corrected.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    cohort : str
        One of the paper's, or ``"all"``.
    hcc : bool
        Outcome group; ignored in aMAP-CT, which prints whole cohorts.

    Returns
    -------
    mapping of str to (float, float, float)
        First quartile, median and third quartile by value; for counts, the number between two NaN.
        In the order of print. Rows that are no value of the simulation keep their printed name.
    """
    group = ("HCC" if hcc else "non-HCC") if prints_outcomes(paper) else ""
    table = published.table(paper, "Table 1")
    column = (table["cohort"] == cohort) & (table["subgroup"] == group) & table["quantity"].isin(["median", "count"])
    names = table.loc[column, "row"].str.partition(",")[0].replace(_ROW_NAMES)
    cells = table.loc[column, ["lower_number", "number", "upper_number"]].itertuples(index=False, name=None)
    return MappingProxyType(dict(zip(names, cells, strict=True)) | _CORRECTIONS.get((cohort, group), {}))


def quartiles(paper: str, cohort: str, hcc: bool, name: str) -> Quartiles:
    """Printed quartiles of one of `QUANTITIES`, or of the group that stands in for it (see `table_1`)."""
    column = table_1(paper, cohort, hcc)
    # aMAP-CT prints no stiffness, though LSM-HCC was computed; ALARM's "All" columns come from the same PreCar cohort.
    return column[name] if name in column else table_1("alarm", "all")[name]


@cache
def male_share(paper: str, cohort: str, hcc: bool) -> float:
    """Share of men in a cohort and outcome group."""
    men, patients = (table_1(paper, cohort, hcc)[name][1] for name in ("male", "patients"))
    if prints_outcomes(paper):
        return men / patients
    # Table 3, whose subgroups are split by sex, has the men by outcome.
    cases, men_with_hcc = (
        published.value(paper, "HCC count", place="Table 3", cohort=cohort, subgroup=group).number
        for group in ("", "Males")
    )
    return men_with_hcc / cases if hcc else (men - men_with_hcc) / (patients - cases)


@cache
def cause_counts(paper: str, cohort: str, hcc: bool) -> Mapping[str, float]:
    """Patients of a cohort and outcome group by cause of cirrhosis, in the order of print."""
    counts = {}
    for row, (_, count, _) in table_1(paper, cohort, hcc).items():
        heading, _, cause = row.removesuffix(" ^a").partition(": ")
        if heading.lower().endswith("etiology"):
            counts[cause if cause.isupper() else cause.lower()] = count
    return MappingProxyType(counts)


@cache
def bclc_counts(cohort: str) -> Mapping[str, float]:
    """Patients with HCC of one of ALARM's cohorts by BCLC stage at diagnosis."""
    rows = table_1("alarm", cohort, True).items()
    return MappingProxyType({row[-1]: count for row, (_, count, _) in rows if row.startswith("HCC BCLC stage: ")})


@cache
def mean_lead_time(stage: str) -> float:
    """Mean months from the CT to the diagnosis by BCLC stage (ALARM, Results, Patient characteristics)."""
    row = f"time from CT to HCC, BCLC stage {stage}"
    return published.value("alarm", "mean", place="Results, Patient characteristics", row=row).number


@dataclass(frozen=True)
class QuantileFunction:
    """Monotone function from a standard normal latent to a clinical value, through three quartiles.

    Between the quartiles it is linear in the latent on either side of the median (a split normal),
    on a log scale for skewed values; beyond them it keeps its slope and bends towards the bounds of the quantity.
    """

    quartiles: Quartiles
    quantity: Quantity

    def __call__(self, latent: np.ndarray) -> np.ndarray:
        """Value, unrounded, at a standard normal latent; a higher latent is a higher value."""
        scale = np.log if self.quantity.log else np.asarray
        low, middle, high = (float(scale(value)) for value in self.quartiles)
        least, greatest = float(scale(self.quantity.least)), float(scale(self.quantity.greatest))
        latent = np.asarray(latent, dtype=float)
        inner = np.clip(latent, -UPPER_QUARTILE_Z, UPPER_QUARTILE_Z)
        below, above = middle - low, high - middle
        value = middle + inner / UPPER_QUARTILE_Z * np.where(inner < 0, below, above)
        # A quartile that touches the median leaves no slope for the tail; half the other side's stands in.
        slope_low = max(below, 0.5 * above) / UPPER_QUARTILE_Z
        slope_high = max(above, 0.5 * below) / UPPER_QUARTILE_Z
        over = np.clip(latent - UPPER_QUARTILE_Z, 0.0, None)
        under = np.clip(-latent - UPPER_QUARTILE_Z, 0.0, None)
        value = value + (greatest - high) * -np.expm1(-over * slope_high / (greatest - high))
        value = value - (low - least) * -np.expm1(-under * slope_low / (low - least))
        return np.exp(value) if self.quantity.log else value
