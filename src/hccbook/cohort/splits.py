"""Development, validation and test cohorts, as each paper splits its centres."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import find_paper, role_of_cohort

SHARES = (0.6, 0.2, 0.2)
"""Shares of development, validation and test where patients of all centres are divided by outcome alone."""

_LEAST = (5, 2, 2)
"""Patients with HCC, and without, below which a cohort cannot serve as development, validation or test."""


def assign_cohorts(
    manifest: pd.DataFrame, paper: str, seed: int, split: Literal["paper", "outcome"] = "paper"
) -> pd.Series:
    """Cohort of every patient: the manifest's own, or else the paper's split.

    ALARM divides its largest centre 80/20 into discovery and internal validation; the others are the external
    validation. aMAP-CT keeps its largest centre as the test and divides the others 7:3 into training and validation.
    Divisions are stratified by HCC, each outcome rounded to the nearest whole patient.
    Where all patients come from one centre, aMAP-CT's division is made within it and the test cohort stays empty.
    Of two centres of the same size the first in the alphabet counts as the larger.

    The other way, for cohorts that the papers' cannot serve, divides all patients by HCC alone, in `SHARES`: whatever
    there are three of is in each of the three cohorts. It tells nothing of a centre that the model has never seen.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `read_manifest` returns it: ``centre``, ``hcc`` and ``cohort``, which is empty for patients to be assigned.
        Cohorts named after the other paper are translated by their role.
    paper : {"alarm", "amap_ct"}
        Whose cohorts.
    seed : int
        Seed of the division; the same seed and row order give the same cohorts.
    split : {"paper", "outcome"}
        Which way; `choose_split` says which one serves.

    Returns
    -------
    pandas.Series
        Name of the cohort (`hccbook.papers.Paper.cohorts`), by patient key.

    Raises
    ------
    DataError
        If the paper is unknown, or a cohort that is given belongs to neither paper.

    References
    ----------
    ALARM, Methods, Model construction and validation; aMAP-CT, Methods, Data and modeling.
    """
    of_paper = find_paper(paper)
    development, validation, test = of_paper.cohorts
    roles = role_of_cohort()
    given = manifest["cohort"].fillna("")
    unknown = sorted(set(given) - set(roles) - {""})
    if unknown:
        rule = f"must be one of {', '.join(roles)}"
        raise DataError("cohort", rule, repr(unknown[0]), "Correct it, or leave it empty.")
    cohorts = given.map(lambda name: of_paper.cohort_of_role[roles[name]] if name else "").rename("cohort")
    sizes = manifest["centre"].value_counts()
    largest = min(sizes.index[sizes == sizes.max()])
    in_largest = manifest["centre"] == largest
    free = cohorts == ""
    if split == "outcome":
        return _divided_by_outcome(cohorts, manifest["hcc"], of_paper.cohorts, seed)
    if of_paper.largest_centre == "divided":
        divided, whole = free & in_largest, free & ~in_largest
    elif in_largest.all():
        divided, whole = free, free & ~free
    else:
        divided, whole = free & ~in_largest, free & in_largest
    cohorts[whole] = test
    cohorts[divided] = development
    generator = np.random.default_rng(seed)
    for outcome in (0, 1):
        patients = manifest.index[divided & (manifest["hcc"] == outcome)]
        chosen = int(np.floor(len(patients) * of_paper.validation_share + 0.5))
        cohorts[generator.permutation(patients)[:chosen]] = validation
    return cohorts


def _divided_by_outcome(cohorts: pd.Series, hcc: pd.Series, names: tuple[str, ...], seed: int) -> pd.Series:
    generator, cohorts = np.random.default_rng(seed), cohorts.copy()
    for outcome in (0, 1):
        patients = generator.permutation(cohorts.index[(cohorts == "") & (hcc == outcome)])
        count = len(patients)
        least = 1 if count >= len(names) else 0
        validation, test = (max(least, int(np.floor(count * share + 0.5))) for share in SHARES[1:])
        cohorts[patients] = np.repeat(names, (count - validation - test, validation, test))
    return cohorts


def choose_split(manifest: pd.DataFrame, paper: str, seed: int) -> tuple[Literal["paper", "outcome"], str]:
    """Which way of dividing serves these patients, and why, in one sentence.

    The paper's way, unless one of its cohorts would have too few patients with HCC or without. A cohort that the
    paper's way leaves empty, as the test cohort of a single centre, is no reason: there is nobody to fill it with.

    Parameters
    ----------
    manifest, paper, seed
        As of `assign_cohorts`.

    Returns
    -------
    split : {"paper", "outcome"}
    reason : str
    """
    title = find_paper(paper).title
    cohorts = assign_cohorts(manifest, paper, seed)
    for name, least in zip(find_paper(paper).cohorts, _LEAST, strict=True):
        hcc = manifest.loc[cohorts == name, "hcc"]
        with_hcc, without = int((hcc == 1).sum()), int((hcc == 0).sum())
        fillable = bool((manifest["cohort"].fillna("") == "").any())
        if fillable and len(hcc) and min(with_hcc, without) < least:
            found = f"{with_hcc} patients with HCC and {without} without in the {name.replace('_', ' ')} cohort"
            return "outcome", (
                f"{title}'s way to divide the centres would leave {found}, fewer than {least}: "
                "patients of all centres are divided by outcome."
            )
    return "paper", f"{title}'s way to divide the centres serves these patients."
