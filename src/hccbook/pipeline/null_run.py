"""Null run: cohorts whose features are drawn and carry nothing, for the same two models as the main run's."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pandas as pd

from hccbook import cohort, phantom
from hccbook.papers import find_paper
from hccbook.pipeline.files import read_cohort, read_table, save_json, save_table
from hccbook.run import RunPaths
from hccbook.settings import CohortSettings, NullRunSettings
from hccbook.store import atomic_path

DRAWN = ("cohort", "segmentation", "features")
"""Stages in whose folders a null run has what was drawn; they are not executed in it."""

_FEATURES = ("features/{paper}_radiomics.parquet", "features/{paper}_deep.parquet")
DRAWN_FILES = ("cohort/truth.json", "cohort/{paper}.csv", "segmentation/{paper}.csv", *_FEATURES)
"""What `draw_null_run` leaves in the null run's folder, by paper."""


def null_cohort_settings(paper: str, sizes: NullRunSettings) -> CohortSettings:
    """Settings of a paper's simulated cohorts in the null run: no effect, and sizes of its own."""
    of_paper = find_paper(paper)
    fields: dict[str, object] = {"seed": sizes.seed, "effect": "none"}
    for role, name in of_paper.cohort_of_role.items():
        setting = of_paper.size_settings[name]
        fields |= {setting: getattr(sizes, role), f"{setting}_hcc": getattr(sizes, f"{role}_hcc")}
    return CohortSettings(**fields)


def draw_null_run(run: RunPaths, papers: Sequence[str], sizes: NullRunSettings) -> None:
    """Write all that the models read of a null run, in place of the stages that would measure it.

    Patients are simulated without an effect, as many as `sizes` says; a user's own stay who they are, with their
    outcomes. Features, one in ``one_feature_in``, and volumes are drawn with the mean and covariance of those that
    `run` measured, by `hccbook.phantom.draw_null_features`. Intraclass correlations are those that were measured.

    Parameters
    ----------
    run : RunPaths
        The main run, up to stage 04; its null run is written.
    papers : sequence of str
    sizes : NullRunSettings
        Seed, sizes, and how many features.

    Raises
    ------
    DataError
        If the main run's features can't be imitated.
    """
    truth = {}
    for paper in papers:
        if run.manifest is None:
            settings = null_cohort_settings(paper, sizes)
            clinical = cohort.clinical_table(phantom.simulate_clinical(paper, settings))
            truth[paper] = phantom.truth(paper, settings)
        else:
            clinical = read_cohort(run, paper)
        save_table(clinical.reset_index(), run.control.clinical(paper))
        _save_features(run, paper, draw_features(run, paper, clinical.index, sizes))
    save_json(truth, run.control.stage("cohort") / "truth.json")


def draw_features(run: RunPaths, paper: str, patients: pd.Index, sizes: NullRunSettings) -> pd.DataFrame:
    """Features and organ volumes of patients who have no image, as `hccbook.phantom.draw_null_features` draws them.

    They are in one draw, so that a shape goes with its volume. What is drawn has no more directions than there are
    measured patients, so that some of the features are as good as all of them, and are sooner fitted.
    """
    tables = [pd.read_parquet(run.root / file.format(paper=paper)) for file in _FEATURES]
    measured = [table.iloc[:, :: sizes.one_feature_in] for table in tables]
    organs = [f"{organ}_volume_ml" for organ in find_paper(paper).organs]
    volumes = read_table(run, "segmentation", f"{paper}.csv").groupby("patient")[organs].mean()
    return phantom.draw_null_features(pd.concat([*measured, volumes], axis=1, join="inner"), patients, sizes.seed)


def _save_features(run: RunPaths, paper: str, drawn: pd.DataFrame) -> None:
    volumes = drawn.columns.str.endswith("_volume_ml")
    save_table(drawn.loc[:, volumes].reset_index(), run.control.stage("segmentation") / f"{paper}.csv")
    deep = drawn.columns.str.contains(".deep_", regex=False)
    for file, block in zip(_FEATURES, (~deep & ~volumes, deep), strict=True):
        with atomic_path(run.control.root / file.format(paper=paper)) as part:
            drawn.loc[:, block].to_parquet(part, use_dictionary=False)
    reliability = run.stage("features") / f"{paper}_icc.csv"
    if reliability.is_file():
        with atomic_path(run.control.stage("features") / reliability.name) as part:
            shutil.copyfile(reliability, part)
