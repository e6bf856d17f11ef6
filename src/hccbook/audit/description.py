"""What a paper is, so that checks need not be told: the schema of ``paper.yaml`` beside its transcribed tables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hccbook.audit.findings import CERTAIN, CERTAINTIES, CHECKS
from hccbook.documents import checked, read_yaml
from hccbook.errors import DataError
from hccbook.papers.published import PrintedAt

FILE = "paper.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Outcome(_Part):
    """What the model predicts."""

    name: str = Field("", description="Subgroup of those who have it, as the tables write it: 'HCC'.")
    events: str = Field("events", description="Quantity that counts them in a row of performance: 'HCC count'.")


class Grouping(_Part):
    """Subgroups that hold everybody of a cohort once: men and women, risk groups, with and without the outcome."""

    name: str = Field(min_length=1, description="What it divides by.")
    groups: tuple[str, ...] = Field(min_length=2, description="Subgroups, of a score from its lowest to its highest.")
    of_model: str = Field("", description="Model whose score orders the groups, where it does.")
    flagged: dict[str, tuple[str, ...]] = Field(
        {}, description="For a cut-off of the paper's model, '' for its only one, the groups at or above it."
    )


class Score(_Part):
    """A row of a table that is worked out from other rows of it."""

    table: str = Field(description="Table that prints it.")
    row: str = Field(description="Its row.")
    published: str = Field(description="Its formula: 'albi', 'amap', or 'linear' with terms and constant.")
    inputs: dict[str, str] = Field(description="Row of each input, by the formula's name for it.")
    terms: dict[str, float] = Field({}, description="Of a linear score: coefficient by input; 'log10 x' of its log.")
    constant: float = Field(0.0, description="Of a linear score.")


class Bound(_Part):
    """Categories of a table that lie below a point of a quantity whose quartiles it prints."""

    table: str
    of: str = Field(description="Row of the quantity.")
    point: float
    below: tuple[str, ...] = Field(min_length=1, description="Rows of the categories below the point.")


class Printings(_Part):
    """One thing that is printed in several places, under different names."""

    name: str = Field(min_length=1, description="What it is called in the report.")
    at: tuple[PrintedAt, ...] = Field(min_length=2, description="Its rows; compared cohort by cohort.")


class RowAt(_Part):
    """A row of diagnostic performance."""

    cohort: str
    subgroup: str = ""


class Relation(_Part):
    """Something that must hold between printed numbers and that no general check knows of."""

    id: str = Field(pattern=r"^[a-z0-9-]+$", description="Its name, by which a finding takes it up.")
    check: str = Field(description="Family of checks that it belongs to.")
    place: str = Field(min_length=1, description="Where it stands.")
    what: str = Field(min_length=1, description="What agrees where it holds; may hold placeholders.")
    numbers: dict[str, PrintedAt] = Field({}, description="Printed numbers by name; the first printing counts.")
    tables: dict[str, RowAt] = Field({}, description="Recovered 2x2 tables by name; without one it is not asked.")
    rows: dict[str, RowAt] = Field({}, description="Rows of performance by name.")
    values: dict[str, str] = Field({}, description="Expressions by name, each may use those before it.")
    holds: str = Field(min_length=1, description="Expression that must hold.")
    at_face: bool = Field(False, description="Whether it must hold with every number taken as it stands, too.")
    cells: int = Field(1, ge=1, description="Comparisons that it makes.")
    certainty: str = Field(CERTAIN, description="How sure its failure is.")

    @model_validator(mode="after")
    def _is_known(self) -> Relation:
        if self.check not in CHECKS:
            raise ValueError(f"check must be one of {', '.join(CHECKS)}, but found {self.check!r}")
        if self.certainty not in CERTAINTIES:
            raise ValueError(f"certainty must be one of {', '.join(CERTAINTIES)}, but found {self.certainty!r}")
        return self


class Marks(_Part):
    """A sentence that calls the model significantly better than others, and the mark that their table gives that."""

    place: str = Field(description="Table with an AUC and a footnote mark by subgroup.")
    mark: str = Field(min_length=1, description="Mark of a significant difference.")
    but: tuple[str, ...] = Field((), description="Subgroups that the sentence does not speak of.")
    said: str = Field(min_length=1, description="Place of the sentence.")


class Alike(_Part):
    """A sentence that calls the columns of a table alike."""

    table: str = Field(description="Table of characteristics.")
    said: str = Field(min_length=1, description="Place of the sentence.")


class Horizon(_Part):
    """Cumulative incidences of two risk groups, and yearly ones of the same."""

    cumulative: PrintedAt
    years: float = Field(gt=0, description="Horizon of the cumulative incidences.")
    yearly: PrintedAt | None = None
    high: str = Field(description="Subgroup at high risk.")
    low: str = Field(description="Subgroup at low risk.")
    cohort: str


class Method(_Part):
    """A number or a name of the methods that is known from the program or network that it names."""

    kind: Literal["radiomics", "network", "sub-band"]
    name: str = Field(description="'PyRadiomics', a network as 'ResNet-18', or a sub-band as 'HLL'.")
    at: PrintedAt | None = Field(None, description="The printed number of features.")
    images: int = Field(1, ge=1, description="Images or phases that the number is of.")
    expansion: str = Field("", description="What the paper takes the sub-band's letters for.")
    place: str = Field(min_length=1, description="Where it stands.")

    @model_validator(mode="after")
    def _has_a_number(self) -> Method:
        if (self.at is None) is not (self.kind == "sub-band"):
            raise ValueError("a number of features must say where it stands (at), a sub-band its expansion")
        return self


class Study(_Part):
    """Where the patients come from, for comparison with other papers of the same people."""

    source: str = Field(min_length=1, description="Registry or cohort that the patients are drawn from.")
    facts: tuple[PrintedAt, ...] = Field((), description="Rows that print what the source is; alike in every paper.")
    registration: str = Field("", description="Registration of the source as printed.")
    approval: str = Field("", description="Number of the ethics approval as printed.")
    consent: Literal["written", "waived", "not said"] = "not said"
    centres: dict[str, tuple[str, ...]] = Field({}, description="Centres of each cohort, as far as they are named.")
    trained_on: tuple[str, ...] = Field((), description="Cohorts that the model was built or tuned on.")
    tested_on: tuple[str, ...] = Field((), description="Cohorts that it was tested on.")
    excludes: tuple[str, ...] = Field((), description="Names of papers whose patients it says it leaves out.")


class Description(_Part):
    """A paper that is to be audited."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Short name, also of its findings.")
    title: str = Field(min_length=1, description="What the report calls it.")
    citation: str = ""
    outcome: Outcome = Outcome()
    model: str = Field("", description="Subgroup that stands for the paper's own model; numbers without one are its.")
    cohorts: tuple[str, ...] = Field(min_length=1, description="Sets of patients that do not overlap.")
    pooled: dict[str, tuple[str, ...]] = Field({}, description="Cohorts that hold everybody of others once.")
    groupings: tuple[Grouping, ...] = ()
    models: tuple[str, ...] = Field((), description="Subgroups that are models, tried on the whole cohort.")
    cutoffs: tuple[str, ...] = Field((), description="Subgroups that are cut-offs, tried on the whole cohort.")
    other_people: tuple[str, ...] = Field((), description="Subgroups whose people or events are not printed.")
    sizes: tuple[PrintedAt, ...] = Field((), description="Rows that print how many people a group holds.")
    events: tuple[PrintedAt, ...] = Field((), description="Rows that print how many of a group have the outcome.")
    shares: tuple[PrintedAt, ...] = Field((), description="Percentages that a group is of its cohort.")
    whole_numbers: tuple[str, ...] = Field((), description="Rows whose means are of whole numbers, as of lesions.")
    compares: dict[str, tuple[str, ...]] = Field(
        {}, description="For each table of characteristics the cohorts, or the subgroups of a cohort, in its columns."
    )
    level: PrintedAt | None = Field(None, description="Where the level of significance is printed.")
    same: tuple[Printings, ...] = ()
    scores: tuple[Score, ...] = ()
    bounds: tuple[Bound, ...] = ()
    marks: tuple[Marks, ...] = ()
    alike: tuple[Alike, ...] = ()
    horizons: tuple[Horizon, ...] = ()
    hazard_groups: tuple[str, str] | tuple[()] = Field((), description="Groups of a hazard ratio: high, low.")
    methods: tuple[Method, ...] = ()
    relations: tuple[Relation, ...] = ()
    study: Study | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Description:
        for whole, parts in self.pooled.items():
            unknown = [part for part in parts if part not in self.cohorts]
            if unknown or whole in self.cohorts:
                raise ValueError(f"a pooled cohort must be of others of the list, but found {whole!r}: {unknown}")
        tables = [one.table for one in (*self.scores, *self.bounds, *self.alike)]
        missing = sorted(set(tables) - set(self.compares))
        if missing:
            raise ValueError(f"tables of scores, bounds and alike must be among compares, but found {missing}")
        names = [one.id for one in self.relations]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"relations must have names of their own, but found {', '.join(twice)} twice")
        return self

    @property
    def slug(self) -> str:
        """The name as ids write it."""
        return self.name.replace("_", "-")

    @property
    def every_cohort(self) -> tuple[str, ...]:
        """Pooled cohorts, then the others."""
        return (*self.pooled, *self.cohorts)

    def is_whole(self, subgroup: str) -> bool:
        """Whether a subgroup stands for everybody of its cohort: none, a model, a cut-off."""
        return subgroup in ("", self.model, *self.models, *self.cutoffs) and subgroup not in self.other_people

    @classmethod
    def read(cls, folder: Path) -> Description:
        """The description in a folder.

        Raises
        ------
        DataError
            If it is missing, no YAML, or breaks the schema; names the field, the rule, the value and a hint.
        """
        file = folder / FILE
        if not file.is_file():
            raise DataError(
                str(folder), f"must hold {FILE}", "none", "hccbook audit init FOLDER writes one to fill in."
            )
        content = read_yaml(file, DataError)
        return checked(cls, content, FILE, DataError, "hccbook audit schema prints the format.")
