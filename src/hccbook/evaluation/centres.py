"""The centres: patients, follow-up and HCC of each, and what its images are like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.evaluation.incidence_rates import person_year_rates
from hccbook.papers import PAPERS
from hccbook.settings import ORGANS

CENTRE_COLUMNS = (
    "centre",
    "cohorts",
    "n",
    "events",
    "median_months",
    "person_years",
    "rate",
    "lower",
    "upper",
    "note",
)
"""Columns of `centre_table`."""

IMAGE_FACTS = ("source_spacing_x_mm", "source_spacing_z_mm", "source_size_x", "source_size_z")
"""What preprocessing keeps of every image as it was acquired."""

INTENSITIES = ("original_firstorder_Median", "original_firstorder_InterquartileRange")
"""Features that say how bright an organ is, and how much its voxels differ, HU."""


def centre_table(clinical: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Patients, follow-up and annual incidence of HCC of each centre, the largest first.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Columns centre, cohort, hcc, months.
    level : float
        Confidence level of the incidence (Poisson, exact).

    Returns
    -------
    pandas.DataFrame
        Columns centre, cohorts (its cohorts, joined by commas), n, events, median_months (of the follow-up as it
        is, to HCC or last visit), person_years, rate, lower, upper (a person-year), note. A centre without HCC has
        rate 0, an upper limit and a note.

    Raises
    ------
    DataError
        If a column is absent, a follow-up is missing or an outcome is not 0 or 1.

    References
    ----------
    aMAP-CT, Supplementary Table 1.
    """
    absent = [name for name in ("centre", "cohort", "hcc", "months") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort stage's table.")
    order = clinical["centre"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    rates = person_year_rates(
        clinical["months"],
        clinical["hcc"],
        clinical["centre"].astype(str),
        order=[str(name) for name in order],
        level=level,
    )
    rank = {name: place for paper in PAPERS.values() for place, name in enumerate(paper.cohorts)}
    by_centre = clinical.groupby(clinical["centre"].astype(str))
    listed = by_centre["cohort"].agg(lambda own: ", ".join(sorted(own.unique(), key=lambda name: rank.get(name, 9))))
    table = rates.rename(columns={"group": "centre"})
    table["cohorts"] = table["centre"].map(listed)
    table["median_months"] = table["centre"].map(by_centre["months"].median())
    return table[list(CENTRE_COLUMNS)]


def image_characteristics(
    facts: pd.DataFrame, features: pd.DataFrame, centre: pd.Series, organs: Sequence[str] = ORGANS
) -> pd.DataFrame:
    """What the images of each centre are like: grid as acquired, and the organs' HU.

    Parameters
    ----------
    facts : pandas.DataFrame
        From preprocessing: columns patient, phase and those of `IMAGE_FACTS`.
    features : pandas.DataFrame
        Radiomics, index the patient; columns ``<phase>.<organ>.<feature>``. HU are those within the window.
    centre : pandas.Series
        Centre, index the patient.
    organs : sequence of str
        Organs whose HU are wanted.

    Returns
    -------
    pandas.DataFrame
        Columns centre, phase, characteristic (of `IMAGE_FACTS`, or ``<organ>.<feature>`` of `INTENSITIES`), n,
        median, q1, q3, least, greatest; centres in alphabetical order.

    Raises
    ------
    DataError
        If a column is absent, or a patient has no centre.

    References
    ----------
    aMAP-CT, Supplementary Table 2.
    """
    absent = [name for name in ("patient", "phase", *IMAGE_FACTS) if name not in facts]
    if absent:
        raise DataError("image facts", f"must have a column {absent[0]!r}", "none", "Give the preprocessing's table.")
    unknown = facts.loc[~facts["patient"].isin(centre.index), "patient"]
    if len(unknown):
        raise DataError("centre", "must have every patient", f"no {unknown.iloc[0]}", "Give the cohort's table.")
    parts = [facts.melt(["patient", "phase"], list(IMAGE_FACTS), "characteristic", "value")]
    for phase in facts["phase"].unique():
        for organ in organs:
            for feature in INTENSITIES:
                column = f"{phase}.{organ}.{feature}"
                if column not in features:
                    raise DataError("features", f"must have a column {column}", "none", "Extract first-order features.")
                own = features[column].rename("value").rename_axis("patient").reset_index()
                parts.append(own.assign(phase=phase, characteristic=f"{organ}.{feature}"))
    long = pd.concat(parts, ignore_index=True)
    long["centre"] = long["patient"].map(centre)
    rows = []
    order = list(dict.fromkeys(long["characteristic"]))
    for (name, phase), own in long.groupby(["centre", "phase"], sort=False):
        for characteristic in order:
            values = own.loc[own["characteristic"] == characteristic, "value"].to_numpy(dtype=float)
            q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75]) if values.size else (np.nan,) * 3
            ends = (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)
            rows.append((str(name), phase, characteristic, values.size, float(median), float(q1), float(q3), *ends))
    columns = ["centre", "phase", "characteristic", "n", "median", "q1", "q3", "least", "greatest"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("centre", kind="stable", ignore_index=True)
