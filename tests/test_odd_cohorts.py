"""Cohorts that no author would have: every notebook goes to its end, and says in a sentence what is not there.

Each takes seconds, because it is eight notebooks: what one cohort lacks shows on any of their pages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from odd_cohorts import odd_run, patients

from hccbook.pipeline import items


class Odd(NamedTuple):
    """A cohort, and settings of its run."""

    make: Callable[[], pd.DataFrame]
    settings: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's defaults are shared and never changed


def cohort(shares: dict[str, int], *without_hcc: int) -> Callable[[], pd.DataFrame]:
    """Sixty patients whose cohorts the manifest gives, by number; some cohorts, by position, without HCC."""

    def make() -> pd.DataFrame:
        table = patients().assign(cohort=np.repeat(list(shares), list(shares.values())))
        table.loc[table["cohort"].isin([list(shares)[position] for position in without_hcc]), "hcc"] = 0
        return table

    return make


def only_in_first_centre() -> pd.DataFrame:
    table = patients(events=0)
    table.loc[table["centre"] == "C1", "hcc"] = 1
    return table


def where(column: str, value: object, then: dict[str, object]) -> pd.DataFrame:
    table = patients()
    for name, new in then.items():
        table[name] = table[name].where(table[column] != value, new)
    return table


ODD = {
    "one centre": Odd(lambda: patients().assign(centre="only")),
    "eight patients": Odd(lambda: patients(8, 3)),
    "fifteen patients": Odd(lambda: patients(15, 5)),
    "five patients": Odd(lambda: patients(5, 2)),
    "three patients": Odd(lambda: patients(3, 1)),
    "one patient": Odd(lambda: patients(1, 1)),
    "no HCC": Odd(lambda: patients(events=0)),
    "all HCC": Odd(lambda: patients(events=60)),
    "one HCC": Odd(lambda: patients(events=1)),
    "two HCC": Odd(lambda: patients(events=2)),
    "rare HCC": Odd(lambda: patients(200, 3)),
    "one without HCC": Odd(lambda: patients(events=59)),
    "no women": Odd(lambda: patients().assign(sex="male")),
    "no men": Odd(lambda: patients().assign(sex="female")),
    "one aMAP for all": Odd(lambda: patients().assign(age=50, sex="male", bilirubin=17, albumin=40, platelets=150)),
    "all aMAP low": Odd(lambda: patients().assign(age=25, sex="female", albumin=48, platelets=300)),
    "all aMAP high": Odd(lambda: patients().assign(age=80, sex="male", albumin=25, platelets=40)),
    "no AFP": Odd(lambda: patients().assign(afp=np.nan)),
    "AFP of nought": Odd(lambda: patients().assign(afp=0.0)),
    "half the AFP": Odd(lambda: where("sex", "male", {"afp": np.nan})),
    "no ALT, no cause": Odd(lambda: patients().assign(alt=np.nan, etiology="")),
    "no HBV": Odd(lambda: patients().assign(etiology="alcohol")),
    "one phase": Odd(patients, {"phases": "venous"}),
    "two phases": Odd(patients, {"phases": "arterial,delayed"}),
    "aMAP-CT only": Odd(patients, {"papers": "amap_ct"}),
    "ALARM only": Odd(patients, {"papers": "alarm"}),
    "followed for as long": Odd(lambda: patients().assign(months=12.0)),
    "hardly followed": Odd(lambda: patients().assign(months=0.5)),
    "nobody followed on": Odd(lambda: where("hcc", 0, {"months": 1.0})),
    "events of one day": Odd(lambda: where("hcc", 1, {"months": 20.0})),
    "HCC in one centre": Odd(only_in_first_centre),
    "a centre each": Odd(lambda: patients().assign(centre=[f"C{number:02d}" for number in range(60)])),
    "a large centre without HCC": Odd(lambda: patients().assign(centre=lambda t: np.where(t["hcc"] == 1, "B", "A"))),
    "development alone": Odd(cohort({"discovery": 60})),
    "no validation": Odd(cohort({"discovery": 40, "external_validation": 20})),
    "no HCC in the test": Odd(cohort({"discovery": 30, "internal_validation": 15, "external_validation": 15}, 2)),
    "no HCC in validation": Odd(cohort({"training": 30, "validation": 10, "test": 20}, 1)),
    "one outcome in each unseen": Odd(cohort({"training": 30, "validation": 10, "test": 20}, 1, 2)),
    "no development": Odd(cohort({"internal_validation": 30, "external_validation": 30})),
    "odd names of centres": Odd(lambda: patients().assign(centre=lambda t: t["centre"].map(
        {"C1": '=HYPERLINK("x")', "C2": "Zürich, <b>Süd</b>", "C3": "$\\alpha$ & _"}))),
}  # fmt: skip


QUICK = {
    "one centre", "five patients", "three patients", "one patient", "no HCC", "all HCC", "one HCC", "rare HCC",
    "no AFP", "no women", "one phase", "ALARM only", "aMAP-CT only", "HCC in one centre", "no development",
    "odd names of centres",
}  # fmt: skip
"""Cohorts of `make test`; the others wait for `.ci/run`."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in ODD]
)
def test_every_page_goes_to_its_end(tmp_path: Path, name: str) -> None:
    """Nothing but a refusal with a reason leaves something out, and every item has its file."""
    odd = ODD[name]
    done = odd_run(tmp_path, odd.make(), **odd.settings).execute()
    papers = done.profile.run.papers.split(",")
    for chapter in ("figures_and_tables", *(f"{paper}_supplement" for paper in papers)):
        assert items.items_missing(done.run, chapter, papers) == []
    for reasons in done.reasons.values():
        assert all(reason.strip() and "Traceback" not in reason for reason in reasons)
        assert not any("someone" in reason or str(tmp_path) in reason for reason in reasons)
