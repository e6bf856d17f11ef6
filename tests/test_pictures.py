"""The pictures that answer to the hand, in a browser from disk, against the Python package."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page
from test_web_pages import fill, stand_alone

from hccbook import evaluation
from hccbook.book.picture_data import picture_files, run_data
from hccbook.book.web_pages import web_files
from hccbook.papers import PAPERS
from hccbook.pipeline import files
from hccbook.run import RunPaths

PATIENTS = 90
CT_CUTOFF = 0.31


def scores_of(paper: str, rng: np.random.Generator) -> pd.DataFrame:
    """Scores of three cohorts, a fifth of the patients with HCC, with ties."""
    hcc = (np.arange(PATIENTS) % 5 == 0).astype(int)
    cohorts = np.repeat(PAPERS[paper].cohorts, PATIENTS // 3)
    table = pd.DataFrame({"patient": [f"P{number:04d}" for number in range(PATIENTS)], "cohort": cohorts})
    table["role"] = table["cohort"].map({name: role for role, name in PAPERS[paper].cohort_of_role.items()})
    table["hcc"], table["months"] = hcc, 12.5
    logit = rng.normal(-1.2 + 1.4 * hcc, 1)
    table[paper] = np.round(1 / (1 + np.exp(-logit)), 2)
    table["amap"] = rng.normal(57 + 5 * hcc, 6)
    return table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """What a finished run holds of scores and cut-offs."""
    finished = RunPaths(tmp_path_factory.mktemp("results") / "demo")
    rng = np.random.default_rng(7)
    for paper in PAPERS:
        files.save_table(scores_of(paper, rng), finished.stage(paper) / "scores.csv")
    y = (np.arange(140) % 2).astype(int)
    augmented = pd.DataFrame({"alarm": np.round(rng.beta(1 + 2 * y, 3 - 1.5 * y), 3), "y": y})
    files.save_table(augmented, finished.stage("alarm") / "augmented.csv")
    files.save_json({"cutoff": CT_CUTOFF, "rule": "youden"}, finished.stage("amap_ct") / "cutoff.json")
    return finished


@pytest.fixture
def opened(visit: Callable[..., Page], run: RunPaths, tmp_path: Path) -> Callable[..., Page]:
    """Open a picture's page without the book around it, and wait until it has set itself up."""

    def page_of(name: str, **screen: int) -> Page:
        content = web_files(run, ()) | picture_files(run, tuple(PAPERS))
        page = visit(stand_alone(tmp_path, content, f"picture_{name}"), **screen)
        page.wait_for_selector(f"#{name}[data-ready=true]", state="attached")
        return page

    return page_of


def says(text: str, *shares: float) -> bool:
    """Whether a text shows these shares in per cent, to its digits; halves are rounded up there and to even here."""
    shown = re.findall(r"([\d.]+) %", text)
    if not shown:
        return text == "none" and bool(np.isnan(shares).all())
    halves = [0.501 * 10.0 ** -len(one.partition(".")[2]) for one in shown]
    pairs = zip(shown, shares, halves, strict=True)
    return all(abs(float(one) - 100 * share) <= half for one, share, half in pairs)


def cells(page: Page, row: str) -> list[str]:
    """Values in a row of a table."""
    return [text.replace("\u00a0", " ") for text in page.locator(f"#{row} td").all_text_contents()]


# --- a threshold ------------------------------------------------------------------------------------------------------


def test_every_threshold_has_pythons_estimates(opened, run):
    """AUC, sensitivity, specificity and both predictive values along a whole curve are those of the package."""
    page = opened("roc")
    patients = scores_table(run, "alarm", "discovery")
    points = evaluation.roc_points(patients["hcc"], patients["alarm"])
    fill(page, {"roc-cohort": 0, "roc-score": "alarm"}, [])
    assert page.get_attribute("#roc-threshold", "max") == str(len(points) - 1)
    assert cells(page, "roc-auc")[0] == f"{evaluation.auc_delong(patients['hcc'], patients['alarm']).auc:.3f}"
    for prevalence in (0.004, 0.04, 0.3):
        for place, point in points.iterrows():
            fill(page, {"roc-threshold": place, "roc-prevalence": math.log(prevalence)}, [])
            ppv, npv = evaluation.predictive_values(point["tpr"], 1 - point["fpr"], prevalence)
            assert says(cells(page, "roc-sensitivity")[0], point["tpr"])
            assert says(cells(page, "roc-specificity")[0], 1 - point["fpr"])
            assert says(cells(page, "roc-ppv-there")[0], ppv)
            assert says(cells(page, "roc-npv-there")[0], npv)


def scores_table(run: RunPaths, paper: str, cohort: str) -> pd.DataFrame:
    table = files.read_table(run, paper, "scores.csv")
    return table[table["cohort"] == cohort]


def test_a_thousand_people_are_shared_out(opened):
    """Where 4 % have HCC, found and missed people are 40, and all four parts a thousand."""
    page = opened("roc")
    parts = [f"roc-{name}" for name in ("found", "missed", "alarmed", "spared")]
    shown = fill(page, {"roc-prevalence": math.log(0.04)}, parts)
    found, missed, alarmed, spared = (int(shown[name]) for name in parts)
    assert found + missed == 40
    assert found + missed + alarmed + spared == 1000


def test_the_printed_share_of_hcc_is_the_papers(opened):
    """45 of 924 patients of ALARM's discovery cohort developed HCC (ALARM, Table 1)."""
    page = opened("roc")
    page.click("text=Share that the paper prints")
    assert page.text_content("#roc-prevalence-text") == f"{100 * 45 / 924:.1f}\u00a0%"


def test_pointer_and_arrow_keys_move_the_threshold(opened):
    """The upper right corner of the curve calls everybody; an arrow key goes on by one point."""
    page = opened("roc")
    box = page.locator("#roc-curve svg").bounding_box()
    page.mouse.click(box["x"] + 0.96 * box["width"], box["y"] + 0.05 * box["height"])
    assert cells(page, "roc-sensitivity")[0] == "100.0 %"
    assert cells(page, "roc-specificity")[0] == "0.0 %"
    last = int(page.get_attribute("#roc-threshold", "max"))
    assert page.input_value("#roc-threshold") == str(last)
    page.focus("#roc-threshold")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("#roc-threshold") == str(last - 1)
    page.wait_for_timeout(800)
    assert "sensitivity" in page.text_content("#roc [role=status]")


def test_a_run_without_scores_says_why(visit, tmp_path):
    """Before a model is fitted the page stays, and names the reason."""
    empty = RunPaths(tmp_path / "demo")
    page = visit(stand_alone(tmp_path, web_files(empty, ()) | picture_files(empty, tuple(PAPERS)), "picture_roc"))
    assert "has not fitted the model" in page.text_content("#roc")
    assert run_data(empty, tuple(PAPERS))["papers"] == {}
    assert page.page_errors() == []


# --- X-tile's map -----------------------------------------------------------------------------------------------------


def augmented_of(run: RunPaths) -> tuple[pd.Series, pd.Series]:
    table = files.read_table(run, "alarm", "augmented.csv")
    return table["alarm"], table["y"]


@pytest.mark.parametrize("min_fraction", [0.05, 0.1, 0.25])
def test_the_map_has_pythons_maximum(opened, run, min_fraction):
    """Cut-offs and chi-square of the greatest pair are those of X-tile in the package."""
    page = opened("xtile")
    found = evaluation.xtile(*augmented_of(run), min_fraction=min_fraction)
    fill(page, {"xtile-smallest": min_fraction}, [])
    page.click("text=Greatest chi-square")
    reading = page.text_content("#xtile-reading")
    assert reading.startswith(f"Chi-square {found.statistic:.1f}; the greatest of the map")
    assert page.text_content("#xtile-lower-text") == f"{float(f'{found.cuts[0]:.3g}'):g}"
    assert page.text_content("#xtile-upper-text") == f"{float(f'{found.cuts[1]:.3g}'):g}"


def test_every_pair_has_pythons_chi_square_and_groups(opened, run):
    """All pairs of cut-offs: chi-square of the grid, nothing where a group is too small, and the counts of groups."""
    page = opened("xtile")
    score, y = augmented_of(run)
    found = evaluation.xtile(score, y, min_fraction=0.1)
    last = found.candidates.size
    grid = page.evaluate(
        """() => { const { score, hcc } = hccbookRun.xtile; const search = hccbookEstimands.xtile(score, hcc);
        return search.candidates.map((_, l) => search.candidates.map((_, u) =>
          search.isAllowed(l, u, 0.1) ? search.chiSquare(l, u) : -1)); }"""
    )
    np.testing.assert_allclose(grid, np.nan_to_num(found.grid, nan=-1), rtol=1e-12)
    for lower, upper in ((3, last - 4), (last // 3, last // 2)):
        fill(page, {"xtile-lower": lower}, [])
        fill(page, {"xtile-upper": upper}, [])
        groups = evaluation.risk_groups(score, [found.candidates[lower], found.candidates[upper]])
        table = evaluation.group_incidence(groups, y, order=["low", "medium", "high"])
        for row in table.itertuples():
            assert cells(page, f"xtile-{row.group}")[:2] == [str(row.n), str(row.events)]


def test_the_nominal_p_is_the_chi_square_distributions(opened):
    """With two degrees of freedom 9.21 has p = 0.01 (any table of chi-square)."""
    page = opened("xtile")
    assert page.evaluate("Math.exp(-9.2103404 / 2)") == pytest.approx(0.01, abs=1e-8)
    assert page.text_content("#xtile-nominal") == "Had the cut-offs been fixed beforehand: p below 0.001."


def test_shuffled_outcomes_are_searched_too(opened, run):
    """A shuffle keeps the number of HCC, finds less than the outcomes themselves, and can be undone."""
    page = opened("xtile")
    before = page.text_content("#xtile-reading")
    page.click("text=Shuffle the outcomes")
    page.click("text=Shuffle the outcomes")
    said = page.text_content("#xtile-shuffled")
    assert said.startswith("Outcomes shuffled 2 times; greatest chi-square of each map: ")
    _, y = augmented_of(run)
    assert sum(int(cells(page, f"xtile-{group}")[1]) for group in ("low", "medium", "high")) == y.sum()
    assert page.text_content("#xtile-reading") != before
    page.click("text=Outcomes as they were")
    assert page.text_content("#xtile-reading") == before


def test_the_lower_cut_off_stays_below_the_upper(opened):
    """Pushing one beyond the other takes the other along; the pointer sets both."""
    page = opened("xtile")
    last = int(page.get_attribute("#xtile-lower", "max"))
    fill(page, {"xtile-lower": last}, [])
    assert [page.input_value(f"#xtile-{one}") for one in ("lower", "upper")] == [str(last - 1), str(last)]
    fill(page, {"xtile-upper": 0}, [])
    assert [page.input_value(f"#xtile-{one}") for one in ("lower", "upper")] == ["0", "1"]
    box = page.locator("#xtile-map svg").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    assert int(page.input_value("#xtile-lower")) > 10


# --- the stepwise strategy --------------------------------------------------------------------------------------------


def test_every_pair_of_cut_offs_has_pythons_trade_off(opened, run):
    """CTs spared, cancers missed and lost, the high-risk group and the intervals are those of the package."""
    page = opened("stepwise")
    table = files.read_table(run, "amap_ct", "scores.csv")
    for who, rows in (("unseen", table["role"] != "development"), ("training", table["cohort"] == "training")):
        patients = table[rows]
        amap_cuts, ct_cuts = (30, 50, 57.5, 80), (0.02, 0.31, 0.6)
        asked = evaluation.stepwise_tradeoff(patients["amap"], patients["amap_ct"], patients["hcc"], amap_cuts, ct_cuts)
        for row in asked.itertuples():
            ct = math.log(row.ct_cutoff / (1 - row.ct_cutoff)) - 1e-9
            fill(page, {"stepwise-who": who, "stepwise-amap": row.amap_cutoff, "stepwise-ct": ct}, [])
            of_all, of_hcc = f" of {row.n}", f" of {row.events}"
            for name, of in (("spared", of_all), ("missed", of_hcc), ("lost", of_hcc)):
                count, share = cells(page, f"stepwise-{name}")
                assert count == f"{getattr(row, name)}{of}"
                assert says(share, *(getattr(row, f"{name}_{part}") for part in ("share", "lower", "upper")))
            assert cells(page, "stepwise-by-amap")[0] == str(row.missed_by_amap)
            assert cells(page, "stepwise-by-ct")[0] == str(row.missed_by_ct)
            assert cells(page, "stepwise-high")[0] == f"{row.high}{of_all}"
            assert says(cells(page, "stepwise-ppv")[1], row.ppv)


def test_the_pointer_moves_both_cut_offs(opened):
    """A click in the middle of the drawing sets aMAP near 55 and the probability near one half."""
    page = opened("stepwise")
    box = page.locator("#stepwise-patients svg").bounding_box()
    page.mouse.click(box["x"] + 0.547 * box["width"], box["y"] + 0.452 * box["height"])
    assert float(page.input_value("#stepwise-amap")) == pytest.approx(55, abs=1)
    assert float(page.input_value("#stepwise-ct")) == pytest.approx(0, abs=0.3)
    page.focus("#stepwise-amap")
    before = float(page.input_value("#stepwise-amap"))
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#stepwise-amap")) == before + 0.5
    page.click("text=Cut-offs of this run")
    assert page.text_content("#stepwise-ct-text") == f"{100 * CT_CUTOFF:.1f}\u00a0%"


# --- every picture ----------------------------------------------------------------------------------------------------

PICTURES = ("roc", "xtile", "stepwise")


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_for_everyone(opened, name):
    """Labelled, spoken, marked SYNTHETIC, without an error or a request, and no wider than a phone."""
    page = opened(name, width=390, height=800)
    unnamed = page.evaluate(
        f"""[...document.querySelectorAll('#{name} :is(input, select, canvas, svg:not([aria-hidden]))')]
        .filter((n) => !n.labels?.length && !n.getAttribute("aria-label")).map((n) => n.id || n.tagName)"""
    )
    assert unnamed == []
    assert page.evaluate(f"document.querySelectorAll('#{name} [role=status]').length") == 1
    assert "SYNTHETIC" in page.text_content(f"#{name}") or page.locator(f"#{name} canvas[data-stamp=SYNTHETIC]").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(request.url.startswith("file:") for request in page.requests())
    assert page.page_errors() == []
