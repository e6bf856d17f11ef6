"""What a cohort can give, before anything runs: remarks on what the pages will have to show as n.a."""

from __future__ import annotations

import pandas as pd

from hccbook.cohort.manifest import Problem
from hccbook.cohort.splits import assign_cohorts, choose_split
from hccbook.papers import find_paper
from hccbook.settings import CohortSettings

_FEW_EVENTS = 10
"""Patients with HCC, or without, in the development cohort below which a model that selects features learns little."""

_NOTHING_WITHOUT = {"afp": "AFP", "etiology": "the cause of cirrhosis", "alt": "ALT"}


def cohort_remarks(manifest: pd.DataFrame, paper: str, settings: CohortSettings) -> list[Problem]:
    """Whatever will be n.a., or worth little, in a paper's pages on these patients.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `hccbook.cohort.read_manifest` returns it.
    paper : {"alarm", "amap_ct"}
    settings : CohortSettings
        Its seed and split.

    Returns
    -------
    list of Problem
        Remarks on the whole file, by column.
    """
    of_paper = find_paper(paper)
    remarks = []

    def add(column: str, rule: str, found: str, hint: str) -> None:
        rule = f"for {of_paper.title}, {rule}"
        remarks.append(Problem(column=column, rule=rule, found=found, hint=hint, remark=True))

    split, reason = choose_split(manifest, paper, settings.seed)
    if settings.split == "paper" or (settings.split == "auto" and split == "paper"):
        cohorts = assign_cohorts(manifest, paper, settings.seed)
    else:
        cohorts = assign_cohorts(manifest, paper, settings.seed, "outcome")
    if split == "outcome":
        hint = "Fill the column, or leave the setting cohort.split at auto, which divides by outcome."
        add("cohort", "every cohort should have patients with HCC and without", reason.rstrip("."), hint)
    for role, name in of_paper.cohort_of_role.items():
        hcc = manifest.loc[cohorts == name, "hcc"]
        with_hcc, without = int((hcc == 1).sum()), int((hcc == 0).sum())
        found = f"{with_hcc} with HCC and {without} without"
        title = name.replace("_", " ")
        if role == "development" and min(with_hcc, without) < _FEW_EVENTS:
            what = "no model can be fitted" if min(with_hcc, without) < 2 else "what is selected will be mostly chance"
            rule = f"the {title} cohort should have {_FEW_EVENTS} patients or more with HCC, and without"
            add("hcc", rule, found, f"Add patients: {what}.")
        elif role != "development" and min(with_hcc, without) < 1:
            rule = f"the {title} cohort should have patients with HCC and without"
            add("hcc", rule, found, "Its AUC and what follows from it will be n.a.")
    if manifest["centre"].nunique() == 1:
        add("centre", "there should be several centres", "one", "What a new centre would show will be n.a.")
    for column, title in _NOTHING_WITHOUT.items():
        if column in manifest and (manifest[column].isna() | (manifest[column] == "")).all():
            add(column, f"{title} should be known", "no value", "Rows and scores that need it will be n.a.")
    return remarks
