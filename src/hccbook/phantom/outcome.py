"""Who develops HCC, at which stage, and when."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hccbook.errors import SettingsError
from hccbook.papers import find_paper
from hccbook.phantom.distributions import BCLC_COUNTS, BCLC_STAGES, LEAD_TIME_MEAN
from hccbook.settings import ORGANS, CohortSettings

MIN_MONTHS, MAX_MONTHS = 3.0, 12.0
"""Window of ALARM between CT and diagnosis or last follow-up, months (Methods, Study design and patients)."""

_LEAD_CONCENTRATION = 4.0
_EVENT_TIME_POWER = 1.75
"""Above 1, HCC comes rather late in follow-up; chosen so that the three-year incidence at the printed cohort
sizes is the printed 3.59 % (aMAP-CT, Results, Patient characteristics)."""


class CohortSize(NamedTuple):
    """Size of one cohort.

    Attributes
    ----------
    name : str
    patients, hcc : int
        Patients, and those of them who develop HCC.
    """

    name: str
    patients: int
    hcc: int


def cohort_sizes(paper: str, settings: CohortSettings) -> tuple[CohortSize, ...]:
    """Cohorts of a paper in the order development, validation, test.

    Raises
    ------
    SettingsError
        If a cohort has more HCC than patients.
    """
    sizes = []
    for name, prefix in find_paper(paper).size_settings.items():
        patients, hcc = getattr(settings, prefix), getattr(settings, f"{prefix}_hcc")
        if hcc > patients:
            raise SettingsError(
                f"{prefix}_hcc",
                f"must be at most the {patients} patients of {prefix}",
                hcc,
                f"Lower {prefix}_hcc or raise {prefix}.",
            )
        sizes.append(CohortSize(name, patients, hcc))
    return tuple(sizes)


def planted_shifts(paper: str, settings: CohortSettings) -> dict[str, float]:
    """How far HCC moves the latent risk of each organ, in SD.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    settings : CohortSettings

    Returns
    -------
    dict of str to float
        Shift by organ; 0 with ``effect: none``, and for the spleen in ALARM, which reads livers only.
    """
    planted = float(settings.effect == "planted")
    read = find_paper(paper).organs
    return {organ: planted * getattr(settings, f"{paper}_{organ}_effect") if organ in read else 0.0 for organ in ORGANS}


def hcc_ranks(paper: str, cohort: int, size: CohortSize, seed: int) -> np.ndarray:
    """Which patients of a cohort develop HCC.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    cohort : int
        Position of the cohort within the paper.
    size : CohortSize
    seed : int

    Returns
    -------
    ndarray of shape (size.patients,), int
        -1 without HCC, otherwise the patient's rank among the cohort's HCC, from 0.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, find_paper(paper).number, 10_000_019, cohort]))
    ranks = np.full(size.patients, -1)
    ranks[rng.permutation(size.patients)[: size.hcc]] = np.arange(size.hcc)
    return ranks


def bclc_stage(cohort: str, rank: int, hcc: int) -> str:
    """BCLC stage of the patient at `rank` among `hcc`, so that the printed shares come out.

    At the printed number of HCC the printed counts come out exactly (ALARM, Table 1).
    """
    counts = np.cumsum(BCLC_COUNTS[cohort])
    return BCLC_STAGES[int(np.searchsorted(counts, (rank + 0.5) / hcc * counts[-1]))]


def lead_time(stage: str, rng: np.random.Generator) -> float:
    """Months from the CT to the diagnosis of HCC, 3 to 12, with the stage's printed mean."""
    share = (LEAD_TIME_MEAN[stage] - MIN_MONTHS) / (MAX_MONTHS - MIN_MONTHS)
    draw = rng.beta(share * _LEAD_CONCENTRATION, (1.0 - share) * _LEAD_CONCENTRATION)
    return MIN_MONTHS + (MAX_MONTHS - MIN_MONTHS) * draw


def time_to_hcc(follow_up: float, rng: np.random.Generator) -> float:
    """Months from enrolment to HCC within a follow-up that would have lasted `follow_up` months (aMAP-CT)."""
    return MIN_MONTHS + (follow_up - MIN_MONTHS) * rng.random() ** (1.0 / _EVENT_TIME_POWER)
