"""SYNTHETIC repeated measurements: aMAP and AFP before and around enrolment, a cell-free-DNA score, HBV DNA; deaths.

Everything here is drawn from streams of its own, after and apart from the patients themselves, so that no image, no
clinical value and no outcome changes with it. What is not printed in either paper is a choice, and is said to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from hccbook.errors import DataError
from hccbook.papers import find_paper
from hccbook.phantom.distributions import UPPER_QUARTILE_Z, table_1
from hccbook.scores import albi, albi_grade
from hccbook.settings import AmapCtSupplementSettings

_VISITS_STREAM, _HBV_DNA_STREAM, _DEATHS_STREAM = 30_000_001, 30_000_023, 30_000_041
_NOMINAL_MONTHS = np.array([-24.0, -18.0, -12.0, -6.0, 0.0, 6.0, 12.0])
_ENROLMENT = int(np.flatnonzero(_NOMINAL_MONTHS == 0)[0])

_COLUMNS = ["patient", "months", "amap", "afp", "cfdna"]
# Choices, for aMAP and for log10 AFP. A year of age alone adds 0.06 / 14.77 x 100 = 0.41 to aMAP.
_SLOPE, _SLOPE_SD, _NOISE_SD = np.array([[[0.4], [0.0]], [[0.9], [0.10]], [[2.0], [0.12]]])
_MIN_AFP, _MAX_AFP = 0.5, 10_000.0
_DEATHS_A_YEAR: Mapping[int, float] = {1: 0.010, 2: 0.034, 3: 0.20}


class LongitudinalSettings(AmapCtSupplementSettings):
    """Repeated measurements of synthetic patients, and whether anything is planted in them."""

    effect: Literal["planted", "none"] = Field(
        "planted", description="Whether slopes and cell-free DNA depend on the outcome ('planted') or not ('none')."
    )


def _numbers(patients: pd.Index) -> np.ndarray:
    keys = patients.astype(str)
    wrong = keys[~keys.str.fullmatch(r"P\d+")]
    if len(wrong) or keys.has_duplicates:
        found = wrong[0] if len(wrong) else f"{keys[keys.duplicated()][0]} twice"
        raise DataError("patients", "must be keyed P0001, P0002, ...", found, "Give a synthetic clinical table.")
    return keys.str[1:].astype(int).to_numpy()


@cache
def _at_enrolment() -> tuple[np.ndarray, np.ndarray]:
    """Centre and SD over patients of aMAP and log10 AFP, each of shape (2, 1) (aMAP-CT, Table 1, overall)."""
    amap, afp = (table_1("amap_ct", "all")[name] for name in ("amap", "afp"))
    spread = np.array([[amap[2] - amap[0]], [np.log10(afp[2] / afp[0])]])
    return np.array([[amap[1]], [np.log10(afp[1])]]), spread / (2 * UPPER_QUARTILE_Z)


def _stream(seed: int, paper: str, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, find_paper(paper).number, int(number), stream]))


def simulate_visits(
    clinical: pd.DataFrame, paper: str, seed: int, settings: LongitudinalSettings | None = None
) -> pd.DataFrame:
    """SYNTHETIC repeated aMAP and AFP from 24 months before to 12 after enrolment, and a cell-free-DNA score.

    Visits are due every six months, come early or late, and may be missed; the visit at month 0 always takes place
    and has the patient's enrolment values. None comes after the patient's follow-up. With the effect, slopes of
    aMAP and log10 AFP are steeper in patients who develop HCC, and the cell-free-DNA score is shifted in those who
    do within its horizon; without, nothing but the enrolment values themselves goes with the outcome.

    The score is measured at enrolment, so that no predictor is younger than the CT; in the paper it was available
    within the first 12 months.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Synthetic patients: index P0001, ...; columns amap, afp (ug/L, may be missing), hcc and months.
    paper : {"alarm", "amap_ct"}
        Whose patients they are.
    seed : int
        Seed of the cohort.
    settings : LongitudinalSettings, optional
        The defaults where not given.

    Returns
    -------
    pandas.DataFrame, shape (n_visits, 5)
        Columns patient, months (from enrolment), amap, afp (ug/L), cfdna (SD units, higher means a higher risk; NaN
        but at enrolment, and there in patients without). By patient and time.

    Raises
    ------
    DataError
        If the paper is unknown, a column is absent, or the patients are not synthetic.

    Notes
    -----
    Each patient follows from (seed, paper, number, settings, enrolment values, outcome, follow-up) alone, and the
    random numbers of all but the first three do not depend on the rest: with ``effect: none``, another outcome
    changes nothing.

    References
    ----------
    aMAP-CT, Table 1 (spread of aMAP and AFP) and Table 4, footnote a (18 months). Slopes, noise and strengths are
    choices.
    """
    settings = settings or LongitudinalSettings()
    absent = [name for name in ("amap", "afp", "hcc", "months") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort's table.")
    values = clinical[["amap", "afp", "hcc", "months"]].to_numpy(dtype=float)
    parts = [
        _visits(*patient, settings, _stream(seed, paper, number, _VISITS_STREAM)).assign(patient=key)
        for key, number, patient in zip(clinical.index, _numbers(clinical.index), values, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)[_COLUMNS] if parts else pd.DataFrame(columns=_COLUMNS)


def _visits(
    amap: float, afp: float, hcc: float, follow_up: float, settings: LongitudinalSettings, rng: np.random.Generator
) -> pd.DataFrame:
    """Visits of one patient, whose markers run on noisy lines that have the enrolment values at enrolment.

    Those values are level plus noise; given them, the noise is normal about its share of the distance from the centre,
    so that the other visits vary as much as this one.
    """
    # A fixed number of draws, whatever the patient: another outcome or effect moves none of them.
    draws = rng.standard_normal((3, len(_NOMINAL_MONTHS)))
    jitter, noise = draws[0], draws[1:]
    slopes, dna = rng.standard_normal((2, 1)), rng.standard_normal()
    missed, is_measured = rng.random(len(_NOMINAL_MONTHS)) < settings.missed_share, rng.random() < settings.cfdna_share
    missed[_ENROLMENT] = False
    months = _NOMINAL_MONTHS + np.clip(settings.jitter_months * jitter, -2.5, 2.5)
    months = np.clip(months, _NOMINAL_MONTHS[0], _NOMINAL_MONTHS[-1])
    months[_ENROLMENT] = 0.0
    is_planted = settings.effect == "planted" and hcc == 1
    centre, sd = _at_enrolment()
    reliability = 1.0 - _NOISE_SD**2 / sd**2
    enrolment = np.array([[amap], [np.log10(max(afp, _MIN_AFP))]])
    deviation = (1.0 - reliability) * (enrolment - centre)
    deviation += np.sqrt(reliability) * _NOISE_SD * noise[:, [_ENROLMENT]]
    slope = _SLOPE + is_planted * np.array([[settings.amap_slope], [settings.afp_slope]]) + _SLOPE_SD * slopes
    amaps, log_afps = enrolment - deviation + slope * (months / 12.0) + _NOISE_SD * noise
    amaps, afps = np.round(amaps, 2), np.round(np.clip(10.0**log_afps, _MIN_AFP, _MAX_AFP), 1)
    amaps[_ENROLMENT], afps[_ENROLMENT] = amap, afp
    cfdna = np.full(len(months), np.nan)
    if is_measured:
        is_soon = is_planted and follow_up <= settings.cfdna_horizon_months
        cfdna[_ENROLMENT] = round(dna + settings.cfdna_shift * is_soon, 3)
    visits = pd.DataFrame({"months": np.round(months, 1), "amap": amaps, "afp": afps, "cfdna": cfdna})
    return visits[~missed & (months <= follow_up)]


def simulate_hbv_dna(clinical: pd.DataFrame, paper: str, seed: int) -> pd.Series:
    """SYNTHETIC HBV DNA at enrolment, which CU-HCC and LSM-HCC ask for and neither paper prints.

    All patients with hepatitis B are on antiviral treatment (aMAP-CT, Methods, Study population): in four of five
    the virus is undetectable, in the others it is log-normal about 1,000 IU/mL (choices). It never depends on the
    outcome.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Synthetic patients: index P0001, ...; column etiology.
    paper, seed
        As in `simulate_visits`.

    Returns
    -------
    pandas.Series, shape (n_patients,)
        IU/mL; 0 where undetectable, NaN for other causes than hepatitis B.

    Raises
    ------
    DataError
        If the paper is unknown, the column is absent, or the patients are not synthetic.
    """
    if "etiology" not in clinical:
        raise DataError("clinical table", "must have a column 'etiology'", "none", "Give the cohort's table.")
    values = []
    for number, cause in zip(_numbers(clinical.index), clinical["etiology"], strict=True):
        rng = _stream(seed, paper, number, _HBV_DNA_STREAM)
        share, normal = rng.random(), rng.standard_normal()
        level = round(float(np.clip(10 ** (3.0 + 1.2 * normal), 10.0, 1e9)), 0) if share < 0.2 else 0.0
        values.append(level if cause == "HBV" else np.nan)
    return pd.Series(values, index=clinical.index, name="hbv_dna_iu_ml", dtype=float)


def simulate_deaths(clinical: pd.DataFrame, paper: str, seed: int) -> pd.DataFrame:
    """SYNTHETIC deaths before HCC, which neither paper counts, and the follow-up that they leave.

    Death comes at a constant rate by ALBI grade, 1.0, 3.4 and 20 % a year: what D'Amico and co-workers found in
    cirrhosis without varices, with varices, and with ascites; that the grades stand for these stages is a choice.
    Who dies before the diagnosis of HCC is not diagnosed any more.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Synthetic patients: index P0001, ...; columns months, hcc, bilirubin (umol/L), albumin (g/L).
    paper, seed
        As in `simulate_visits`.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Columns months (to HCC, death or the last visit), hcc, died (0 or 1, never both 1).

    Raises
    ------
    DataError
        If the paper is unknown, a column is absent, or the patients are not synthetic.

    References
    ----------
    D'Amico, Garcia-Tsao and Pagliaro 2006, J Hepatol 44:217.
    """
    absent = [name for name in ("months", "hcc", "bilirubin", "albumin") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort's table.")
    grades = albi_grade(albi(clinical["bilirubin"], clinical["albumin"]))
    streams = (_stream(seed, paper, number, _DEATHS_STREAM) for number in _numbers(clinical.index))
    waits = np.array([stream.standard_exponential() for stream in streams])
    years = waits / np.array([_DEATHS_A_YEAR[int(grade)] for grade in grades])
    died = 12 * years < clinical["months"]
    months = np.where(died, np.maximum(np.round(12 * years, 1), 0.1), clinical["months"])
    hcc = np.where(died, 0, clinical["hcc"])
    return pd.DataFrame({"months": months, "hcc": hcc, "died": died.astype(int)}, index=clinical.index)
