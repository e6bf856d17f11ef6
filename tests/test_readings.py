"""Sentences beneath tables and figures, each against numbers by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from hccbook.book import BookError, check_cautions
from hccbook.pipeline import readings
from hccbook.run import RunPaths


def _auc(**values: tuple[float, float]) -> pd.DataFrame:
    rows = [
        (cohort, model, auc)
        for model, of in values.items()
        for cohort, auc in zip(("training", "test"), of, strict=True)
    ]
    return pd.DataFrame(rows, columns=["cohort", "model", "auc"])


def test_a_part_that_outdoes_the_whole_is_named() -> None:
    """The liver's 0.8 beats 0.7 in unseen patients; aMAP's 0.9 in the training cohort is no matter."""
    text = readings.roc_text(_auc(amap_ct=(0.95, 0.7), amap_liver=(0.9, 0.8), amap=(0.99, 0.6)), "amap_ct")
    assert text.startswith("aMAP-CT has an AUC of 0.950 where it was learnt, and 0.700 in the test cohort.")
    assert "aMAP + liver (0.800, test cohort)" in text
    assert "0.990" not in text
    assert "outdone" not in readings.roc_text(_auc(amap_ct=(0.95, 0.7), amap=(0.99, 0.6)), "amap_ct")


COMBINATION = {"names": ["ct_image", "amap"], "coefficients": [1.2, -0.345], "intercept": 0.0}


def test_a_risk_that_falls_with_a_risk_factor_is_a_caution() -> None:
    """aMAP's weight is negative, the image score's is not."""
    (caution,) = readings.weight_cautions("aMAP-CT", COMBINATION)
    assert caution.startswith(
        "In aMAP-CT of this run the probability of HCC falls as the aMAP score rises (weight −0.35"
    )
    assert readings.weight_cautions("aMAP-CT", COMBINATION | {"coefficients": [1.2, 0.3]}) == []


@pytest.fixture
def book(tmp_path: Path) -> tuple[Path, RunPaths, list[Path]]:
    """A run whose aMAP weighs negatively, and the three places of a book that must say so."""
    run = RunPaths(tmp_path / "run")
    model = run.stage("amap_ct") / "model.json"
    model.write_text(json.dumps({"combination": COMBINATION}), encoding="utf-8")
    (caution,) = readings.model_cautions(run, "amap_ct")
    html = tmp_path / "html"
    names = ("notebooks/06_amap_ct.html", "notebooks/08_figures_and_tables.html", "_static/models.js")
    pages = [html / name for name in names]
    for page in pages:
        page.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(caution) if page.suffix == ".js" else f"<p>{caution.replace(' falls', chr(10) + 'falls')}</p>"
        page.write_text(text, encoding="utf-8")
    return html, run, pages


def test_a_book_that_remarks_on_it_passes(book) -> None:
    """Chapter, results and the calculator's data have the sentence."""
    html, run, _ = book
    check_cautions(html, run, run)


@pytest.mark.parametrize("place", range(3))
def test_a_book_that_leaves_it_unremarked_fails(book, place: int) -> None:
    """Each of the three places is asked for, and named where it says nothing."""
    html, run, pages = book
    pages[place].write_text("<p>Nothing to see.</p>", encoding="utf-8")
    with pytest.raises(BookError, match=pages[place].name):
        check_cautions(html, run, run)


def test_odds_ratios_against_expectation() -> None:
    """A falling score and rising albumin are named; falling platelets are as expected."""
    rows = [("multivariable", "radiomics", 0.56, 0.37, 0.85), ("multivariable", "platelets", 0.5, 0.4, 0.6)]
    odds = pd.DataFrame(rows, columns=["analysis", "variable", "odds_ratio", "lower", "upper"])
    assert "Radiomics score (multivariable, odds ratio 0.56 (0.37–0.85))" in readings.contrary_odds_text(odds)
    assert "Platelets" not in readings.contrary_odds_text(odds)
    assert readings.contrary_odds_text(odds.iloc[1:]).startswith("Every odds ratio")


def test_groups_that_are_not_told_apart_or_turned() -> None:
    """Two cohorts: one in order and significant, one turned and not."""
    rows = [("training", "low", 0.01), ("training", "high", 0.2), ("test", "low", 0.05), ("test", "high", 0.04)]
    at_horizon = pd.DataFrame(rows, columns=["cohort", "group", "incidence"])
    logrank = pd.DataFrame({"cohort": ["training", "test"], "p": [0.0001, 0.7]})
    text = readings.incidence_text(at_horizon, logrank, 36)
    assert "20.0 % against 1.0 % in the training cohort (p < 0.001)" in text
    assert "In the test cohort the two groups are not told apart." in text
    assert "In the test cohort those called high-risk have less HCC than the others." in text


def test_benefit_by_hand() -> None:
    """Better than all and none at 5 and 10 %, not at 15; 50 % is not looked at."""
    benefit = {"alarm": (0.03, 0.01, -0.01, 0.2), "treat all": (0.02, -0.1, -0.2, -1.0), "treat none": (0.0,) * 4}
    rows = [
        ("unseen", model, threshold, value)
        for model, values in benefit.items()
        for threshold, value in zip((0.05, 0.1, 0.15, 0.5), values, strict=True)
    ]
    curves = pd.DataFrame(rows, columns=["cohort", "model", "threshold", "net_benefit"])
    assert "from 5 % to 10 % (unseen patients, 2 of 3 thresholds)" in readings.decision_text(curves, "alarm")


def test_calibration_by_hand() -> None:
    """An intercept of -3 predicts too much, 0.1 about right; a slope of 0.5 is too extreme."""
    rows = [("training", 0.1, 1.0, 0.01), ("test", -3.0, 0.5, 0.2)]
    text = readings.calibration_text(pd.DataFrame(rows, columns=["cohort", "intercept", "slope", "ici"]))
    assert "predicts about the right amount of HCC in the training cohort (intercept 0.10" in text
    assert (
        "too much HCC in the test cohort (intercept −3.00, slope 0.50, ICI 0.200), with predictions too extreme" in text
    )


def test_screening_against_chance() -> None:
    """Three of forty pass where chance gives two."""
    table = pd.DataFrame({"feature": range(40), "p": [0.01] * 3 + [0.5] * 37})
    assert readings.screening_text(table, 3).startswith(
        "3 of 40 features (7.5 %) have p below 0.05, where chance alone"
    )
    assert "would give 2;" in readings.screening_text(table, 3)
    assert "SMOTE" not in readings.screening_text(table, 3)
    assert readings.screening_text(table, 9).endswith("and kept 9: a test takes them for people.")


def test_coefficients_against_their_own_direction() -> None:
    """b falls with HCC on its own and has a positive weight; a and c agree."""
    weights = pd.DataFrame({"feature": list("abc"), "coefficient": [0.1, 0.2, -0.1]})
    alone = pd.DataFrame({"feature": list("abc"), "auc": [0.8, 0.3, 0.4]})
    assert readings.contrary_coefficients_text(weights, alone).startswith("1 of 3 selected features")


def test_stepwise_groups_by_hand() -> None:
    """Three of twelve with HCC among a tenth of all."""
    rows = [("x", "Final low", 90, 9), ("y", "Final high", 10, 3)]
    text = readings.flows_text(pd.DataFrame(rows, columns=["source", "target", "n", "events"]))
    assert "holds 3 of 12 patients with HCC (25.0 %) among 10.0 % of all; 9 develop HCC as low-risk" in text


def test_comparisons_for_and_against() -> None:
    """Two for, one of them sure; one against, not sure; one without an estimate left out."""
    table = pd.DataFrame({"difference": [0.1, 0.2, -0.1, None], "p": [0.01, 0.2, 0.4, None]})
    text = readings.comparisons_text(table, "difference")
    assert text.startswith(
        "2 of 3 differences are in the model's favour, 1 of them with p below 0.05; against it are 1, 0"
    )


def test_a_shuffle_as_far_from_one_half_as_the_truth_is_said() -> None:
    """Shuffles at 0.87 and 0.31 beside an observed 0.85: the first reaches further; beside 0.95 none does."""
    control = pd.DataFrame({"outcomes": ["observed", "shuffled", "shuffled"], "unseen_auc": [0.85, 0.87, 0.31]})
    text = readings.shuffled_text(control)
    assert "an AUC from 0.31 to 0.87, on average 0.59; with the true ones 0.85." in text
    assert "proves no learning" in text
    control.loc[0, "unseen_auc"] = 0.95
    assert "proves" not in readings.shuffled_text(control)


def test_features_and_patients_that_depend_on_the_mask() -> None:
    """One of three features below 0.5; one of two without HCC goes from 0.01 to 0.92 with an eroded mask."""
    icc = pd.DataFrame({"feature": ["a", "b", "c", "d"], "icc": [0.07, 0.6, 0.9, None]})
    assert "1 of 3 features (33.3 %) agree poorly between masks, least a with" in readings.agreement_text("ALARM", icc)
    assert "correlation of 0.07" in readings.agreement_text("ALARM", icc)
    rows = {"hcc": [0, 0, 1], "used": [0.01, 0.2, 0.1], "erosion:4": [0.92, 0.3, 0.99], "given": [0.02, 0.2, 0.1]}
    text = readings.moved_text("ALARM", pd.DataFrame(rows, index=["P0001", "P0002", "P0003"]))
    assert "goes from 0.01 to 0.92 (eroded by 4 mm), and 1 of 2 move by more than 0.5" in text


def test_a_slope_without_bound_is_said() -> None:
    """Predictions that separate the outcomes have no finite slope."""
    rows = pd.DataFrame({"cohort": ["test"], "intercept": [0.0], "slope": [float("inf")], "ici": [0.1]})
    assert "(intercept 0.00, slope ∞, ICI 0.100)" in readings.calibration_text(rows)
