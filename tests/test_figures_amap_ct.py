"""aMAP-CT's own figures draw what they are given; its tables typeset what they are given."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from hccbook.errors import DataError
from hccbook.report import figures, tables


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def _tradeoff(n_amap: int = 3) -> pd.DataFrame:
    rows = [
        ("test", low, cut, 100, 10, 20 * k, 0.2 * k, 0.1 * k, 0.2 * k + 0.1, 1 + k, 0.1 + 0.1 * k, 0.02, 0.6, k, 9)
        for cut in (0.2, 0.4)
        for k, low in enumerate(np.linspace(45, 55, n_amap))
    ]
    return pd.DataFrame(rows, columns=["cohort", *tables.schemas.TRADEOFF_COLUMNS])


def _horizon_auc() -> pd.DataFrame:
    rows = [
        (cohort, model, months, 5, 50, 3, auc, auc - 0.1, auc + 0.1, 0.123, "")
        for cohort in ("training", "test")
        for model in ("amap_ct", "amap")
        for months, auc in ((12.0, 0.7), (36.0, 0.8))
    ]
    return pd.DataFrame(rows, columns=list(tables.schemas.HORIZON_AUC_COLUMNS))


def _leaves_the_figure(figure) -> bool:
    figure.canvas.draw()
    inner = figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    return inner.x0 < -0.01 or inner.y0 < -0.01 or inner.x1 > width + 0.01 or inner.y1 > height + 0.01


def test_spared_missed_draws_a_line_a_cut_off():
    """Shares missed are the frame's, in order of the aMAP cut-off; the marked one has a ring and its name."""
    figure, axes = figures.panels(1, 1, height_in=3.6)
    ax = figures.plot_spared_missed(axes[0, 0], _tradeoff(), amap_marked=50.0)
    lines = [line for line in ax.lines if str(line.get_label()).startswith("aMAP-CT cut-off")]
    assert [line.get_label() for line in lines] == ["aMAP-CT cut-off 0.20", "aMAP-CT cut-off 0.40"]
    np.testing.assert_allclose(lines[0].get_ydata(), [0.1, 0.2, 0.3])
    rings = [line for line in ax.lines if line.get_markersize() == 10]
    assert [float(ring.get_ydata()[0]) for ring in rings] == [0.2, 0.2]
    assert {"45", "50", "55", "aMAP cut-off"} <= {text.get_text() for text in ax.texts}
    assert not _leaves_the_figure(figure)


def test_crowded_cut_offs_keep_the_marked_name():
    """Where names would overlap, the marked cut-off keeps its own."""
    table = _tradeoff(11)
    table["spared_share"] = table["spared_share"] / 20
    ax = figures.plot_spared_missed(figures.panels()[1][0, 0], table, amap_marked=50.0)
    names = [text.get_text() for text in ax.texts if text.get_text() != "aMAP cut-off"]
    assert "50" in names
    assert len(names) < 11


def test_horizon_auc_draws_the_table():
    """Points are the frame's AUCs, diamonds the binary one, which the points do not have."""
    figure, axes = figures.panels(1, 2, height_in=3.2)
    (first, _) = figures.plot_panels(figures.plot_horizon_auc, axes[0], _horizon_auc(), legend_columns=4)
    lines = {line.get_label(): line for line in first.lines}
    np.testing.assert_allclose(lines["aMAP-CT"].get_ydata(), [0.7, 0.8])
    diamonds = [float(line.get_ydata()[0]) for line in first.lines if line.get_marker() == "D"]
    assert diamonds == [0.123, 0.123]
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["12", "36", "binary"]
    assert not _leaves_the_figure(figure)


def test_horizon_without_an_auc_has_no_point():
    """NaN leaves a gap, and nothing fails."""
    table = _horizon_auc()
    table.loc[0, ["auc", "lower", "upper"]] = np.nan
    (first, _) = figures.plot_panels(figures.plot_horizon_auc, figures.panels(1, 2)[1][0], table)
    line = next(line for line in first.lines if line.get_label() == "aMAP-CT")
    assert np.isnan(line.get_ydata()[0])


def test_horizon_calibration_marks_groups_not_followed():
    """Observed and predicted are the frame's; a group that nobody was followed in to the horizon is open."""
    groups = pd.DataFrame(
        {
            "cohort": "test", "predicted": [0.1, 0.5], "observed": [0.2, 0.4], "lower": [0.05, 0.2],
            "upper": [0.5, 0.7], "n": [20, 20], "events": [3, 8], "at_risk": [9, 0],
        }
    )  # fmt: skip
    figure, axes = figures.panels(1, 1)
    (ax,) = figures.plot_panels(figures.plot_horizon_calibration, axes[0], groups, legend_columns=2, months=24)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [(line.get_ydata().tolist(), line.get_markerfacecolor()) for line in points] == [
        ([0.2], "#0072B2"),
        ([0.4], "white"),
    ]
    diamonds = next(line for line in ax.lines if line.get_marker() == "D")
    np.testing.assert_allclose(diamonds.get_ydata(), [0.1, 0.5])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["3/20", "8/20"]
    assert "24 months" in ax.get_ylabel()
    assert 0.7 < ax.get_ylim()[1] < 1
    assert not _leaves_the_figure(figure)


def test_horizon_calibration_of_rare_events_fills_the_panel():
    """Where no interval reaches a tenth, the axis ends near it, in every cohort at the same place."""
    groups = pd.DataFrame(
        {
            "cohort": ["training", "test"], "predicted": 0.02, "observed": 0.03, "lower": 0.01, "upper": [0.06, 0.09],
            "n": 300, "events": 9, "at_risk": 100,
        }
    )  # fmt: skip
    drawn = figures.plot_panels(figures.plot_horizon_calibration, figures.panels(1, 2)[1][0], groups)
    assert len({ax.get_ylim() for ax in drawn}) == 1
    assert 0.09 < drawn[0].get_ylim()[1] < 0.12


def test_crops_show_the_middle_slice():
    """The picture is the middle axial slice, in millimetres, with the box's size beneath."""
    crop = np.zeros((3, 4, 6), dtype=np.float32)
    crop[1] = np.arange(24).reshape(4, 6)
    (ax,) = figures.show_crops(figures.panels()[1], {"Liver, venous": crop}, spacing_mm=5.0)
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), crop[1])
    assert ax.images[0].get_extent() == [0, 30, 20, 0]
    assert ax.get_xlabel() == "3 × 4 × 6 voxels"
    assert ax.get_title("left") == "Liver, venous"


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (
            lambda axes: figures.plot_spared_missed(axes[0, 0], _tradeoff().drop(columns="lost"), amap_marked=50.0),
            "lost",
        ),
        (lambda axes: figures.plot_panels(figures.plot_horizon_auc, axes[0], _horizon_auc()), "2 panels"),
        (lambda axes: figures.plot_horizon_calibration(axes[0, 0], pd.DataFrame({"cohort": ["a"]})), "predicted"),
        (lambda axes: figures.show_crops(axes, {"a": np.zeros((2, 2))}, spacing_mm=1.0), "three-dimensional"),
    ],
)
def test_figures_refuse_what_they_cannot_draw(draw, word):
    """A missing column, too few panels, a flat crop: the message names it."""
    with pytest.raises(DataError, match=word):
        draw(figures.panels()[1])


# --- tables -----------------------------------------------------------------------------------------------------------


def test_hazard_ratio_table_by_hand():
    """What is compared, counts of both groups, interval, both p-values, method and note."""
    row = {
        "cohort": "training", "model": "amap_ct", "group": "high", "reference": "low", "step": "", "n": 61,
        "events": 12, "n_reference": 748, "events_reference": 12, "hazard_ratio": 12.34, "lower": 5.8, "upper": np.inf,
        "p": 0.0001, "p_proportional": np.nan, "method": "Firth", "note": "why",
    }  # fmt: skip
    laid = tables.hazard_ratio_table(pd.DataFrame([row])).loc[("Training cohort", "aMAP-CT")]
    assert laid["Compared"] == "High risk against low risk"
    assert laid["HCC/n"] == "12/61 against 12/748"
    assert laid["HR (95% CI)"].startswith("12.34 (5.80")
    assert laid["HR (95% CI)"].endswith(">1,000)")
    assert laid[["p", "p (proportional hazards)", "Note"]].tolist() == ["<0.001", "n.a.", "why"]


def test_rate_table_by_hand():
    """Events per hundred person-years, and n.a. where there is no follow-up."""
    rows = [
        ("all", "low", 10, 2, 25.0, 0.08, 0.00969, 0.28899, ""),
        ("all", "high", 0, 0, 0.0, np.nan, np.nan, np.nan, "nobody"),
    ]
    laid = tables.rate_table(pd.DataFrame(rows, columns=list(tables.schemas.RATE_COLUMNS)))
    assert laid["HCC per 100 person-years (95% CI)"].tolist() == ["8.0 (1.0–28.9)", "n.a."]
    assert laid["Note"].tolist() == ["", "nobody"]


def test_horizon_auc_table_says_where_there_is_no_interval():
    """An AUC without limits is not printed as if it had some."""
    table = _horizon_auc().head(2)
    table.loc[0, ["lower", "upper"]] = np.nan
    laid = tables.horizon_auc_table(table)
    assert laid["AUC (95% CI)"].tolist() == ["0.700 (no interval)", "0.800 (0.700–0.900)"]


def test_centres_table_by_hand():
    """Cohorts by their printed names; a centre without HCC keeps its note."""
    row = ("C02", "training, validation", 12, 0, 20.5, 18.0, 0.0, 0.0, 0.2049, "no HCC")
    columns = ["centre", "cohorts", "n", "events", "median_months", "person_years", "rate", "lower", "upper", "note"]
    laid = tables.amap_ct_table_s1(pd.DataFrame([row], columns=columns)).loc["C02"]
    assert laid.tolist() == ["Training, Validation", "12", "0", "20.5", "0.0 (0.0–20.5)", "no HCC"]


def test_image_table_by_hand():
    """The grid by its range, HU by their quartiles."""
    rows = [
        ("C01", "venous", "source_spacing_z_mm", 3, 5.0, 4.0, 6.0, 1.0, 7.5),
        ("C01", "venous", "liver.original_firstorder_Median", 3, 105.4, 100.2, 110.6, 90.0, 120.0),
    ]
    columns = ["centre", "phase", "characteristic", "n", "median", "q1", "q3", "least", "greatest"]
    laid = tables.amap_ct_table_s2(pd.DataFrame(rows, columns=columns)).loc[("C01", "Venous")]
    assert laid.tolist() == ["3", "5.00 (1.00–7.50)", "105 (100–111)"]


def test_settings_table_says_what_was_set():
    """Window, bins, images and neighbours are those of the settings."""
    from hccbook.features.radiomics import ExtractionSettings
    from hccbook.settings import FeatureSettings, PreprocessingSettings

    prepared = PreprocessingSettings(spacing_mm=5.0)
    extraction = ExtractionSettings.of_paper("amap_ct", FeatureSettings(bin_width=20), prepared)
    table = tables.ibsi_settings(extraction.model_dump(), prepared.spacing_mm, extraction.image_names)
    values = table.set_index(["step", "parameter"])["value"]
    assert values[("Discretisation", "Bins")] == "fixed size of 20 HU"
    assert values[("Intensities", "Range")] == "clipped to -60 to 140 HU"
    assert values[("Filters", "Images")].startswith("9: original, wavelet-LLH")
    assert values[("Interpolation", "Voxel edge")] == "5 mm, isotropic"


def test_coefficients_and_volume_tables_by_hand():
    """Parts of a feature's name stand apart; the volume's weight stands beside its test."""
    laid = tables.coefficient_table(pd.DataFrame({"feature": ["venous.spleen.deep_7"], "coefficient": [-0.1234]}))
    assert laid.loc[("Venous", "Spleen", "deep 7"), "Coefficient"] == "−0.123"
    none = tables.coefficient_table(pd.DataFrame({"feature": [], "coefficient": []}))
    assert none["Coefficient"].to_dict() == {("none", "none", "none was selected"): "n.a."}
    row = ("test", "amap_ct_volume", "amap_ct", 0.81, 0.8, 0.01, -0.02, 0.04, 0.7, 0.484, "")
    comparison = pd.DataFrame([row], columns=list(tables.schemas.DELONG_COLUMNS))
    weights = pd.DataFrame([("amap_ct_volume", "spleen_volume_ml", 0.126)], columns=["model", "term", "weight"])
    found = tables.amap_ct_table_s8(comparison, weights).loc[("Test cohort", "aMAP-CT + spleen volume")]
    assert found.tolist() == ["0.810", "0.800", "0.010 (−0.020 to 0.040)", "0.484", "0.13", ""]


def test_pipeline_has_this_runs_numbers():
    """Patients, extracted and kept features are those of the frames."""
    cohorts = pd.DataFrame({"cohort": ["training"], "n": [809], "events": [24]})
    selection = pd.DataFrame(
        {"organ": ["liver", "spleen"], "kind": ["radiomics", "deep"], "extracted": [2553, 1536], "selected": [3, 4]}
    )
    steps = tables.amap_ct_workflow(cohorts, selection)
    text = " ".join(steps["step"] + " " + steps["detail"])
    for part in ("809 patients, 24 HCC", "Liver, radiomics 2,553 features", "kept: 3 liver, 4 spleen"):
        assert part in text
    figure, axes = figures.panels(height_in=4.2)
    figures.plot_workflow(axes[0, 0], steps)
    assert not _leaves_the_figure(figure)
