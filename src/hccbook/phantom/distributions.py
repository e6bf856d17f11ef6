"""Printed distributions of the clinical values, and quantile functions that go through them.

Each entry of `QUARTILES` is (first quartile, median, third quartile) as Table 1 of the paper prints it.
Where the print is an obvious slip, what stands here instead, and why, is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from hccbook.papers import find_paper

Quartiles = tuple[float, float, float]

_UPPER_QUARTILE_Z = float(stats.norm.ppf(0.75))


class Quantity(NamedTuple):
    """How one clinical value is simulated.

    Attributes
    ----------
    log : bool
        Whether its distribution is skewed, so that the quartiles are taken on a log scale.
    least, greatest : float
        Bounds that no simulated patient passes, in the value's unit.
    decimals : int
        Decimals that laboratories report.
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


# ALARM, Table 1, by cohort and outcome group.
_ALARM: dict[str, dict[str, dict[str, Quartiles]]] = {
    "discovery": {
        "non_hcc": {
            "age": (42.0, 48.3, 55.2),
            "ast": (22.0, 28.0, 38.0),
            "alt": (21.0, 28.0, 40.0),
            "bilirubin": (11.2, 15.6, 22.1),
            "albumin": (40.0, 43.2, 46.1),
            "platelets": (81.0, 122.0, 163.5),
            "creatinine": (63.5, 74.0, 84.0),
            "bun": (3.8, 4.5, 5.4),
            "glucose": (4.9, 5.3, 5.8),
            "afp": (1.6, 2.7, 4.8),
            "stiffness_kpa": (9.3, 13.5, 21.8),
        },
        "hcc": {
            "age": (52.3, 57.8, 62.9),
            "ast": (26.0, 35.0, 54.0),
            "alt": (24.0, 34.0, 46.0),
            "bilirubin": (14.1, 20.7, 34.9),
            # The row of ALBI prints an upper quartile of 11.9 here; ALBI is computed from these instead.
            "albumin": (33.3, 40.6, 44.8),
            "platelets": (68.0, 95.0, 132.0),
            "creatinine": (64.0, 76.0, 84.0),
            "bun": (4.2, 4.9, 6.4),
            "glucose": (5.1, 5.4, 6.0),
            "afp": (2.9, 6.2, 13.2),
            "stiffness_kpa": (14.7, 21.8, 38.5),
        },
    },
    "internal_validation": {
        "non_hcc": {
            "age": (41.5, 48.6, 54.2),
            "ast": (23.0, 28.0, 36.0),
            "alt": (21.0, 28.0, 39.0),
            "bilirubin": (11.9, 16.1, 24.8),
            "albumin": (40.3, 44.0, 46.7),
            "platelets": (76.0, 118.5, 164.8),
            "creatinine": (65.2, 74.0, 84.0),
            "bun": (3.8, 4.5, 5.4),
            # Printed as 4.5 (3.8, 5.4), the cell of urea nitrogen one row up; the discovery cohort's stands here.
            "glucose": (4.9, 5.3, 5.8),
            "afp": (1.6, 2.6, 4.4),
            "stiffness_kpa": (8.5, 13.4, 22.4),
        },
        "hcc": {
            "age": (49.5, 58.6, 64.4),
            "ast": (21.0, 36.0, 44.0),
            "alt": (23.0, 30.0, 33.0),
            "bilirubin": (11.6, 17.9, 32.9),
            "albumin": (34.2, 34.5, 41.9),
            "platelets": (66.0, 95.0, 138.0),
            "creatinine": (63.0, 72.0, 94.0),
            "bun": (4.5, 4.6, 5.5),
            "glucose": (4.9, 5.4, 5.8),
            "afp": (2.7, 8.1, 14.7),
            "stiffness_kpa": (10.5, 16.7, 24.9),
        },
    },
    "external_validation": {
        "non_hcc": {
            "age": (45.5, 52.3, 59.8),
            "ast": (24.5, 32.4, 45.1),
            "alt": (21.0, 29.0, 43.4),
            "bilirubin": (13.1, 17.8, 27.1),
            "albumin": (37.0, 42.2, 45.4),
            "platelets": (75.0, 104.0, 142.0),
            "creatinine": (54.0, 65.0, 76.0),
            "bun": (3.9, 4.7, 5.7),
            "glucose": (4.9, 5.4, 6.0),
            "afp": (2.1, 3.4, 6.5),
            "stiffness_kpa": (9.9, 14.0, 20.7),
        },
        "hcc": {
            "age": (51.9, 58.2, 66.9),
            "ast": (29.0, 39.0, 55.0),
            "alt": (24.5, 34.6, 56.5),
            "bilirubin": (13.8, 18.7, 30.6),
            "albumin": (33.1, 42.1, 45.8),
            "platelets": (71.0, 95.0, 135.5),
            "creatinine": (57.0, 69.0, 79.5),
            "bun": (4.1, 4.8, 6.0),
            "glucose": (4.9, 5.4, 5.6),
            "afp": (4.2, 8.0, 15.9),
            "stiffness_kpa": (11.2, 13.2, 20.0),
        },
    },
}

# aMAP-CT, Table 1, by cohort; the paper does not split it by outcome.
_AMAP_CT: dict[str, dict[str, Quartiles]] = {
    "training": {
        "months": (15.9, 33.2, 37.2),
        "age": (45.2, 52.48, 59.5),
        "alt": (20.0, 28.0, 41.0),
        "bilirubin": (12.7, 17.19, 26.0),
        "albumin": (38.9, 43.0, 46.0),
        "platelets": (71.0, 105.0, 145.0),
        "afp": (2.1, 3.22, 5.81),
    },
    "validation": {
        "months": (15.8, 33.8, 37.3),
        "age": (44.3, 50.52, 57.1),
        "alt": (20.0, 27.0, 39.1),
        "bilirubin": (12.9, 17.0, 23.7),
        "albumin": (38.9, 43.25, 46.3),
        "platelets": (74.8, 102.0, 148.3),
        "afp": (2.0, 3.1, 4.9),
    },
    "test": {
        "months": (50.0, 53.8, 58.0),
        "age": (41.1, 47.74, 54.6),
        "alt": (21.0, 29.0, 40.0),
        "bilirubin": (11.1, 15.5, 22.4),
        "albumin": (40.7, 43.7, 46.4),
        "platelets": (83.0, 125.0, 165.8),
        "afp": (1.6, 2.66, 4.8),
    },
}
# aMAP-CT prints no stiffness, though LSM-HCC was computed; ALARM's "All" columns come from the same PreCar cohort.
_STIFFNESS_ALL = (9.4, 13.7, 21.1)

MEASURED: dict[str, tuple[str, ...]] = {
    "alarm": LATENTS,
    "amap_ct": ("age", "bilirubin", "albumin", "platelets", "afp", "alt", "stiffness_kpa"),
}
"""Values that a paper's cohort has."""

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

MALE: dict[str, dict[str, dict[str, float]]] = {
    "alarm": {
        "discovery": {"non_hcc": 742 / 879, "hcc": 41 / 45},
        # Printed as 0 (0.0) of 13, but 78 men with HCC in all less 41 and 24 leave 13.
        "internal_validation": {"non_hcc": 191 / 218, "hcc": 13 / 13},
        "external_validation": {"non_hcc": 478 / 672, "hcc": 24 / 31},
    },
    # Men by outcome from Table 3, whose subgroups are split by sex.
    "amap_ct": {
        "training": {"non_hcc": (544 - 16) / (809 - 24), "hcc": 16 / 24},
        "validation": {"non_hcc": (260 - 10) / (348 - 11), "hcc": 10 / 11},
        "test": {"non_hcc": (1075 - 78) / (1254 - 83), "hcc": 78 / 83},
    },
}
"""Share of men by paper, cohort and outcome group."""

_ETIOLOGY_ALARM = ("HBV", "HCV", "NASH", "alcohol", "other")
ETIOLOGY: dict[str, dict[str, dict[str, tuple[tuple[str, float], ...]]]] = {
    "alarm": {
        cohort: {group: tuple(zip(_ETIOLOGY_ALARM, counts, strict=True)) for group, counts in groups.items()}
        for cohort, groups in {
            "discovery": {"non_hcc": (814, 29, 1, 20, 15), "hcc": (42, 1, 0, 1, 1)},
            "internal_validation": {"non_hcc": (208, 4, 0, 3, 3), "hcc": (13, 0, 0, 0, 0)},
            "external_validation": {"non_hcc": (541, 26, 8, 26, 71), "hcc": (27, 2, 0, 1, 1)},
        }.items()
    },
    "amap_ct": {
        cohort: {group: (("HBV", hbv), ("other", other)) for group in ("non_hcc", "hcc")}
        for cohort, (hbv, other) in {"training": (685, 124), "validation": (315, 33), "test": (1206, 48)}.items()
    },
}
"""Counts of the causes of cirrhosis by paper, cohort and outcome group (Table 1)."""

BCLC_STAGES = ("0", "A", "B", "C", "D")
BCLC_COUNTS: dict[str, tuple[int, ...]] = {
    "discovery": (13, 14, 3, 11, 4),
    "internal_validation": (8, 2, 0, 1, 2),
    "external_validation": (11, 4, 11, 4, 1),
}
"""Patients with HCC by BCLC stage at diagnosis (ALARM, Table 1)."""

LEAD_TIME_MEAN: dict[str, float] = {"0": 6.0, "A": 6.8, "B": 7.2, "C": 11.0, "D": 9.7}
"""Mean months from the CT to the diagnosis by BCLC stage (ALARM, Results, Patient characteristics)."""


def prints_outcomes(paper: str) -> bool:
    """Whether the paper's Table 1 tells patients with HCC from those without."""
    return find_paper(paper).compares == "outcomes"


def quartiles(paper: str, cohort: str, hcc: bool, name: str) -> Quartiles:
    """Printed quartiles of a value, or of the group that stands in for it.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    cohort : str
    hcc : bool
        Outcome group; ignored in aMAP-CT, which prints whole cohorts.
    name : str
        One of `QUANTITIES`.
    """
    if prints_outcomes(paper):
        return _ALARM[cohort]["hcc" if hcc else "non_hcc"][name]
    return _AMAP_CT[cohort].get(name, _STIFFNESS_ALL)


@dataclass(frozen=True)
class QuantileFunction:
    """Monotone function from a standard normal latent to a clinical value, through three quartiles.

    Between the quartiles it is linear in the latent on either side of the median (a split normal),
    on a log scale for skewed values; beyond them it keeps its slope and bends towards the bounds.

    Parameters
    ----------
    quartiles : tuple of float
        First quartile, median, third quartile.
    quantity : Quantity
        Scale and bounds.
    """

    quartiles: Quartiles
    quantity: Quantity

    def __call__(self, latent: np.ndarray) -> np.ndarray:
        """Value at a latent; unrounded.

        Parameters
        ----------
        latent : ndarray
            Standard normal; a higher latent is a higher value.
        """
        scale = np.log if self.quantity.log else np.asarray
        low, middle, high = (float(scale(value)) for value in self.quartiles)
        least, greatest = float(scale(self.quantity.least)), float(scale(self.quantity.greatest))
        latent = np.asarray(latent, dtype=float)
        inner = np.clip(latent, -_UPPER_QUARTILE_Z, _UPPER_QUARTILE_Z)
        below, above = middle - low, high - middle
        value = middle + inner / _UPPER_QUARTILE_Z * np.where(inner < 0, below, above)
        # A quartile that touches the median leaves no slope for the tail; half the other side's stands in.
        slope_low = max(below, 0.5 * above) / _UPPER_QUARTILE_Z
        slope_high = max(above, 0.5 * below) / _UPPER_QUARTILE_Z
        over = np.clip(latent - _UPPER_QUARTILE_Z, 0.0, None)
        under = np.clip(-latent - _UPPER_QUARTILE_Z, 0.0, None)
        value = value + (greatest - high) * -np.expm1(-over * slope_high / (greatest - high))
        value = value - (low - least) * -np.expm1(-under * slope_low / (low - least))
        return np.exp(value) if self.quantity.log else value
