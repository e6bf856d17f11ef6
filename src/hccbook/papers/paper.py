"""What tells one paper from another: everything that the pipeline, the tables and the book need to know of it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hccbook.errors import DataError

ROLES = ("development", "validation", "test")
"""What a cohort is for, in the order of `Paper.cohorts`."""


@dataclass(frozen=True)
class Paper:
    """A paper whose pipeline this package runs.

    Attributes
    ----------
    name : str
        Its name in settings, folders and columns.
    title : str
        What it is called in print.
    number : int
        Part of every seed of its simulated patients; 2 belongs to those that train the segmentation.
    organs : tuple of str
        Organs that its features come from.
    cohorts : tuple of str
        Names of its cohorts in the order of `ROLES`.
    validation_share : float
        Share of the divided centres that goes to validation.
    largest_centre : {"divided", "test"}
        Whether the largest centre is divided into development and validation, or is the test cohort.
    months : tuple of float
        Least and greatest time between the CT and the diagnosis of HCC or the last visit, months.
    network : {"resnet50", "resnet18"}
        Network of its deep features.
    is_tuned : bool
        Whether that network is fine-tuned and projected, or its pooled values are taken as they are.
    model : str
        Its model, ``module:class``, without the package: what reads a `Paper` does not follow from its model's code.
    filters : str
        Filtered images of its radiomics, where no setting ``<name>_filters`` lists them.
    characteristics : tuple of str
        Rows of its Table 1.
    compares : {"outcomes", "cohorts"}
        What its Table 1 compares.
    causes : tuple of str
        Causes of cirrhosis that it tells apart; ``other`` takes the rest. All where empty.
    markers : mapping of str to str
        For each of its models, the markers that an ideal observer of the same information would have.
    printed_sizes : mapping of str to mapping
        Where the patients and the cases of HCC of each cohort are printed: columns of the transcription, by
        ``patients`` and ``cases``.
    stages, chapters : tuple of str
        Stages and chapters that a run without this paper leaves out.
    """

    name: str
    title: str
    number: int
    organs: tuple[str, ...]
    cohorts: tuple[str, str, str]
    validation_share: float
    largest_centre: Literal["divided", "test"]
    network: Literal["resnet50", "resnet18"]
    model: str
    months: tuple[float, float] = (3.0, float("inf"))
    is_tuned: bool = False
    filters: str = "wavelet"
    characteristics: tuple[str, ...] = ()
    compares: Literal["outcomes", "cohorts"] = "outcomes"
    causes: tuple[str, ...] = ()
    markers: Mapping[str, str] = field(default_factory=dict)
    printed_sizes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    chapters: tuple[str, ...] = ()

    @property
    def cohort_of_role(self) -> dict[str, str]:
        """Name of the cohort by role."""
        return dict(zip(ROLES, self.cohorts, strict=True))

    @property
    def size_settings(self) -> dict[str, str]:
        """Setting that holds the simulated size of each cohort; with ``_hcc`` behind it, its cases."""
        return {cohort: f"{self.name}_{cohort.removesuffix('_validation')}" for cohort in self.cohorts}

    @property
    def notebook_tag(self) -> str:
        """Tag of notebook cells that a run without this paper leaves out."""
        return f"paper-{self.slug}"

    @property
    def slug(self) -> str:
        """Its name in addresses and item names."""
        return self.name.replace("_", "-")

    def model_class(self) -> Any:
        """Class of its model."""
        module, _, name = self.model.partition(":")
        return getattr(importlib.import_module(f"hccbook.{module}"), name)


_ALARM = Paper(
    name="alarm",
    title="ALARM",
    number=0,
    organs=("liver",),
    cohorts=("discovery", "internal_validation", "external_validation"),
    validation_share=0.2,
    largest_centre="divided",
    months=(3.0, 12.0),
    network="resnet50",
    is_tuned=True,
    model="models.alarm:AlarmModel",
    characteristics=(
        *("age", "male", "amap", "ast", "alt", "bilirubin", "albumin", "platelets", "creatinine", "bun", "glucose"),
        *("afp", "stiffness_kpa", "albi", "etiology", "bclc"),
    ),
    compares="outcomes",
    markers={"alarm": "liver_amap", "radiomics": "liver", "deep": "liver", "amap": "amap"},
    printed_sizes={
        "patients": {"item": "alarm-table-1", "row": "header", "subgroup": ""},
        "cases": {"item": "alarm-table-1", "row": "header", "subgroup": "HCC"},
    },
    stages=("alarm",),
    chapters=("alarm_supplement", "leakage_and_negative_controls"),
)

_AMAP_CT = Paper(
    name="amap_ct",
    title="aMAP-CT",
    number=1,
    organs=("liver", "spleen"),
    cohorts=("training", "validation", "test"),
    validation_share=0.3,
    largest_centre="test",
    network="resnet18",
    model="models.amap_ct:AmapCtModel",
    characteristics=(
        *("months", "age", "male", "etiology", "alt", "bilirubin", "albumin", "platelets", "afp"),
        *("amap", "amap_group", "hcc"),
    ),
    compares="cohorts",
    causes=("HBV",),
    markers={"amap_ct": "liver_spleen_amap", "ct_image": "liver_spleen", "amap_liver": "liver_amap", "amap": "amap"},
    printed_sizes={
        "patients": {"item": "amap-ct-table-1", "row": "Total patients, n"},
        "cases": {"item": "amap-ct-table-1", "row": "HCC cases during follow-up, n (%)"},
    },
    stages=("amap_ct", "stepwise_stratification"),
    chapters=("amap_ct_supplement",),
)

PAPERS: dict[str, Paper] = {paper.name: paper for paper in (_ALARM, _AMAP_CT)}
"""The papers by name, in the order in which they appeared; a third one joins by its entry here."""


def find_paper(name: str) -> Paper:
    """Paper of that name.

    Raises
    ------
    DataError
        If there is none.
    """
    if name not in PAPERS:
        raise DataError("paper", f"must be one of {', '.join(PAPERS)}", repr(name), "Check the spelling.")
    return PAPERS[name]


def role_of_cohort() -> dict[str, str]:
    """Role of every cohort of every paper."""
    return {cohort: role for paper in PAPERS.values() for role, cohort in paper.cohort_of_role.items()}
