"""Clinical values, outcome and latent imaging risk of every simulated patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hccbook.papers import find_paper
from hccbook.phantom.distributions import (
    AMAP_SHIFT,
    AMAP_SHIFT_SIZE,
    ETIOLOGY,
    LATENTS,
    MALE,
    MEASURED,
    QUANTITIES,
    QuantileFunction,
    latent_correlation,
    prints_outcomes,
    quartiles,
)
from hccbook.phantom.outcome import (
    MAX_MONTHS,
    MIN_MONTHS,
    bclc_stage,
    cohort_sizes,
    hcc_ranks,
    lead_time,
    planted_shifts,
    time_to_hcc,
)
from hccbook.phantom.scanner import SCANNERS
from hccbook.settings import ORGANS, CohortSettings

LATENT_COLUMNS = ("number", "image_seed", "liver_latent", "spleen_latent", "spleen_size")
"""Columns of `simulate_clinical` that no manifest shows."""

# Every second one has the textures of a high risk, whatever the effects are set to: one network serves every run.
_SEGMENTATION_SPREAD = 2.4
_SEGMENTATION = 2  # the paper's place in the seed, so that these patients are nobody else's
_LARGEST = "C01"
# Sizes of the ten other centres relative to each other; the papers' Supplementary Table 1 is not public.
_OTHER_CENTERS = dict(zip(list(SCANNERS)[1:], (18, 15, 13, 11, 10, 9, 8, 6, 6, 4), strict=True))
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_SPLEEN_PLATELET_CORRELATION = -0.7
_FACTOR = np.linalg.cholesky(latent_correlation())


def _single_center(paper: str, cohort: str) -> bool:
    # Nanfang Hospital: ALARM's discovery and internal validation, aMAP-CT's test cohort.
    development, validation, test = find_paper(paper).cohorts
    return cohort in ({development, validation} if find_paper(paper).largest_centre == "divided" else {test})


def _center(paper: str, cohort: str, number: int) -> str:
    if _single_center(paper, cohort):
        return _LARGEST
    # Multiples of the golden ratio fill the interval evenly, so that small cohorts too see every centre.
    share = np.cumsum(list(_OTHER_CENTERS.values())) / sum(_OTHER_CENTERS.values())
    return list(_OTHER_CENTERS)[int(np.searchsorted(share, (number * _GOLDEN) % 1.0, side="right"))]


def clinical_values(
    paper: str,
    cohort: str,
    hcc: bool,
    latents: np.ndarray,
    male_share: np.ndarray,
    names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Clinical values of patients of one cohort and outcome group.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    cohort : str
    hcc : bool
        Outcome group.
    latents : ndarray of shape (n_patients, n_latents)
        Correlated standard normal latents, in the order of `LATENTS`.
    male_share : ndarray of shape (n_patients,)
        Uniform on 0 to 1; men lie below the group's share of men.
    names : sequence of str, optional
        Values wanted; all that the paper measured where left out.

    Returns
    -------
    dict of str to ndarray of shape (n_patients,)
        Values in the manifest's units, rounded as laboratories report them, and ``male`` (bool).
    """
    group = "hcc" if hcc else "non_hcc"
    values: dict[str, np.ndarray] = {"male": male_share < MALE[paper][cohort][group]}
    for name in MEASURED[paper] if names is None else names:
        latent = latents[:, LATENTS.index(name)]
        if hcc and not prints_outcomes(paper):
            latent = latent + AMAP_SHIFT_SIZE[cohort] * AMAP_SHIFT[name]
        curve = QuantileFunction(quartiles(paper, cohort, hcc, name), QUANTITIES[name])
        values[name] = np.round(curve(latent), QUANTITIES[name].decimals)
    return values


def _latent_draws(paper: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray, int, np.random.Generator]:
    """One patient's own random numbers: normals, uniforms, the seed of the images, the stream of times."""
    sequence = np.random.SeedSequence([seed, paper, number])
    draws, times = (np.random.default_rng(child) for child in sequence.spawn(2))
    # 52 bits stay whole numbers in any table that turns integers into floats.
    image_seed = int(sequence.spawn(1)[0].generate_state(1, np.uint64)[0] >> np.uint64(12))
    return draws.standard_normal(len(LATENTS) + 3), draws.random(2), image_seed, times


def _etiology(paper: str, cohort: str, hcc: bool, share: float) -> str:
    causes = ETIOLOGY[paper][cohort]["hcc" if hcc else "non_hcc"]
    total = np.cumsum([count for _, count in causes])
    return causes[int(np.searchsorted(total, share * total[-1], side="right"))][0]


def _patients(
    paper: str, cohort: str, stream: int, numbers: np.ndarray, ranks: np.ndarray, hcc_total: int, seed: int
) -> pd.DataFrame:
    """Patients of one cohort; every row follows from its own number."""
    draws = [_latent_draws(stream, int(number), seed) for number in numbers]
    normals = np.array([draw[0] for draw in draws]).reshape(len(draws), len(LATENTS) + 3)
    uniforms = np.array([draw[1] for draw in draws]).reshape(len(draws), 2)
    latents = normals[:, : len(LATENTS)] @ _FACTOR.T
    own = normals[:, len(LATENTS) :]
    has_hcc = ranks >= 0
    columns: dict[str, np.ndarray] = {}
    for hcc in (False, True):
        chosen = has_hcc == hcc
        for name, values in clinical_values(paper, cohort, hcc, latents[chosen], uniforms[chosen, 0]).items():
            columns.setdefault(name, np.zeros(len(draws), dtype=values.dtype))[chosen] = values
    platelets = latents[:, LATENTS.index("platelets")]
    along = _SPLEEN_PLATELET_CORRELATION
    months, stages = [], []
    latest = find_paper(paper).months[1]
    for (_, _, _, times), rank in zip(draws, ranks, strict=True):
        stage = ""
        if np.isfinite(latest):
            if rank >= 0:
                stage = bclc_stage(cohort, int(rank), hcc_total)
                month = lead_time(stage, times)
            else:
                month = MIN_MONTHS + (MAX_MONTHS - MIN_MONTHS) * times.random()
        else:
            curve = QuantileFunction(quartiles(paper, cohort, False, "months"), QUANTITIES["months"])
            month = float(curve(times.standard_normal()))
            if rank >= 0:
                month = time_to_hcc(month, times)
        # Rounding must not bring a patient to three months, which the paper's criteria leave out.
        months.append(max(round(float(month), 1), MIN_MONTHS + (0.0 if np.isfinite(latest) else 0.1)))
        stages.append(stage)
    table = pd.DataFrame(
        {
            "centre": [_center(paper, cohort, int(number)) for number in numbers],
            "cohort": cohort,
            "age": columns["age"],
            "sex": np.where(columns["male"], "male", "female"),
            "bilirubin": columns["bilirubin"],
            "albumin": columns["albumin"],
            "platelets": columns["platelets"],
            "afp": columns["afp"],
            "alt": columns["alt"],
            "etiology": [
                _etiology(paper, cohort, bool(hcc), float(share))
                for hcc, share in zip(has_hcc, uniforms[:, 1], strict=True)
            ],
            "hcc": has_hcc.astype(int),
            "months": months,
        }
    )
    for name in MEASURED[paper]:
        if name not in table:
            table[name] = columns[name]
    if np.isfinite(latest):
        table["bclc"] = stages
    table["number"] = numbers
    table["image_seed"] = [draw[2] for draw in draws]
    table["liver_latent"] = own[:, 0]
    table["spleen_latent"] = own[:, 1]
    # Splenomegaly goes with low platelets among patients of the same outcome: through the latent of the platelets,
    # not their value, so that the spleen's size tells nothing of the outcome.
    table["spleen_size"] = along * platelets + np.sqrt(1.0 - along**2) * own[:, 2]
    return table


def simulate_clinical(paper: str, settings: CohortSettings) -> pd.DataFrame:
    """Clinical values, outcome and latent imaging risk of a paper's synthetic cohort.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
        Whose cohorts, printed distributions and follow-up to imitate.
    settings : CohortSettings
        Seed, sizes and effect.

    Returns
    -------
    pandas.DataFrame
        Index ``patient`` (P0001, ...), a row a patient, cohorts one after another.
        Columns of the manifest less its paths (months; umol/L, g/L, 10^9/L, ug/L, IU/L), the paper's other values
        (``stiffness_kpa``; in ALARM also ast, creatinine, bun, glucose and ``bclc``), and `LATENT_COLUMNS`:
        ``liver_latent`` and ``spleen_latent`` (SD units, higher means a higher risk), ``spleen_size`` (standard
        normal, higher means larger) and ``image_seed``.

    Raises
    ------
    DataError
        If the paper is unknown.
    SettingsError
        If a cohort has more HCC than patients.

    Notes
    -----
    Each patient follows from (seed, paper, number, settings) alone. Without an effect, everything that the renderer
    takes is independent of the outcome; with one, HCC adds `planted_shifts` to the same latents.

    References
    ----------
    ALARM and aMAP-CT, Table 1; ALARM, Results, Patient characteristics (stages, lead times).
    """
    tables = []
    first = 1
    for position, size in enumerate(cohort_sizes(paper, settings)):
        ranks = hcc_ranks(paper, position, size, settings.seed)
        numbers = np.arange(first, first + size.patients)
        tables.append(_patients(paper, size.name, find_paper(paper).number, numbers, ranks, size.hcc, settings.seed))
        first += size.patients
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)
    for organ, shift in planted_shifts(paper, settings).items():
        table[f"{organ}_latent"] += shift * table["hcc"]
    name = find_paper(paper).slug.upper()
    table.insert(0, "patient_id", [f"SYN-{name}-{number:04d}" for number in table["number"]])
    return _keyed(table)


def simulate_segmentation_patients(settings: CohortSettings) -> pd.DataFrame:
    """Patients on whom the segmentation is trained, apart from both papers' cohorts.

    They go round all eleven centres; their latent risks spread over those of both outcomes.

    Parameters
    ----------
    settings : CohortSettings
        Seed and ``segmentation_patients``.

    Returns
    -------
    pandas.DataFrame
        As `simulate_clinical` returns it, without HCC and without cohort.
    """
    numbers = np.arange(1, settings.segmentation_patients + 1)
    ranks = np.full(numbers.size, -1)
    table = _patients("alarm", "discovery", _SEGMENTATION, numbers, ranks, 0, settings.seed)
    table["centre"] = [list(SCANNERS)[(number - 1) % len(SCANNERS)] for number in numbers]
    table["cohort"] = ""
    high = np.where(numbers % 2 == 0, 1.0, 0.0)
    for organ in ORGANS:
        table[f"{organ}_latent"] += _SEGMENTATION_SPREAD * high
    table.insert(0, "patient_id", [f"SYN-SEGMENTATION-{number:04d}" for number in numbers])
    return _keyed(table)


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    table.index = pd.Index([f"P{row:04d}" for row in range(1, len(table) + 1)], name="patient")
    return table
