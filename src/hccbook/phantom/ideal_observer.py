"""AUC that an ideal observer of the planted risk would reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from hccbook.papers import find_paper
from hccbook.phantom.clinical import clinical_values
from hccbook.phantom.distributions import LATENTS, latent_correlation
from hccbook.phantom.outcome import cohort_sizes, planted_shifts
from hccbook.scores import amap
from hccbook.settings import CohortSettings

MONTE_CARLO_PATIENTS = 200_000
"""Simulated patients an outcome group and population."""

_AMAP_VALUES = ("age", "bilirubin", "albumin", "platelets")
_COLUMNS = ("liver", "spleen", "amap")
_MARKERS = {
    name: tuple(name.split("_"))
    for name in ("liver", "spleen", "liver_spleen", "amap", "liver_amap", "liver_spleen_amap")
}


def _binormal_auc(*shifts: float) -> float:
    """AUC of the best linear combination of independent normal markers of SD 1 shifted by `shifts` in cases.

    ``Phi(sqrt(sum of squares) / sqrt 2)``, exact.
    """
    return float(stats.norm.cdf(np.sqrt(sum(shift**2 for shift in shifts)) / np.sqrt(2.0)))


def _markers(paper: str, cohort: str, hcc: bool, settings: CohortSettings, rng: np.random.Generator) -> np.ndarray:
    """Markers (liver, spleen, aMAP) of one cohort and outcome group, shape (MONTE_CARLO_PATIENTS, 3)."""
    used = [LATENTS.index(name) for name in _AMAP_VALUES]
    factor = np.linalg.cholesky(latent_correlation()[np.ix_(used, used)])
    drawn = np.zeros((MONTE_CARLO_PATIENTS, len(LATENTS)))
    drawn[:, used] = rng.standard_normal((MONTE_CARLO_PATIENTS, len(used))) @ factor.T
    values = clinical_values(paper, cohort, hcc, drawn, rng.random(MONTE_CARLO_PATIENTS), _AMAP_VALUES)
    score = amap(values["age"], values["male"], values["bilirubin"], values["albumin"], values["platelets"])
    latents = rng.standard_normal((MONTE_CARLO_PATIENTS, 2))
    if hcc:
        latents += tuple(planted_shifts(paper, settings).values())
    return np.column_stack([latents, score])


def _mixture(samples: list[np.ndarray], weights: list[int]) -> np.ndarray:
    """`MONTE_CARLO_PATIENTS` patients of several cohorts, as many of each as its weight asks for."""
    shares = np.array(weights) / sum(weights)
    return np.concatenate(
        [sample[: round(share * MONTE_CARLO_PATIENTS)] for sample, share in zip(samples, shares, strict=True)]
    )


def _fisher(controls: np.ndarray, cases: np.ndarray) -> np.ndarray:
    pooled = np.atleast_2d(0.5 * (np.cov(controls, rowvar=False) + np.cov(cases, rowvar=False)))
    return np.linalg.solve(pooled, cases.mean(axis=0) - controls.mean(axis=0))


def _auc(controls: np.ndarray, cases: np.ndarray) -> float:
    return float(stats.mannwhitneyu(cases, controls).statistic) / (len(cases) * len(controls))


def truth(paper: str, settings: CohortSettings) -> dict[str, Any]:
    """AUCs of an ideal observer of the planted risk.

    Parameters
    ----------
    paper : {"alarm", "amap_ct"}
    settings : CohortSettings

    Returns
    -------
    dict
        ``paper``, ``effect``, ``liver_shift`` and ``spleen_shift`` (SD), ``method`` (how each marker's AUC was found),
        and ``auc``: by population (``development``, ``validation``, ``test``, ``validation_and_test``) and marker
        (liver, spleen, liver_spleen, amap, liver_amap, liver_spleen_amap). A population without patients of both
        outcomes is left out.

    Notes
    -----
    The latent risks are normal with SD 1 in both groups, so that their AUCs are exact.
    aMAP is not normal: its AUC, and those of combinations with it, come from a fixed Monte Carlo sample of
    `MONTE_CARLO_PATIENTS` patients a group. Combinations are Fisher's linear discriminant, its weights taken from the
    development population, as a model fitted there would have them at best.
    """
    shifts = planted_shifts(paper, settings)
    development, validation, test = cohort_sizes(paper, settings)
    populations = {
        "development": [development],
        "validation": [validation],
        "test": [test],
        "validation_and_test": [validation, test],
    }
    samples: dict[tuple[str, bool], np.ndarray] = {}
    for position, size in enumerate((development, validation, test)):
        rng = np.random.default_rng(np.random.SeedSequence([find_paper(paper).number, position, 20_000_003]))
        for hcc in (False, True):
            samples[size.name, hcc] = _markers(paper, size.name, hcc, settings, rng)
    images = {
        marker: round(_binormal_auc(*(shifts[part] for part in parts)), 6)
        for marker, parts in _MARKERS.items()
        if "amap" not in parts
    }
    columns = {
        marker: [_COLUMNS.index(part) for part in parts] for marker, parts in _MARKERS.items() if marker not in images
    }
    weights = {
        marker: _fisher(*(samples[development.name, hcc][:, chosen] for hcc in (False, True)))
        for marker, chosen in columns.items()
    }
    aucs: dict[str, dict[str, float]] = {}
    for name, sizes in populations.items():
        counts = [[size.patients - size.hcc for size in sizes], [size.hcc for size in sizes]]
        if 0 in (sum(counts[0]), sum(counts[1])):
            continue
        controls, cases = (
            _mixture([samples[size.name, bool(group)] for size in sizes], counts[group]) for group in (0, 1)
        )
        aucs[name] = images | {
            marker: round(_auc(controls[:, chosen] @ weights[marker], cases[:, chosen] @ weights[marker]), 4)
            for marker, chosen in columns.items()
        }
    exact = "binormal, exact: Phi(sqrt(sum of squared shifts) / sqrt 2)"
    sampled = (
        f"Monte Carlo, {MONTE_CARLO_PATIENTS} patients a group; combinations by Fisher's linear discriminant "
        "fitted to the development population"
    )
    return {
        "paper": paper,
        "effect": settings.effect,
        "liver_shift": shifts["liver"],
        "spleen_shift": shifts["spleen"],
        "method": {marker: sampled if "amap" in parts else exact for marker, parts in _MARKERS.items()},
        "auc": aucs,
    }
