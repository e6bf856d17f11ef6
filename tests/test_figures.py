"""Figures draw what they are given, say SYNTHETIC where they must, and compute nothing."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Rectangle

from hccbook.errors import DataError
from hccbook.report import figures
from hccbook.report.figures import style

COHORTS = ("discovery", "internal_validation", "external_validation")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def ax() -> Axes:
    """One panel in the book's style."""
    return figures.panels()[1][0, 0]


def _texts(ax: Axes) -> list[str]:
    found = [text.get_text() for text in ax.texts]
    legend = ax.get_legend()
    if legend is not None:
        found += [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]
    return found


def _line(ax: Axes, label: str):
    return next(line for line in ax.lines if str(line.get_label()).startswith(label))


def _roc() -> tuple[pd.DataFrame, pd.DataFrame]:
    points = [
        (cohort, model, fpr, tpr)
        for cohort in COHORTS
        for model, bend in (("ALARM", 0.9), ("aMAP", 0.6))
        for fpr, tpr in ((0.0, 0.0), (0.2, bend), (1.0, 1.0))
    ]
    # Areas that the points do not have: a figure that computed them would show others.
    areas = [(cohort, model, 100, 10, 0.123, 0.1, 0.2) for cohort in COHORTS for model in ("ALARM", "aMAP")]
    return (
        pd.DataFrame(points, columns=["cohort", "model", "fpr", "tpr"]),
        pd.DataFrame(areas, columns=["cohort", "model", "n", "events", "auc", "lower", "upper"]),
    )


def _leaves_the_figure(figure) -> bool:
    """Whether anything drawn leaves the figure."""
    figure.canvas.draw()
    inner = figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    return inner.x0 < -0.01 or inner.y0 < -0.01 or inner.x1 > width + 0.01 or inner.y1 > height + 0.01


# --- style: the stamp, saving, panels ---------------------------------------------------------------------------------


def test_stamp_stands_on_a_synthetic_figure(tmp_path):
    """The saved figure says SYNTHETIC, once, however often it is stamped."""
    figure, _ = figures.panels()
    figures.stamp_synthetic(figure)
    figures.save_figure(figure, tmp_path / "a.svg", synthetic=True, dpi=80)
    assert [text.get_text() for text in figure.texts] == ["SYNTHETIC DATA"]
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("SYNTHETIC DATA") == 1


def test_stamp_is_absent_from_real_data(tmp_path):
    """A figure of a user's own patients does not say SYNTHETIC."""
    figure, _ = figures.panels()
    figures.save_figure(figure, tmp_path / "a.svg", synthetic=False, dpi=80)
    assert not style.is_stamped(figure)
    assert "SYNTHETIC" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_stamp_contradicted_is_refused(tmp_path):
    """A stamped figure cannot be saved as real; nothing is written."""
    figure, _ = figures.panels()
    figures.stamp_synthetic(figure)
    with pytest.raises(DataError, match="carries the stamp"):
        figures.save_figure(figure, tmp_path / "a.png", synthetic=False, dpi=80)
    assert list(tmp_path.iterdir()) == []


def test_stamp_covers_no_panel():
    """The panels end below the strip that the stamp stands in, title included."""
    figure, axes = figures.panels(1, 2)
    for ax in axes.flat:
        ax.set_title("Title")
    figures.stamp_synthetic(figure)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    stamp = figure.texts[0].get_window_extent(renderer)
    assert all(ax.get_tightbbox(renderer).y1 <= stamp.y0 for ax in axes.flat)
    assert stamp.x1 <= figure.bbox.x1
    assert stamp.y1 <= figure.bbox.y1


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_save_same_figure_gives_the_same_bytes(tmp_path, ending):
    """No date, version or random identifier in the file."""
    for name in ("a", "b"):
        figure, axes = figures.panels()
        figures.plot_roc(axes[0, 0], *_roc(), cohort="discovery")
        figures.save_figure(figure, tmp_path / f"{name}.{ending}", synthetic=True, dpi=60)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_save_unknown_format_is_refused(tmp_path):
    """The message names the formats."""
    with pytest.raises(DataError, match=r"\.png, \.svg, \.pdf"):
        figures.save_figure(figures.panels()[0], tmp_path / "a.bmp", synthetic=True, dpi=80)


def test_style_is_left_as_it_was():
    """Drawing does not change the user's matplotlib settings."""
    before = dict(mpl.rcParams)
    figure, axes = figures.panels(letters=True)
    figures.plot_roc(axes[0, 0], *_roc(), cohort="discovery")
    figures.stamp_synthetic(figure)
    assert dict(mpl.rcParams) == before


def test_panels_are_lettered():
    """A, B, C from left to right."""
    _, axes = figures.panels(1, 3, letters=True)
    assert [ax.texts[0].get_text() for ax in axes[0]] == ["A", "B", "C"]


# --- discrimination ---------------------------------------------------------------------------------------------------


def test_roc_draws_the_points_given(ax):
    """Curve and area are those of the frames; the area is not recomputed."""
    points, auc = _roc()
    assert figures.plot_roc(ax, points, auc, cohort="discovery") is ax
    line = _line(ax, "ALARM")
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.2, 1])
    np.testing.assert_array_equal(line.get_ydata(), [0, 0.9, 1])
    assert _texts(ax) == ["AUC (95% CI), 10/100 HCC", "ALARM 0.123 (0.100–0.200)", "aMAP 0.123 (0.100–0.200)"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == (
        "1 − specificity",
        "Sensitivity",
        "Discovery",
    )


def test_roc_panels_one_a_cohort():
    """Three panels, each with its curves and the diagonal; only the first names the vertical axis."""
    figure, axes = figures.panels(1, 3, height_in=3.4)
    drawn = figures.plot_panels(figures.plot_roc, axes, *_roc())
    assert [ax.get_title(loc="left") for ax in drawn] == ["Discovery", "Internal validation", "External validation"]
    assert [len(ax.lines) for ax in drawn] == [3, 3, 3]
    assert [ax.get_ylabel() for ax in drawn] == ["Sensitivity", "", ""]
    figures.stamp_synthetic(figure)
    assert not _leaves_the_figure(figure)


def test_roc_too_few_panels_is_refused():
    """Three cohorts do not fit two panels."""
    with pytest.raises(DataError, match="needs 3 panels, but found 2 Axes"):
        figures.plot_panels(figures.plot_roc, figures.panels(1, 2)[1], *_roc())


def test_roc_spare_panel_is_left_blank():
    """A fourth panel is not an empty frame."""
    _, axes = figures.panels(2, 2)
    assert len(figures.plot_panels(figures.plot_roc, axes, *_roc())) == 3
    assert not axes[1, 1].axison


def test_panels_refuse_an_option_that_the_figure_lacks():
    """A misspelt option is not swallowed; nor is a table without cohorts."""
    axes = figures.panels(1, 3)[1]
    with pytest.raises(TypeError, match="horizn"):
        figures.plot_panels(figures.plot_roc, axes, *_roc(), horizn=36)
    with pytest.raises(DataError, match="roc: must have the columns cohort"):
        figures.plot_panels(figures.plot_roc, axes, _roc()[0].drop(columns="cohort"))


def test_roc_several_cohorts_in_one_panel_are_refused(ax):
    """Curves of two cohorts would be joined."""
    with pytest.raises(DataError, match="one cohort for one panel"):
        figures.plot_roc(ax, *_roc())


def test_roc_curve_without_area_is_refused(ax):
    """The message names cohort and model."""
    points, auc = _roc()
    with pytest.raises(DataError, match="AUC table, discovery, aMAP"):
        figures.plot_roc(ax, points, auc[auc["model"] != "aMAP"], cohort="discovery")


def test_models_look_the_same_in_every_figure():
    """By colour and by dash."""
    looks = [style.series_look(name) for name in ("ALARM", "Radiomics", "Deep learning", "aMAP")]
    assert len({look["color"] for look in looks}) == 4
    assert len({str(look["linestyle"]) for look in looks}) == 4
    assert style.series_look("aMAP", 0) == style.series_look("aMAP", 3)


def test_truth_beside_measured(ax):
    """Marker, interval and diamond stand at the values of the table, runs from top to bottom."""
    table = pd.DataFrame(
        [("planted", "alarm", 0.91, 0.85, 0.97, 0.93), ("none", "alarm", 0.52, 0.38, 0.66, 0.5)],
        columns=["run", "model", "auc", "lower", "upper", "truth"],
    )
    figures.plot_truth(ax, table)
    measured = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "o"]
    truth = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "D"]
    assert (measured, truth) == ([0.91, 0.52], [0.93, 0.5])
    assert [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "None"][:2] == [
        [0.85, 0.97],
        [0.38, 0.66],
    ]
    assert "0.910 (0.850–0.970)" in _texts(ax)
    assert ax.yaxis_inverted()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ALARM", "ALARM"]


# --- calibration and decision -----------------------------------------------------------------------------------------


def _calibration(cohorts=("discovery",)) -> pd.DataFrame:
    rows = [(cohort, "alarm", p, p / 2, p / 4, p) for cohort in cohorts for p in (0.1, 0.4, 0.8)]
    return pd.DataFrame(rows, columns=["cohort", "model", "predicted", "observed", "lower", "upper"])


def test_calibration_draws_the_points_given(ax):
    """The curve is that of the frame, the band its bounds, the summary the printed text."""
    summary = pd.DataFrame(
        [("discovery", "alarm", -0.12, 0.94, 0.0213, 0.0, 0.0, 0.0)],
        columns=["cohort", "model", "intercept", "slope", "ici", "e50", "e90", "emax"],
    )
    figures.plot_calibration(ax, _calibration(), summary=summary)
    line = _line(ax, "ALARM")
    np.testing.assert_allclose(line.get_ydata(), [0.05, 0.2, 0.4])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.025, 0.8)
    assert "Intercept −0.12\nSlope 0.94\nICI 0.021" in _texts(ax)


def test_calibration_cohorts_in_one_panel_are_named(ax):
    """One model in two cohorts: the lines are the cohorts."""
    figures.plot_calibration(ax, _calibration(COHORTS[:2]))
    figures.legend_below([ax], columns=2)
    assert {"Discovery cohort", "Internal validation cohort"} <= set(_texts(ax))


def test_calibration_cohorts_and_models_in_one_panel_are_refused(ax):
    """Which line is which would not be legible."""
    both = pd.concat([_calibration(COHORTS[:2]), _calibration(COHORTS[:2]).assign(model="amap")])
    with pytest.raises(DataError, match="one cohort or one model"):
        figures.plot_calibration(ax, both)


def test_calibration_panels_share_one_legend():
    """Named once beneath the row."""
    figure, axes = figures.panels(1, 3, height_in=2.8)
    drawn = figures.plot_panels(figures.plot_calibration, axes, _calibration(COHORTS), legend_columns=4)
    assert [ax.get_legend() is not None for ax in drawn] == [False, True, False]
    assert [ax.get_ylabel() for ax in drawn] == ["Observed proportion", "", ""]
    assert not _leaves_the_figure(figure)


def _decision() -> pd.DataFrame:
    rows = [
        ("discovery", model, threshold, benefit)
        for model, benefits in {
            "alarm": (0.2, 0.1, 0.4),
            "treat all": (0.15, -3.0, -9.0),
            "treat none": (0.0, 0.0, 0.0),
        }.items()
        for threshold, benefit in zip((0.1, 0.15, 0.5), benefits, strict=True)
    ]
    return pd.DataFrame(rows, columns=["cohort", "model", "threshold", "net_benefit"])


def test_decision_curves_draw_the_values_given(ax):
    """Treating all and none are named; a threshold of 50 % is not drawn, and what lies far below 0 squeezes nothing."""
    figures.plot_decision_curves(ax, _decision())
    figures.legend_below([ax], columns=3)
    np.testing.assert_array_equal(_line(ax, "ALARM").get_ydata(), [0.2, 0.1])
    np.testing.assert_array_equal(_line(ax, "Treat all").get_ydata(), [0.15, -3])
    assert _texts(ax)[1:] == ["ALARM", "Treat all", "Treat none"]
    assert -0.1 < ax.get_ylim()[0] < 0


# --- risk groups ------------------------------------------------------------------------------------------------------


def _patients() -> pd.DataFrame:
    scores, hcc = [0.9, 0.1, 0.3, 0.2], [1, 0, 0, 1]
    return pd.DataFrame(
        {
            "patient": ["P0001", "P0002", "P0003", "P0004"],
            "cohort": "discovery",
            "score": scores,
            "hcc": hcc,
            "group": ["high", "low", "medium", "low"],
        }
    )


def test_waterfall_orders_patients_by_score(ax):
    """Ranks by hand: 0.1, 0.2, 0.3, 0.9; those with HCC are the second and the fourth."""
    figures.plot_risk_waterfall(ax, _patients(), (0.21, 0.65))
    without, with_hcc = (collection.get_offsets() for collection in ax.collections[:2])
    np.testing.assert_allclose(without, [[1, 0.1], [3, 0.3]])
    np.testing.assert_allclose(with_hcc, [[2, 0.2], [4, 0.9]])
    assert {"cut-off 0.21", "cut-off 0.65", "Low risk", "Medium risk", "High risk"} <= set(_texts(ax))


def test_waterfall_bands_lie_between_the_cutoffs(ax):
    """Three bands from 0 to 1."""
    figures.plot_risk_waterfall(ax, _patients(), (0.21, 0.65))
    bands = [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in ax.patches]
    np.testing.assert_allclose(bands, [(0, 0.21), (0.21, 0.65), (0.65, 1)])


def test_waterfall_descending_cutoffs_are_refused(ax):
    """The bands would overlap."""
    with pytest.raises(DataError, match="must ascend"):
        figures.plot_risk_waterfall(ax, _patients(), (0.65, 0.21))


def test_group_incidence_draws_the_values_given(ax):
    """Bar, interval and counts are those of the frame; the incidence is not recomputed from the counts."""
    groups = pd.DataFrame(
        [("low", 1204, 5, 0.1, 0.05, 0.3), ("high", 221, 54, 0.2, 0.1, 0.4)],
        columns=["group", "n", "events", "incidence", "lower", "upper"],
    )
    figures.plot_group_incidence(ax, groups)
    bars = [patch.get_height() for patch in ax.patches]
    assert bars == [0.1, 0.2]
    spans = [container.lines[2][0].get_segments()[0][:, 1] for container in ax.containers if len(container) == 3]
    np.testing.assert_allclose(spans, [[0.05, 0.3], [0.1, 0.4]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Low\n5/1,204", "High\n54/221"]
    assert _texts(ax) == ["10.0%", "20.0%"]


def _flows() -> pd.DataFrame:
    rows = [
        ("aMAP low", "Final low", 245, 7),
        ("aMAP medium", "Final low", 1099, 20),
        ("aMAP medium", "Final high", 53, 14),
        ("aMAP high", "Final high", 116, 31),
    ]
    return pd.DataFrame(rows, columns=["source", "target", "n", "events"])


def test_sankey_bands_are_as_wide_as_their_patients(ax):
    """A band a flow, in patients at both ends, with its counts."""
    figures.plot_sankey(ax, _flows())
    bands = [patch.get_path().vertices for patch in ax.patches if isinstance(patch, PathPatch)]
    assert sorted(band[-2, 1] - band[0, 1] for band in bands) == pytest.approx([53, 116, 245, 1099])
    assert sorted(band[4, 1] - band[3, 1] for band in bands) == pytest.approx([53, 116, 245, 1099])
    assert {"245 patients, 7 HCC", "1,099 patients, 20 HCC", "53 patients, 14 HCC"} <= set(_texts(ax))


def test_sankey_names_columns_and_groups(ax):
    """Three columns found from the flows; the word that a column's groups share stands above it."""
    flows = pd.DataFrame(
        [
            ("aMAP low", "aMAP-CT not needed", 5, 0),
            ("aMAP high", "aMAP-CT low", 3, 1),
            ("aMAP-CT not needed", "Final low", 5, 0),
            ("aMAP-CT low", "Final low", 3, 1),
        ],
        columns=["source", "target", "n", "events"],
    )
    figures.plot_sankey(ax, flows)
    assert {"aMAP", "aMAP-CT", "Final", "Not needed", "Low risk", "High risk"} <= set(_texts(ax))
    bars = sorted({patch.get_x() for patch in ax.patches if isinstance(patch, Rectangle)})
    assert bars == pytest.approx([0, 0.485, 0.97])


def test_sankey_circle_is_refused(ax):
    """Groups of one name in two columns cannot be told apart."""
    flows = pd.DataFrame([("low", "low", 5, 0)], columns=["source", "target", "n", "events"])
    with pytest.raises(DataError, match="Name the nodes by column"):
        figures.plot_sankey(ax, flows)


def test_sankey_labels_do_not_overlap(ax):
    """Thin bands beside thick ones: their counts are moved apart."""
    flows = pd.DataFrame(
        [
            ("a low", "b low", 2, 0),
            ("a medium", "b low", 900, 3),
            ("a medium", "b high", 2, 1),
            ("a high", "b low", 2, 1),
        ],
        columns=["source", "target", "n", "events"],
    )
    figures.plot_sankey(ax, flows)
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts if text.get_text().endswith("HCC")]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[place + 1 :])


def test_sankey_flow_twice_is_refused(ax):
    """Its patients would be drawn twice."""
    with pytest.raises(DataError, match="one row a source and target"):
        figures.plot_sankey(ax, pd.concat([_flows(), _flows()]))


# --- cumulative incidence ---------------------------------------------------------------------------------------------


def _cumulative(cohorts=("test",)) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    curves, counts = [], []
    for cohort in cohorts:
        for group, risk, n in (("low", 0.02, 748), ("high", 0.2, 61)):
            curves += [(cohort, group, month, risk * month / 36, 0, 0.3, n - month) for month in (0, 18, 36)]
            counts += [(cohort, group, month, n - month, 0) for month in (0, 12, 24, 36)]
    return (
        pd.DataFrame(curves, columns=["cohort", "group", "months", "incidence", "lower", "upper", "at_risk"]),
        pd.DataFrame(counts, columns=["cohort", "group", "months", "at_risk", "events"]),
        pd.DataFrame([(cohort, 11.1, 0.00086) for cohort in cohorts], columns=["cohort", "chi2", "p"]),
    )


def test_cumulative_incidence_draws_the_steps_given(ax):
    """Steps at the months given, the p-value given, months of the numbers at risk as ticks."""
    figures.plot_cumulative_incidence(ax, *_cumulative(), horizon_months=36)
    line = _line(ax, "High risk")
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(line.get_xdata(), [0, 18, 36])
    np.testing.assert_allclose(line.get_ydata(), [0, 0.1, 0.2])
    assert "Log-rank p < 0.001" in _texts(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "12", "24", "36"]


def test_cumulative_incidence_ends_where_fewer_than_ten_are_followed(ax):
    """Nine at the last month: curve, band and scale end before it; the group keeps its numbers."""
    incidence, at_risk, logrank = _cumulative()
    last = (incidence["group"] == "high") & (incidence["months"] == 36)
    incidence.loc[last, ["at_risk", "upper"]] = 9, 0.9
    figures.plot_cumulative_incidence(ax, incidence, at_risk, logrank)
    np.testing.assert_array_equal(_line(ax, "High risk").get_xdata(), [0, 18])
    assert max(band.get_paths()[0].vertices[:, 0].max() for band in ax.collections[1:2]) == 18
    assert ax.get_ylim()[1] == pytest.approx(1.15 * 0.3)
    assert ax.get_legend() is None
    assert {"Low risk", "High risk"} <= set(_texts(ax))


def test_cumulative_incidence_crowded_numbers_at_risk_are_thinned():
    """Four digits at each of sixteen years in a third of the page: every second year or fewer is a tick."""
    figure, axes = figures.panels(1, 3, height_in=3.6)
    incidence, _, _ = _cumulative()
    counts = [("test", group, 12 * year, 1254, 0) for group in ("low", "high") for year in range(16)]
    at_risk = pd.DataFrame(counts, columns=["cohort", "group", "months", "at_risk", "events"])
    ax = figures.plot_cumulative_incidence(axes[0, 0], incidence, at_risk)
    assert 2 < len(ax.get_xticks()) < 9
    figure.canvas.draw()
    texts = [text.get_window_extent() for text in ax.texts if text.get_text() == "1254"]
    assert not any(a.overlaps(b) for place, a in enumerate(texts) for b in texts[place + 1 :])


def test_cumulative_incidence_numbers_at_risk_stand_beneath(ax):
    """Eight counts below the axis, none outside the figure."""
    figures.plot_cumulative_incidence(ax, *_cumulative())
    counts = [text for text in ax.texts if text.get_text() in {"748", "736", "724", "712", "61", "49", "37", "25"}]
    assert len(counts) == 8
    figures.stamp_synthetic(ax.figure)
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    assert all(text.get_window_extent(renderer).y1 < ax.bbox.y0 for text in counts)
    assert not _leaves_the_figure(ax.figure)


def test_cumulative_incidence_thousands_at_risk_stay_apart():
    """1254 patients at six ticks in each of three panels are printed side by side."""
    figure, axes = figures.panels(1, 3, height_in=3.6)
    incidence, _, logrank = _cumulative(COHORTS)
    counts = [
        (cohort, group, 12 * year, 1254, 0) for cohort in COHORTS for group in ("low", "high") for year in range(6)
    ]
    at_risk = pd.DataFrame(counts, columns=["cohort", "group", "months", "at_risk", "events"])
    figures.plot_panels(figures.plot_cumulative_incidence, axes[0], incidence, at_risk, logrank)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [text.get_window_extent(renderer) for ax in axes[0] for text in ax.texts if text.get_text() == "1254"]
    assert len(texts) == 3 * 2 * 6
    assert not any(a.overlaps(b) for place, a in enumerate(texts) for b in texts[place + 1 :])


def test_cumulative_incidence_unknown_number_at_risk_is_said(ax):
    """A month that one group lacks is n.a., not a blank."""
    incidence, at_risk, logrank = _cumulative()
    figures.plot_cumulative_incidence(ax, incidence, at_risk.iloc[:-1], logrank)
    assert _texts(ax).count("n.a.") == 1


def test_cumulative_incidence_panels_share_one_scale():
    """Three cohorts compare at a glance."""
    _, axes = figures.panels(1, 3)
    tables = _cumulative(("training", "validation", "test"))
    drawn = figures.plot_panels(figures.plot_cumulative_incidence, axes, *tables)
    assert len({ax.get_ylim() for ax in drawn}) == 1
    assert [ax.get_title(loc="left") for ax in drawn] == ["Training", "Validation", "Test"]


def test_cumulative_incidence_cohort_without_logrank_is_refused(ax):
    """The message names the cohort."""
    incidence, at_risk, logrank = _cumulative()
    with pytest.raises(DataError, match="log-rank test, test"):
        figures.plot_cumulative_incidence(ax, incidence, at_risk, logrank.assign(cohort="training"))


# --- selection, segmentation ------------------------------------------------------------------------------------------


def test_lasso_path_colours_what_stays(ax):
    """One feature is nought at the chosen penalty and is grey."""
    path = pd.DataFrame(
        {"feature": ["a", "a", "b", "b"], "penalty": [0.1, 1.0] * 2, "coefficient": [0.5, 0.0, 0.2, 0.1]}
    )
    figures.plot_lasso_path(ax, path, penalty=1.0)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.5, 0])
    assert [line.get_color() == "#B5B5B5" for line in ax.lines[:2]] == [True, False]


def test_lasso_path_of_many_features_colours_the_strongest(ax):
    """Of thirty features with weight the twenty with the largest are coloured."""
    names = [f"f{number:02d}" for number in range(30)]
    path = pd.DataFrame({"feature": names, "penalty": 1.0, "coefficient": np.linspace(0.1, 3, 30)})
    figures.plot_lasso_path(ax, path, penalty=1.0)
    assert [line.get_color() == style.GREY for line in ax.lines[:30]] == [True] * 10 + [False] * 20


def test_lasso_error_draws_the_band_given(ax):
    """The line and one standard error to each side."""
    error = pd.DataFrame({"penalty": [0.1, 1.0], "error": [0.3, 0.2], "lower": [0.2, 0.1], "upper": [0.4, 0.35]})
    figures.plot_lasso_error(ax, error, penalty=1.0)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.3, 0.2])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.1, 0.4)


def test_coefficients_keep_their_order_and_sign(ax):
    """From top to bottom as given; raising and lowering features differ in colour."""
    table = pd.DataFrame({"feature": ["venous.liver.deep_001", "arterial.liver.deep_002"], "coefficient": [0.4, -0.2]})
    figures.plot_coefficients(ax, table)
    np.testing.assert_allclose(ax.collections[1].get_offsets(), [[0.4, 0], [-0.2, 1]])
    assert len({to_hex(colour) for colour in ax.collections[1].get_facecolor()}) == 2
    assert ax.yaxis_inverted()


def test_feature_families_show_their_counts(ax):
    """A single image gives 24 GLCM features."""
    figures.plot_feature_families(ax, pd.DataFrame({"family": ["GLCM", "Shape"], "n": [24, 14]}))
    assert [patch.get_width() for patch in ax.patches] == [24, 14]
    assert _texts(ax) == ["24", "14"]


def test_dice_draws_every_patient(ax):
    """All values, none outside the axis, and the paper's Dice as a line."""
    rows = [
        (f"P{n:04d}", phase, organ, 0.9 + n / 100)
        for n in (1, 2)
        for phase in ("arterial", "venous")
        for organ in ("liver", "spleen")
    ]
    dice = pd.DataFrame(rows, columns=["patient", "phase", "organ", "dice"])
    figures.plot_dice(ax, dice, printed={"liver": 0.974})
    heights = np.concatenate([collection.get_offsets()[:, 1] for collection in ax.collections])
    np.testing.assert_allclose(sorted(heights), [0.91] * 4 + [0.92] * 4)
    assert ax.get_ylim()[0] < 0.91
    assert {"Liver", "Spleen", "Liver, printed 0.974"} == set(_texts(ax)[1:])


def test_segmentation_loss_in_two_steps(ax):
    """40 coarse steps at 1.0 and 20 fine ones at 0.5: two lines, at their steps and means."""
    figures.plot_segmentation_loss(ax, [1.0] * 40 + [0.5] * 20, 40)
    coarse, fine = _line(ax, "Pre-training"), _line(ax, "Formal")
    np.testing.assert_allclose(coarse.get_xydata(), [[10.5, 1.0], [30.5, 1.0]])
    np.testing.assert_allclose(fine.get_xydata(), [[50.5, 0.5]])


def test_segmentation_loss_without_pretraining(ax):
    """One line, from the first step on."""
    figures.plot_segmentation_loss(ax, [0.5] * 20, 0)
    np.testing.assert_allclose(_line(ax, "Formal").get_xydata(), [[10.5, 0.5]])
    assert "Pre-training, coarse" not in _texts(ax)


# --- images -----------------------------------------------------------------------------------------------------------


def _volume() -> np.ndarray:
    """3 x 4 x 5 voxels, 1,000 at the patient's right front foot corner."""
    array = np.zeros((3, 4, 5))
    array[0, 0, 0] = 1000
    return array


def _image(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    """Image of an array (z, y, x) with its spacing (x, y, z), mm."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


def test_axial_slice_is_radiological(ax):
    """The patient's right is on the left, the front at the top."""
    figures.show_slice(ax, _image(_volume()), index=0)
    picture = ax.images[0].get_array()
    assert picture.shape == (4, 5)
    assert picture[0, 0] == 1000
    assert ax.images[0].origin == "upper"
    assert [text.get_text() for text in ax.texts][:2] == ["R", "L"]


def test_slice_of_an_image_in_another_orientation(ax):
    """An image stored from left to right and back to front (RAS) is turned, with its own spacing."""
    image = sitk.GetImageFromArray(_volume()[:, ::-1, ::-1])
    image.SetSpacing((2.0, 3.0, 5.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    figures.show_slice(ax, image, index=0)
    assert ax.images[0].get_array()[0, 0] == 1000
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 10), (12, 0))


def test_slice_is_in_millimetres(ax):
    """Voxels of 2, 3, 5 mm (x, y, z): an axial picture is 10 mm wide and 12 mm high."""
    figures.show_slice(ax, _image(_volume(), (2, 3, 5)), index=0)
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 10), (12, 0))
    assert ax.get_aspect() == 1


def test_slice_masks_are_named_and_coloured(ax):
    """Liver and spleen in two colours, on the slice that holds most of them."""
    labels = np.zeros((3, 6, 6), int)
    labels[2, 1:3, 1:3] = 1
    labels[2, 4, 4] = 2
    figures.show_slice(ax, _image(np.arange(3 * 36.0).reshape(3, 6, 6)), masks=_image(labels))
    assert ax.images[0].get_array()[0, 0] == 72  # the third slice
    contours = [to_hex(collection.get_edgecolor()[0]).upper() for collection in ax.collections]
    assert contours == [style.ORGAN_COLOURS["liver"].upper(), style.ORGAN_COLOURS["spleen"].upper()]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Liver", "Spleen"]
    # 2 x 2 voxels of 1 mm from x = 1 to 3: the mask runs along the voxels' edges.
    box = ax.collections[0].get_paths()[0].get_extents()
    np.testing.assert_allclose([box.x0, box.x1, box.y0, box.y1], [1, 3, 1, 3])


def test_slice_shows_a_second_mask_dashed(ax):
    """The given mask is white and named; one on another grid is refused."""
    labels, given = np.zeros((1, 6, 6), int), np.zeros((1, 6, 6), int)
    labels[0, 1:3, 1:3] = given[0, 2:4, 1:3] = 1
    figures.show_slice(ax, _image(np.zeros((1, 6, 6))), masks=_image(labels), given=_image(given), index=0)
    contours = [to_hex(collection.get_edgecolor()[0]).upper() for collection in ax.collections]
    assert contours == [style.ORGAN_COLOURS["liver"].upper(), "#FFFFFF"]
    box = ax.collections[1].get_paths()[0].get_extents()
    np.testing.assert_allclose([box.x0, box.x1, box.y0, box.y1], [1, 3, 2, 4])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Liver", "Given"]
    with pytest.raises(DataError, match="given label map"):
        figures.show_slice(ax, _image(np.zeros((1, 6, 6))), given=_image(np.zeros((1, 6, 5), int)))


def test_slice_without_organ_has_no_legend(ax):
    """A slice above the liver."""
    labels = np.zeros((3, 4, 5), int)
    labels[0, 1, 1] = 1
    figures.show_slice(ax, _image(_volume()), masks=_image(labels), index=2)
    assert ax.get_legend() is None


def test_slice_label_map_on_another_grid_is_refused(ax):
    """Both shapes are named."""
    with pytest.raises(DataError, match=r"\(3, 4, 4\) on \(3, 4, 5\)"):
        figures.show_slice(ax, _image(_volume()), masks=_image(np.zeros((3, 4, 4), int)))


def test_slice_outside_the_image_is_refused(ax):
    """The message gives the range."""
    with pytest.raises(DataError, match="0 to 2, but found 3"):
        figures.show_slice(ax, _image(_volume()), index=3)


def test_largest_slice_by_hand():
    """Slices with one, three and two voxels."""
    labels = np.zeros((3, 2, 2), int)
    labels[0, 0, 0] = labels[2, 0] = 1
    labels[1, :, 0] = labels[1, 0, 1] = 2
    assert figures.largest_slice(_image(labels)) == 1


def test_phases_show_one_slice_in_order():
    """Three panels named by phase, at the slice that the first label map chooses, masks named once."""
    labels = np.zeros((3, 4, 5), int)
    labels[0, 1:3, 1:3] = 1
    images = {phase: _image(_volume() + shift) for shift, phase in enumerate(("arterial", "venous", "delayed"))}
    drawn = figures.show_side_by_side(figures.panels(1, 3)[1], images, dict.fromkeys(images, _image(labels)))
    assert [ax.get_title(loc="left") for ax in drawn] == ["Arterial", "Venous", "Delayed"]
    assert [ax.images[0].get_array()[0, 0] for ax in drawn] == [1000, 1001, 1002]
    assert [ax.get_legend() is not None for ax in drawn] == [True, False, False]


def test_before_and_after_show_the_same_place():
    """Half-way up both, whatever their number of slices, under the names that they are given."""
    before, after = np.zeros((4, 3, 3)), np.zeros((8, 3, 3))
    before[2], after[4] = 7, 9
    images = {"As acquired": _image(before), "8 grey levels": _image(after)}
    drawn = figures.show_side_by_side(figures.panels(1, 2)[1], images, {})
    assert [ax.images[0].get_array()[0, 0] for ax in drawn] == [7, 9]
    assert [ax.get_title(loc="left") for ax in drawn] == list(images)
