"""The centres: patients, follow-up and HCC of each, and what its images are like."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import PAPERS
from hccbook.settings import ORGANS

CENTRE_COLUMNS = (
    *("centre", "cohorts", "n", "events", "median_months", "person_years", "rate", "lower", "upper", "note"),
)
"""Columns of `centre_table`."""

_IMAGE_FACTS = ("source_spacing_x_mm", "source_spacing_z_mm", "source_size_x", "source_size_z")
_INTENSITIES = ("original_firstorder_Median", "original_firstorder_InterquartileRange")


def centre_table(clinical: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """Patients, follow-up and annual incidence of HCC of each centre, the largest first.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Columns centre, cohort, months.
    rates : pandas.DataFrame
        From `hccbook.evaluation.person_year_rates`, one row per centre in the column group.

    Returns
    -------
    pandas.DataFrame
        Columns `CENTRE_COLUMNS`: cohorts are joined by commas, median_months is of the follow-up to HCC or last visit,
        rate, lower and upper are a person-year. A centre without HCC has rate 0, an upper limit and a note.

    Raises
    ------
    DataError
        If a column is absent, or a centre has no rate.

    References
    ----------
    aMAP-CT, Supplementary Table 1.
    """
    absent = [name for name in ("centre", "cohort", "months") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort stage's table.")
    largest = clinical["centre"].astype(str).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    without = largest.index.difference(rates["group"])
    if len(without):
        raise DataError("rates", "must have every centre", f"no {without[0]}", "Give the centres of these patients.")
    rank = {name: place for paper in PAPERS.values() for place, name in enumerate(paper.cohorts)}
    by_centre = clinical.groupby(clinical["centre"].astype(str))
    listed = by_centre["cohort"].agg(
        lambda names: ", ".join(sorted(names.unique(), key=lambda name: rank.get(name, 9)))
    )
    table = rates.set_index("group").loc[largest.index]
    table = table.assign(cohorts=listed, median_months=by_centre["months"].median()).rename_axis("centre")
    return table.reset_index()[list(CENTRE_COLUMNS)]


def coded_centres(centre: pd.Series) -> pd.Series:
    """Centres as C01, C02, ..., the largest first; of two of one size, the one that comes first in the series."""
    largest = centre.value_counts(sort=False).sort_values(ascending=False, kind="stable").index
    return centre.map({name: f"C{number:02d}" for number, name in enumerate(largest, start=1)})


def image_characteristics(facts: pd.DataFrame, features: pd.DataFrame, centre: pd.Series) -> pd.DataFrame:
    """What the images of each centre are like: grid as acquired, and the organs' HU.

    Parameters
    ----------
    facts : pandas.DataFrame
        From preprocessing: columns patient, phase, and voxel edge (mm) and size along x and z of the source.
    features : pandas.DataFrame
        Radiomics, index the patient; columns ``<phase>.<organ>.<feature>``. HU are those within the window.
    centre : pandas.Series
        Centre, index the patient.

    Returns
    -------
    pandas.DataFrame
        Columns centre, phase, characteristic (a fact, or ``<organ>.<feature>`` for the median and interquartile range
        of an organ's HU), n, median, q1, q3, least, greatest; centres in alphabetical order.

    Raises
    ------
    DataError
        If a column is absent, or a patient has no centre.

    References
    ----------
    aMAP-CT, Supplementary Table 2.
    """
    absent = [name for name in ("patient", "phase", *_IMAGE_FACTS) if name not in facts]
    if absent:
        raise DataError("image facts", f"must have a column {absent[0]!r}", "none", "Give the preprocessing's table.")
    unknown = facts.loc[~facts["patient"].isin(centre.index), "patient"]
    if len(unknown):
        raise DataError("centre", "must have every patient", f"no {unknown.iloc[0]}", "Give the cohort's table.")
    columns = [".".join(parts) for parts in itertools.product(facts["phase"].unique(), ORGANS, _INTENSITIES)]
    absent = [name for name in columns if name not in features]
    if absent:
        raise DataError("features", f"must have a column {absent[0]}", "none", "Extract first-order features.")
    organs = features[columns].rename_axis("patient").reset_index().melt("patient", var_name="column")
    organs[["phase", "characteristic"]] = organs.pop("column").str.split(".", n=1, expand=True).to_numpy()
    long = pd.concat([facts.melt(["patient", "phase"], list(_IMAGE_FACTS), "characteristic"), organs])
    long["centre"] = long["patient"].map(centre).astype(str)
    for name in ("phase", "characteristic"):
        long[name] = pd.Categorical(long[name], long[name].unique())
    quartiles = {"median": 0.5, "q1": 0.25, "q3": 0.75}
    measures = {name: functools.partial(np.quantile, q=share) for name, share in quartiles.items()}
    values = long.groupby(["centre", "phase", "characteristic"], observed=True)["value"]
    table = values.agg(n="size", **measures, least="min", greatest="max").reset_index()
    return table.astype({"phase": object, "characteristic": object})
