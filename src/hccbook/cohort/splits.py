"""Development, validation and test cohorts, as each paper splits its centres."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import find_paper, role_of_cohort


def assign_cohorts(manifest: pd.DataFrame, paper: str, seed: int) -> pd.Series:
    """Cohort of every patient: the manifest's own, or else the paper's split.

    ALARM divides its largest centre 80/20 into discovery and internal validation; the others are the external
    validation. aMAP-CT keeps its largest centre as the test and divides the others 7:3 into training and validation.
    Divisions are stratified by HCC, each outcome rounded to the nearest whole patient.
    Where all patients come from one centre, aMAP-CT's division is made within it and the test cohort stays empty.
    Of two centres of the same size the first in the alphabet counts as the larger.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `read_manifest` returns it: ``centre``, ``hcc`` and ``cohort``, which is empty for patients to be assigned.
        Cohorts named after the other paper are translated by their role.
    paper : {"alarm", "amap_ct"}
        Whose cohorts.
    seed : int
        Seed of the division; the same seed and row order give the same cohorts.

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
