"""Who develops HCC, at which stage, and when."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hccbook.errors import SettingsError
from hccbook.papers import find_paper
from hccbook.phantom.distributions import QUANTITIES, QuantileFunction, bclc_counts, mean_lead_time, quartiles
from hccbook.settings import ORGANS, CohortSettings

_LEAD_CONCENTRATION = 4.0
_EVENT_TIME_POWER = 1.75
"""Above 1, HCC comes rather late in follow-up; chosen so that the three-year incidence at the printed cohort
sizes is the printed 3.59 % (aMAP-CT, Results, Patient characteristics)."""


class CohortSize(NamedTuple):
    """Size of one cohort: its patients, and those of them who develop HCC."""

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
            rule = f"must be at most the {patients} patients of {prefix}"
            raise SettingsError(f"{prefix}_hcc", rule, hcc, f"Lower {prefix}_hcc or raise {prefix}.")
        sizes.append(CohortSize(name, patients, hcc))
    return tuple(sizes)


def planted_shifts(paper: str, settings: CohortSettings) -> dict[str, float]:
    """How far HCC moves the latent risk of each organ, in SD.

    It is 0 with ``effect: none``, and for an organ that the paper does not read, such as the spleen in ALARM.
    """
    planted = float(settings.effect == "planted")
    read = find_paper(paper).organs
    return {organ: planted * getattr(settings, f"{paper}_{organ}_effect") if organ in read else 0.0 for organ in ORGANS}


def hcc_ranks(paper: str, cohort: int, size: CohortSize, seed: int) -> np.ndarray:
    """Which patients of the cohort at this place in the paper develop HCC, shape (size.patients,), int.

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
    printed = bclc_counts(cohort)
    counts = np.cumsum(list(printed.values()))
    return list(printed)[int(np.searchsorted(counts, (rank + 0.5) / hcc * counts[-1]))]


def disease_course(paper: str, size: CohortSize, rank: int, rng: np.random.Generator) -> tuple[str, float]:
    """BCLC stage at the diagnosis of HCC, and months to it or to the last visit.

    Returns
    -------
    stage : str
        Empty without HCC, that is at a `rank` of -1, and in a paper without a greatest time.
    months : float
        With a greatest time, within the paper's window, the mean of each stage as printed; otherwise HCC comes
        within the follow-up that would have been.
    """
    earliest, latest = find_paper(paper).months
    if np.isfinite(latest):
        stage = bclc_stage(size.name, rank, size.hcc) if rank >= 0 else ""
        if stage:
            mean = (mean_lead_time(stage) - earliest) / (latest - earliest)
            share = rng.beta(mean * _LEAD_CONCENTRATION, (1.0 - mean) * _LEAD_CONCENTRATION)
        else:
            share = rng.random()
        return stage, round(earliest + (latest - earliest) * share, 1)
    follow_up = QuantileFunction(quartiles(paper, size.name, False, "months"), QUANTITIES["months"])
    months = float(follow_up(rng.standard_normal()))
    if rank >= 0:
        months = earliest + (months - earliest) * rng.random() ** (1.0 / _EVENT_TIME_POWER)
    # Rounding must not bring a patient to three months, which the paper's criteria leave out.
    return "", max(round(months, 1), earliest + 0.1)
