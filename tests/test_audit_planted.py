"""Planted errors: a made-up paper whose tables agree, one printed number changed at a time.

The paper is worked out from simulated patients with numpy and scipy, not with the audit, and printed as papers print.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2_contingency, mannwhitneyu

from hccbook.audit import audit_folder

COLUMNS = ["place", "row", "column", "quantity", "value", "cohort", "subgroup", "lower", "upper"]
SITES = ("north", "south")
GROUPS = ("free", "ill")
SEEDS = (1, 2, 3, 4)


def patients(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(520, 760))
    site = rng.choice(SITES, n, p=[0.6, 0.4])
    ill = rng.random(n) < np.where(site == "north", 0.11, 0.16)
    # At least a few cases on each site, so that no row is empty.
    ill[:8] = True
    male = rng.random(n) < np.where(ill, 0.8, 0.65)
    age = rng.normal(np.where(ill, 58, 51), 9)
    marker = np.exp(rng.normal(np.where(ill, 1.9, 1.2), 0.7))
    cause = rng.choice(["virus", "alcohol", "other"], n, p=[0.6, 0.25, 0.15])
    flagged = rng.random(n) < np.where(ill, 0.76, 0.24)
    age_group = np.where(age < 50, "young", "old")
    return pd.DataFrame(
        {"site": site, "ill": ill, "male": male, "age": age, "marker": marker, "cause": cause, "flagged": flagged}
    ).assign(age_group=age_group)


def p_text(p: float) -> str:
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def characteristics_table(people: pd.DataFrame) -> pd.DataFrame:
    rows = []

    def add(row, quantity, value, site, group, lower="", upper=""):
        rows.append(("Table 1", row, "", quantity, value, site, group, lower, upper))

    for site in ("all", *SITES):
        here = people if site == "all" else people[people["site"] == site]
        split = {group: here[here["ill"] == (group == "ill")] for group in GROUPS}
        for group, some in split.items():
            add("Men", "count", str(some["male"].sum()), site, group)
            add("Men", "percentage", f"{100 * some['male'].mean():.1f}", site, group)
            for cause in ("virus", "alcohol", "other"):
                number = int((some["cause"] == cause).sum())
                add(f"Cause: {cause}", "count", str(number), site, group)
                add(f"Cause: {cause}", "percentage", f"{100 * number / len(some):.1f}", site, group)
            for name in ("age", "marker"):
                low, middle, high = (f"{one:.1f}" for one in np.quantile(some[name], (0.25, 0.5, 0.75)))
                add(name, "median", middle, site, group, low, high)
        men = [[some["male"].sum(), (~some["male"]).sum()] for some in split.values()]
        add("Men", "p-value", p_text(chi2_contingency(men, correction=True).pvalue), site, "")
        causes = [
            some["cause"].value_counts().reindex(["virus", "alcohol", "other"]).tolist() for some in split.values()
        ]
        add("Cause", "p-value", p_text(chi2_contingency(causes).pvalue), site, "")
        for name in ("age", "marker"):
            p = mannwhitneyu(*(some[name] for some in split.values())).pvalue
            add(name, "p-value", p_text(p), site, "")
    return pd.DataFrame(rows, columns=COLUMNS)


def performance_table(people: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for site in SITES:
        here = people[people["site"] == site]
        parts = {"whole": here}
        parts |= {f"sex: {name}": here[here["male"] == (name == "men")] for name in ("men", "women")}
        parts |= {f"age: {name}": here[here["age_group"] == name] for name in ("young", "old")}
        for name, some in parts.items():
            tp, fp = int((some["flagged"] & some["ill"]).sum()), int((some["flagged"] & ~some["ill"]).sum())
            fn, tn = int((~some["flagged"] & some["ill"]).sum()), int((~some["flagged"] & ~some["ill"]).sum())
            shares = {
                "sensitivity": (tp, tp + fn),
                "specificity": (tn, tn + fp),
                "ppv": (tp, tp + fp),
                "npv": (tn, tn + fn),
                "accuracy": (tp + tn, len(some)),
                "f1": (2 * tp, 2 * tp + fp + fn),
            }
            group = "" if name == "whole" else name
            rows.append(("Table 2", name, "", "count", str(len(some)), site, group, "", ""))
            rows.append(("Table 2", name, "", "cases", str(tp + fn), site, group, "", ""))
            rows.append(("Table 2", name, "", "percentage", f"{100 * (tp + fn) / len(some):.1f}", site, group, "", ""))
            for measure, (k, total) in shares.items():
                lower = upper = ""
                if name == "whole" and measure != "f1":
                    found = binomtest(k, total).proportion_ci(method="wilson")
                    lower, upper = f"{found.low:.3f}", f"{found.high:.3f}"
                value = "n.a." if not total or (measure == "f1" and not tp) else f"{k / total:.3f}"
                rows.append(("Table 2", name, "", measure, value, site, group, lower, upper))
    return pd.DataFrame(rows, columns=COLUMNS)


def sizes_table(people: pd.DataFrame) -> pd.DataFrame:
    """The header of Table 1: people by site and group."""
    rows = []
    for site in ("all", *SITES):
        here = people if site == "all" else people[people["site"] == site]
        rows.append(("Table 1", "header", "", "count", str(len(here)), site, "", "", ""))
        for group in GROUPS:
            number = str(int((here["ill"] == (group == "ill")).sum()))
            rows.append(("Table 1", "header", "", "count", number, site, group, "", ""))
    return pd.DataFrame(rows, columns=COLUMNS)


def made_up_paper(seed: int) -> pd.DataFrame:
    people = patients(seed)
    parts = [sizes_table(people), characteristics_table(people), performance_table(people)]
    return pd.concat(parts, ignore_index=True)


DESCRIPTION = """
name: made_up
title: A made-up paper
outcome: {name: ill, events: cases}
cohorts: [north, south]
pooled: {all: [north, south]}
groupings:
  - {name: outcome, groups: [free, ill]}
  - {name: sex, groups: ["sex: men", "sex: women"]}
  - {name: age, groups: ["age: young", "age: old"]}
sizes: [{place: Table 1, row: header}, {place: Table 2, quantity: count}]
events: [{place: Table 1, row: header, subgroup: ill}, {place: Table 2, quantity: cases}]
compares: {Table 1: [free, ill]}
"""
"""All that the audit is told of the paper."""


def problems(paper: pd.DataFrame, folder: Path) -> list[str]:
    """What the audit of a folder objects to, without a line of Python for this paper."""
    (folder / "paper.yaml").write_text(DESCRIPTION)
    paper.to_csv(folder / "tables.csv", index=False)
    return [f"{one.check}: {one.place}" for one in audit_folder(folder).findings]


@pytest.fixture(scope="module")
def papers() -> dict[int, pd.DataFrame]:
    return {seed: made_up_paper(seed) for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_agreeing_paper_has_no_problem(papers, seed, tmp_path):
    """Nothing is reported where nothing is wrong."""
    assert problems(papers[seed], tmp_path) == []


def changed(text: str, rng: np.random.Generator, far: bool) -> str:
    """Another printed number: one or a few units of the last digit away, a tenth or more of it with `far`."""
    if text == "<0.001":
        return f"{rng.uniform(0.002, 0.9):.3f}"
    places = len(text.partition(".")[2])
    value, unit = float(text), 10.0**-places
    step = int(rng.integers(1, 4)) * unit
    if far:
        step = max(step, abs(value) * rng.uniform(0.1, 0.5))
    up = rng.random() < 0.5 or value - step < 0
    other = value + step if up else value - step
    return f"{other:.{places}f}"


def plant(paper: pd.DataFrame, at: tuple[int, str], rng: np.random.Generator, far: bool) -> pd.DataFrame | None:
    row, column = at
    old = paper.loc[row, column]
    new = changed(old, rng, far)
    if new == old:
        return None
    planted = paper.copy()
    planted.loc[row, column] = new
    return planted


def cells_of(paper: pd.DataFrame, quantile_rows: bool) -> list[tuple[int, str]]:
    """Printed numbers that other printed numbers determine, or (`quantile_rows`) medians, quartiles and their p."""
    found = []
    for row, column in itertools.product(paper.index, ("value", "lower", "upper")):
        text = paper.loc[row, column]
        if text not in ("", "n.a.") and (paper.loc[row, "row"] in ("age", "marker")) is quantile_rows:
            found.append((row, column))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_are_found(papers, seed, tmp_path):
    """Of counts, percentages, p-values, measures, group sizes and limits changed by a unit of the last digit or a
    few, at least 95 % are found: everything beyond rounding."""
    paper, rng = papers[seed], np.random.default_rng(100 + seed)
    cells = cells_of(paper, quantile_rows=False)
    chosen = [cells[i] for i in rng.permutation(len(cells))[:60]]
    planted = [(at, plant(paper, at, rng, far=False)) for at in chosen]
    missed = [paper.loc[at[0]].tolist() for at, one in planted if one is not None and not problems(one, tmp_path)]
    made = sum(one is not None for _, one in planted)
    assert made > 50
    assert len(missed) <= 0.05 * made, missed


def test_gross_changes_of_quantiles_are_found(papers, tmp_path):
    """Quartiles bound little: of medians and quartiles changed by a tenth to a half, and their p-values, most are
    found; a change within the spread of the parts cannot be, from print."""
    found = made = 0
    for seed in SEEDS[:2]:
        paper, rng = papers[seed], np.random.default_rng(200 + seed)
        for at in cells_of(paper, quantile_rows=True)[::2]:
            planted = plant(paper, at, rng, far=True)
            if planted is not None:
                made += 1
                found += bool(problems(planted, tmp_path))
    assert made > 30
    assert found >= 0.5 * made
