"""The pictures that answer to the hand, in a browser from disk, against the Python package."""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from playwright.sync_api import Page
from scipy import ndimage
from test_web_pages import fill, stand_alone

from hccbook import evaluation
from hccbook.book.picture_data import SLICE, picture_files, run_data
from hccbook.book.web_pages import web_files
from hccbook.features.radiomics import ExtractionSettings, extract_features, texture_matrices
from hccbook.images import preprocessing, write_image
from hccbook.papers import PAPERS
from hccbook.phantom import render_patient, simulate_clinical, write_patients
from hccbook.pipeline import files
from hccbook.pipeline.shown_slice import shown_slice, slice_content
from hccbook.run import Case, RunPaths
from hccbook.settings import CohortSettings

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
    files.save_json(slice_content(*ct_slice(), "venous", synthetic=True), finished.stage("features") / SLICE)
    return finished


@functools.cache
def ct_slice() -> tuple[sitk.Image, sitk.Image]:
    """Slice through liver and spleen of a simulated patient, in voxels of 2 mm: HU and organs."""
    row = {"image_seed": 41, "centre": "C01", "liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.5}
    settings = CohortSettings(acquisition_spacing_mm=2.0)
    image, labels = render_patient(row, settings, (10.0, 30.0))["venous"]
    middle = image.GetSize()[2] // 2
    return image[:, :, middle], labels[:, :, middle]


def voxels() -> tuple[np.ndarray, np.ndarray]:
    """HU and organs of the slice, shape (rows, columns)."""
    return tuple(sitk.GetArrayFromImage(image) for image in ct_slice())


@pytest.fixture
def opened(visit: Callable[..., Page], run: RunPaths, tmp_path: Path) -> Callable[..., Page]:
    """Open a picture's page without the book around it, and wait until it has set itself up."""

    def page_of(name: str, **screen: int) -> Page:
        content = web_files(run, ()) | picture_files(run, run, tuple(PAPERS))
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


def test_the_curve_of_an_unseen_cohort_comes_first(opened):
    """At first the page shows the paper's own model in patients that it was not fitted on."""
    page = opened("roc")
    assert page.locator("#roc-cohort option:checked").text_content() == "ALARM, internal validation (30)"
    assert page.input_value("#roc-score") == "alarm"


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
    fill(page, {"roc-cohort": 0}, [])
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
    page = visit(
        stand_alone(tmp_path, web_files(empty, ()) | picture_files(empty, empty, tuple(PAPERS)), "picture_roc")
    )
    assert "has not fitted the model" in page.text_content("#roc")
    assert run_data(empty, tuple(PAPERS))["papers"] == {}
    assert page.page_errors() == []


def test_a_cohort_without_hcc_has_no_curve(visit, run, tmp_path):
    """It is not offered; the others are."""
    one = RunPaths(tmp_path / "demo")
    table = files.read_table(run, "alarm", "scores.csv")
    files.save_table(
        table.assign(hcc=table["hcc"] * (table["cohort"] != "discovery")), one.stage("alarm") / "scores.csv"
    )
    page = visit(stand_alone(tmp_path, web_files(one, ()) | picture_files(one, one, ("alarm",)), "picture_roc"))
    offered = page.locator("#roc-cohort option").all_text_contents()
    assert offered == ["ALARM, internal validation (30)", "ALARM, external validation (30)"]
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


# --- window and level -------------------------------------------------------------------------------------------------

PIXELS = """() => { const c = document.querySelector("canvas"); const rows = c.height - 40;
return Array.from(c.getContext("2d").getImageData(0, 12, c.width, rows).data); }"""


def test_the_slice_arrives_voxel_for_voxel(opened):
    """HU and organs in the browser are those that were saved."""
    page = opened("window")
    hu, labels = voxels()
    np.testing.assert_array_equal(page.evaluate("Array.from(hccbookCt.slice.hu)"), hu.ravel())
    np.testing.assert_array_equal(page.evaluate("Array.from(hccbookCt.slice.labels)"), labels.ravel())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "level"), [(200, 40), (1500, -600), (1, 117)])
def test_greys_are_the_windows_in_light_and_dark(opened, theme, width, level):
    """Each voxel is black below the window, white above it and evenly grey between, whatever the theme does."""
    page = opened("window")
    page.emulate_media(color_scheme=theme)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.focus("canvas")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+ArrowLeft")
    fill(page, {"window-width": width, "window-level": level}, [])
    hu, _ = voxels()
    windowed = preprocessing.window(hu, width, level)
    grey = np.floor(255 * (windowed - level + width / 2) / width + 0.5)
    shown = np.reshape(page.evaluate(PIXELS), (hu.shape[0] - 40, hu.shape[1], 4))
    for channel in range(3):
        np.testing.assert_array_equal(shown[..., channel], grey[12:-28])
    assert page.evaluate("getComputedStyle(document.querySelector('canvas')).filter") == "none"


@pytest.mark.parametrize(("width", "level"), [(200, 40), (60, 115), (400, 40)])
def test_what_a_window_cuts_off_is_pythons(opened, width, level):
    """Shares below and above, and grey levels of 25 HU, of liver and spleen."""
    page = opened("window")
    fill(page, {"window-width": width, "window-level": level}, [])
    hu, labels = voxels()
    for label, organ in enumerate(("liver", "spleen"), start=1):
        values = hu[labels == label]
        below, above, levels = cells(page, f"window-{organ}")
        assert says(below, (values < level - width / 2).mean())
        assert says(above, (values > level + width / 2).mean())
        assert int(levels) == preprocessing.discretise(preprocessing.window(values, width, level), 25).max()


def test_pointer_and_keys_on_the_slice(opened):
    """A click and an arrow key move the cross; a drag changes the window as on a workstation."""
    page = opened("window")
    hu, _ = voxels()
    box = page.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    row, column = hu.shape[0] // 2, hu.shape[1] // 2
    said = page.text_content("#window-place").replace("\u2212", "-")
    assert f": {hu[row, column]} HU, " in said
    page.keyboard.press("ArrowRight")
    assert f": {hu[row, column + 1]} HU, " in page.text_content("#window-place").replace("\u2212", "-")
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 130, steps=3)
    page.mouse.up()
    assert (page.input_value("#window-width"), page.input_value("#window-level")) == ("300", "70")
    page.click("text=As in both papers")
    assert page.text_content("#window-range") == "Black up to \u221260 HU, white from 140 HU."


# --- a patch and its matrices -----------------------------------------------------------------------------------------


def in_python(hu: np.ndarray, mask: np.ndarray, width: float, engine: str = "fast") -> pd.Series:
    """Features of one slice, by their names without "original"."""
    settings = ExtractionSettings(
        bin_width=width, minimum_roi_voxels=2, feature_classes=("firstorder", "glcm", "glrlm", "glszm")
    )
    image, organ = (sitk.GetImageFromArray(array[np.newaxis]) for array in (hu.astype(float), mask.astype(np.uint8)))
    features = extract_features(image, organ, settings, engine=engine)
    return features.rename(lambda name: name.removeprefix("original_"))


IN_BROWSER = """([hu, inside, columns, width]) => { const t = hccbookTextures;
const region = { columns, rows: hu.length / columns, levels: t.levelsOf(hu, inside, width) };
const zones = t.sizeZones(region), steps = Object.values(t.DIRECTIONS);
return { features: t.features(region), levels: region.levels, zones, glcm: steps.map((s) => t.coOccurrence(region, s)),
  glrlm: steps.map((s) => t.runLengths(region, s)) }; }"""


@pytest.mark.parametrize("engine", ["fast", "pyradiomics"])
def test_matrices_and_features_are_pythons(opened, engine):
    """Patches of noise with a hole, of liver, and of the chapter: every matrix and every feature, at four widths."""
    page = opened("patch")
    rng = np.random.default_rng(3)
    hole = np.ones((8, 8), bool)
    hole[2:4, 3:6] = False
    noise = rng.integers(-60, 140, (8, 8))
    smooth = np.add.outer(np.arange(8), np.arange(8)) * 7 - 20
    for hu, mask in ((noise, np.ones_like(hole)), (noise, hole), (smooth, hole)):
        for width in (10, 25, 40, 100):
            shown = page.evaluate(IN_BROWSER, [hu.ravel().tolist(), mask.ravel().tolist(), 8, width])
            expected = in_python(hu, mask, width, engine)
            for name, value in shown["features"].items():
                assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12), (name, width)
            levels = np.reshape(shown["levels"], (1, 8, 8))
            offsets = texture_matrices.neighbour_offsets(levels.shape)
            # The page's order of directions.
            order = [offsets.tolist().index(step) for step in ([0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, -1])]
            np.testing.assert_array_equal(
                shown["glcm"], texture_matrices.co_occurrence_matrices(levels, offsets)[order]
            )
            runs = [texture_matrices.run_length_matrix(levels, offsets[place]) for place in order]
            np.testing.assert_array_equal(shown["glrlm"], runs)
            np.testing.assert_array_equal(shown["zones"], texture_matrices.size_zone_matrix(levels, offsets))


def test_the_sixteen_pixels_of_the_chapter(opened):
    """Entropy, contrast, zones as counted by hand in the chapter, and back to them after a change."""
    page = opened("patch")
    fill(page, {"patch-which": "hand"}, [])
    by_hand = {
        "firstorder_Entropy": 0.1875 * math.log2(1 / 0.1875) + 0.3125 * math.log2(1 / 0.3125) + 1.0,  # 3, 5, 4 and 4
        "glszm_LargeAreaEmphasis": 52 / 6,
        "glszm_ZonePercentage": 6 / 16,
    }
    for name, value in by_hand.items():
        assert cells(page, f"patch-{name}") == [f"{float(f'{value:.6g}'):g}", ""]
    before = cells(page, "patch-glcm_Contrast")
    fill(page, {"patch-voxel": 300}, [])
    assert cells(page, "patch-glcm_Contrast")[1].startswith("+")
    page.click("text=Patch as it was")
    assert cells(page, "patch-glcm_Contrast") == before


def test_a_bright_voxel_moves_contrast_more_than_entropy(opened):
    """The page's claim, on its patch of liver: 100 HU more in one voxel, in shares of the value before."""
    page = opened("patch")
    before = {name: float(cells(page, f"patch-{name}")[0]) for name in ("glcm_Contrast", "firstorder_Entropy")}
    fill(page, {"patch-voxel": int(page.input_value("#patch-voxel")) + 100}, [])
    after = {name: float(cells(page, f"patch-{name}")[0]) for name in before}
    grown = {name: after[name] / before[name] for name in before}
    assert grown["glcm_Contrast"] > 2 > grown["firstorder_Entropy"]


def test_a_patch_is_changed_by_keyboard_and_pointer(opened):
    """Arrow keys choose a voxel, plus adds 5 HU, a click chooses the first."""
    page = opened("patch")
    page.focus("#patch-voxels")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert page.text_content("#patch-reading").startswith("Chosen: row 4, column 4, ")
    before = int(page.input_value("#patch-voxel"))
    page.keyboard.press("+")
    assert int(page.input_value("#patch-voxel")) == before + 5
    assert f", {before + 5} HU, " in page.text_content("#patch-reading")
    box = page.locator("#patch-voxels").bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    assert page.text_content("#patch-reading").startswith("Chosen: row 1, column 1, ")


# --- a feature's map --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [10, 25])
def test_the_map_is_the_feature_of_each_window(opened, width):
    """At voxels inside the liver and on its edge, the map is the engine's feature of the window's part of the liver."""
    page = opened("feature_map")
    hu, labels = voxels()
    liver = labels == 1
    edge = liver & ~ndimage.binary_erosion(liver)
    rng = np.random.default_rng(5)
    chosen = [tuple(rng.choice(np.argwhere(where))) for where in (liver, edge) for _ in range(6)]
    for radius in (2, 4):
        for row, column in chosen:
            part = tuple(slice(max(at - radius, 0), at + radius + 1) for at in (row, column))
            expected = in_python(hu[part], liver[part], width)
            shown = page.evaluate(
                """([voxel, radius, width]) => { const t = hccbookTextures, s = hccbookCt.slice;
                const region = { ...s, levels: t.levelsOf(s.hu, Array.from(s.labels, (l) => l === 1), width) };
                return Object.fromEntries(t.LOCAL.map((name) => [name, t.local(region, name, voxel, radius)])); }""",
                [int(row * hu.shape[1] + column), radius, width],
            )
            for name, value in shown.items():
                assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-9), (name, row, column)


def test_the_rim_and_the_whole_are_pythons(opened):
    """Voxels within 5 mm of the edge by a distance transform, and the feature of all of the slice's liver."""
    page = opened("feature_map")
    hu, labels = voxels()
    liver = labels == 1
    spacing = ct_slice()[0].GetSpacing()[0]
    rim = liver & (ndimage.distance_transform_edt(liver) <= 5 / spacing)
    assert says(cells(page, "feature_map-rim-voxels")[0], rim.sum() / liver.sum())
    for name in ("glcm_Contrast", "firstorder_Entropy", "firstorder_Variance", "glcm_Idm", "firstorder_Mean"):
        fill(page, {"feature_map-feature": name}, [])
        whole = in_python(hu, liver, 25)[name]
        assert float(cells(page, "feature_map-whole")[0]) == pytest.approx(whole, rel=1e-3)
    share = float(cells(page, "feature_map-rim-share")[0].removesuffix(" %"))
    assert share == pytest.approx(100 * hu[rim].sum() / hu[liver].sum(), abs=1.5)  # windows blur the mean a little


def test_contrast_comes_from_the_edge(opened):
    """The page's claim: of GLCM contrast the outer 5 mm carry more than their share of the voxels."""
    page = opened("feature_map")
    share, of = (float(cells(page, f"feature_map-rim-{one}")[0].removesuffix(" %")) for one in ("share", "voxels"))
    assert share > of


def test_a_place_on_the_map_is_read_by_keys_and_pointer(opened):
    """An arrow key changes the value read; outside the liver there is none."""
    page = opened("feature_map")
    before = cells(page, "feature_map-here")
    page.focus("canvas")
    page.keyboard.press("Shift+ArrowUp")
    assert cells(page, "feature_map-here") != before
    box = page.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    assert cells(page, "feature_map-here") == ["none"]


# --- the slice of a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imaged(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run of one simulated patient at 8 mm, as far as the organs."""
    run = RunPaths(tmp_path_factory.mktemp("results") / "demo")
    settings = CohortSettings(acquisition_spacing_mm=8.0)
    write_patients(run.synthetic_cohort("alarm"), simulate_clinical("alarm", settings).head(1), settings, 0, 1, None)
    source = run.synthetic_cohort("alarm") / "images" / "P0001"
    case = Case(run, "alarm", "P0001", ("venous",))
    image, liver, spleen = (sitk.ReadImage(str(source / f"venous{part}.nii.gz")) for part in ("", "_liver", "_spleen"))
    for target, written in ((case.image("venous"), image), (case.labels("venous"), liver + 2 * spleen)):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(written, target)
    return run


def test_a_simulated_slice_is_rendered_where_the_liver_is_largest(imaged):
    """One patient in voxels of 1 mm: the liver's area is that of the largest slice at 8 mm, its HU those of a liver."""
    content = shown_slice(imaged, "alarm", "P0001", ("delayed", "venous"), synthetic=True)
    hu = np.frombuffer(base64.b64decode(content["hu"]), "<i2").reshape(content["rows"], content["columns"])
    labels = np.repeat(*np.transpose(content["labels"])).reshape(hu.shape)
    coarse = sitk.ReadImage(str(Case(imaged, "alarm", "P0001", ("venous",)).labels("venous")))
    area = (sitk.GetArrayFromImage(coarse) == 1).sum(axis=(1, 2)).max() * np.prod(coarse.GetSpacing()[:2])
    assert content["synthetic"] is True
    assert max(content["spacing_mm"]) < 1.2
    assert (labels == 1).sum() * np.prod(content["spacing_mm"]) == pytest.approx(area, rel=0.12)
    assert 60 < np.median(hu[labels == 1]) < 150
    assert set(np.unique(labels)) <= {0, 1, 2}


def test_an_own_patients_slice_is_that_of_the_working_grid(imaged):
    """Nothing is rendered, and no manifest asked for, which a stage behind the segmentation does not know."""
    own = RunPaths(imaged.root)
    content = shown_slice(own, "alarm", "P0001", ("delayed", "venous"), synthetic=False)
    image = sitk.ReadImage(str(Case(own, "alarm", "P0001", ("venous",)).image("venous")))
    assert content["synthetic"] is False
    assert (content["columns"], content["rows"]) == image.GetSize()[:2]


# --- every picture ----------------------------------------------------------------------------------------------------

PICTURES = ("window", "patch", "feature_map", "roc", "xtile", "stepwise")


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
