"""Clinical values, outcome and latent imaging risk of every simulated patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hccbook.papers import find_paper
from hccbook.phantom.distributions import (
    AMAP_SHIFT,
    AMAP_SHIFT_SIZE,
    LATENTS,
    MEASURED,
    QUANTITIES,
    QuantileFunction,
    cause_counts,
    latent_correlation,
    male_share,
    prints_outcomes,
    quartiles,
)
from hccbook.phantom.outcome import CohortSize, cohort_sizes, disease_course, hcc_ranks, planted_shifts
from hccbook.phantom.scanner import SCANNERS
from hccbook.settings import ORGANS, CohortSettings

LATENT_COLUMNS = ("number", "image_seed", "liver_latent", "spleen_latent", "spleen_size")
"""Columns of `simulate_clinical` that no manifest shows."""

# Every second one has the textures of a high risk, whatever the effects are set to: one network serves every run.
_SEGMENTATION_SPREAD = 2.4
_SEGMENTATION = 2  # the paper's place in the seed, so that these patients are nobody else's
_LARGEST = "C01"
# Sizes of the ten other centres relative to each other; the papers' Supplementary Table 1 is not public.
_OTHER_CENTRES = dict(zip(list(SCANNERS)[1:], (18, 15, 13, 11, 10, 9, 8, 6, 6, 4), strict=True))
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_SPLEEN_PLATELET_CORRELATION = -0.7
_FACTOR = np.linalg.cholesky(latent_correlation())


def _centre(paper: str, cohort: str, number: int) -> str:
    # Nanfang Hospital: ALARM's discovery and internal validation, aMAP-CT's test cohort.
    development, validation, test = find_paper(paper).cohorts
    if cohort in ({development, validation} if find_paper(paper).largest_centre == "divided" else {test}):
        return _LARGEST
    # Multiples of the golden ratio fill the interval evenly, so that small cohorts too see every centre.
    share = np.cumsum(list(_OTHER_CENTRES.values())) / sum(_OTHER_CENTRES.values())
    return list(_OTHER_CENTRES)[int(np.searchsorted(share, (number * _GOLDEN) % 1.0, side="right"))]


def clinical_values(
    paper: str, cohort: str, hcc: bool, latents: np.ndarray, uniform: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Clinical values of patients of one cohort and outcome group.

    Parameters
    ----------
    paper, cohort, hcc
        As in `table_1`.
    latents : ndarray of shape (n_patients, n_latents)
        Correlated standard normal latents, in the order of `LATENTS`.
    uniform : ndarray of shape (n_patients,)
        Uniform on 0 to 1; men lie below the group's share of men.
    names : sequence of str, optional
        Values wanted; all that the paper measured where left out.

    Returns
    -------
    dict of str to ndarray of shape (n_patients,)
        Values in the manifest's units, rounded as laboratories report them, and ``male`` (bool).
    """
    values: dict[str, np.ndarray] = {"male": uniform < male_share(paper, cohort, hcc)}
    for name in MEASURED[paper] if names is None else names:
        latent = latents[:, LATENTS.index(name)]
        if hcc and not prints_outcomes(paper):
            latent = latent + AMAP_SHIFT_SIZE[cohort] * AMAP_SHIFT[name]
        curve = QuantileFunction(quartiles(paper, cohort, hcc, name), QUANTITIES[name])
        values[name] = np.round(curve(latent), QUANTITIES[name].decimals)
    return values


class _Draws(NamedTuple):
    """Random numbers of several patients, each from a stream of their own.

    ``latents`` are the correlated standard normal ones of the clinical values; ``own`` (n_patients, 3), standard normal
    too, those of liver, spleen and the spleen's size; ``uniforms`` (n_patients, 2) are for sex and cause.
    """

    numbers: np.ndarray
    latents: np.ndarray
    own: np.ndarray
    uniforms: np.ndarray
    image_seeds: list[int]
    times: list[np.random.Generator]


def _draw(seed: int, stream: int, numbers: np.ndarray) -> _Draws:
    normals, uniforms = np.zeros((numbers.size, len(LATENTS) + 3)), np.zeros((numbers.size, 2))
    image_seeds, times = [], []
    for position, number in enumerate(numbers):
        sequence = np.random.SeedSequence([seed, stream, int(number)])
        values, time = (np.random.default_rng(child) for child in sequence.spawn(2))
        normals[position], uniforms[position] = values.standard_normal(normals.shape[1]), values.random(2)
        times.append(time)
        # 52 bits stay whole numbers in any table that turns integers into floats.
        image_seeds.append(int(sequence.spawn(1)[0].generate_state(1, np.uint64)[0] >> np.uint64(12)))
    latents = normals[:, : len(LATENTS)] @ _FACTOR.T
    return _Draws(numbers, latents, normals[:, len(LATENTS) :], uniforms, image_seeds, times)


def _cause(paper: str, cohort: str, hcc: bool, share: float) -> str:
    counts = cause_counts(paper, cohort, hcc)
    total = np.cumsum(list(counts.values()))
    return list(counts)[int(np.searchsorted(total, share * total[-1], side="right"))]


def _patients(paper: str, size: CohortSize, ranks: np.ndarray, draws: _Draws) -> pd.DataFrame:
    """Patients of one cohort, `ranks` as of `hcc_ranks`; every row follows from its own number."""
    has_hcc = ranks >= 0
    values: dict[str, np.ndarray] = {}
    for hcc in (False, True):
        chosen = has_hcc == hcc
        group = clinical_values(paper, size.name, hcc, draws.latents[chosen], draws.uniforms[chosen, 0])
        for name, of_group in group.items():
            values.setdefault(name, np.zeros(len(ranks), dtype=of_group.dtype))[chosen] = of_group
    courses = [disease_course(paper, size, int(rank), time) for rank, time in zip(ranks, draws.times, strict=True)]
    causes = [_cause(paper, size.name, hcc, share) for hcc, share in zip(has_hcc, draws.uniforms[:, 1], strict=True)]
    columns = {
        "centre": [_centre(paper, size.name, int(number)) for number in draws.numbers],
        "cohort": size.name,
        "age": values.pop("age"),
        "sex": np.where(values.pop("male"), "male", "female"),
        **{name: values.pop(name) for name in ("bilirubin", "albumin", "platelets", "afp", "alt")},
        "etiology": causes,
        "hcc": has_hcc.astype(int),
        "months": [months for _, months in courses],
        **values,
    }
    if np.isfinite(find_paper(paper).months[1]):
        columns["bclc"] = [stage for stage, _ in courses]
    # Splenomegaly goes with low platelets among patients of the same outcome: through the latent of the platelets,
    # not their value, so that the spleen's size tells nothing of the outcome.
    along = _SPLEEN_PLATELET_CORRELATION
    spleen = along * draws.latents[:, LATENTS.index("platelets")] + np.sqrt(1.0 - along**2) * draws.own[:, 2]
    latent = (draws.numbers, draws.image_seeds, draws.own[:, 0], draws.own[:, 1], spleen)
    return pd.DataFrame(columns | dict(zip(LATENT_COLUMNS, latent, strict=True)))


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
        Index ``patient`` (P0001, ...), one row per patient, cohorts one after another.
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
    tables, first = [], 1
    for position, size in enumerate(cohort_sizes(paper, settings)):
        ranks = hcc_ranks(paper, position, size, settings.seed)
        draws = _draw(settings.seed, find_paper(paper).number, np.arange(first, first + size.patients))
        tables.append(_patients(paper, size, ranks, draws))
        first += size.patients
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)
    for organ, shift in planted_shifts(paper, settings).items():
        table[f"{organ}_latent"] += shift * table["hcc"]
    name = find_paper(paper).slug.upper()
    table.insert(0, "patient_id", [f"SYN-{name}-{number:04d}" for number in table["number"]])
    return _keyed(table)


def simulate_segmentation_patients(settings: CohortSettings) -> pd.DataFrame:
    """Patients on whom the segmentation is trained, apart from both papers' cohorts.

    They go round all eleven centres; their latent risks spread over those of both outcomes. The table is that of
    `simulate_clinical`, without HCC and without cohort.
    """
    numbers = np.arange(1, settings.segmentation_patients + 1)
    ranks, draws = np.full(numbers.size, -1), _draw(settings.seed, _SEGMENTATION, numbers)
    table = _patients("alarm", CohortSize("discovery", numbers.size, 0), ranks, draws)
    table["centre"] = [list(SCANNERS)[(number - 1) % len(SCANNERS)] for number in numbers]
    table["cohort"] = ""
    for organ in ORGANS:
        table[f"{organ}_latent"] += _SEGMENTATION_SPREAD * (numbers % 2 == 0)
    table.insert(0, "patient_id", [f"SYN-SEGMENTATION-{number:04d}" for number in numbers])
    return _keyed(table)


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    table.index = pd.Index([f"P{row:04d}" for row in range(1, len(table) + 1)], name="patient")
    return table
