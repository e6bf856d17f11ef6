"""ALARM's figures draw what they are given and compute nothing."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from hccbook.errors import DataError
from hccbook.evaluation.subgroups import SUBGROUP_COLUMNS
from hccbook.report import figures, tables
from hccbook.report.figures import style


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def ax() -> Axes:
    """One panel in the book's style."""
    return figures.panels(height_in=4)[1][0, 0]


def _texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def _leaves_the_figure(figure) -> bool:
    """Whether anything drawn leaves the figure."""
    figures.stamp_synthetic(figure)
    figure.canvas.draw()
    inner = figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    return inner.x0 < -0.01 or inner.y0 < -0.01 or inner.x1 > width + 0.01 or inner.y1 > height + 0.01


def _overlap(ax: Axes) -> list[tuple[str, str]]:
    """Pairs of texts of the panel that lie over one another."""
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [
        (text.get_text(), text.get_window_extent(renderer).shrunk(0.98, 0.9)) for text in ax.texts if text.get_text()
    ]
    return [
        (one, other)
        for position, (one, box) in enumerate(boxes)
        for other, second in boxes[position + 1 :]
        if box.overlaps(second)
    ]


# --- ridgelines, boxes, oversampling ----------------------------------------------------------------------------------


@pytest.fixture
def densities() -> pd.DataFrame:
    """Two features whose curves are triangles, of heights that no kernel gives."""
    rows = [
        (name, hcc, x, height)
        for name in ("arterial.liver.original_glcm_Contrast", "venous.liver.deep_007")
        for hcc, peak in ((0, 0.2), (1, 0.5))
        for x, height in ((-2.0, 0.0), (0.0, peak), (2.0, 0.0))
    ]
    return pd.DataFrame(rows, columns=["variable", "hcc", "x", "density"])


def test_ridgelines_draw_the_densities_given(ax, densities):
    """Each ridge rises from its own line by the density over the highest of its feature."""
    assert figures.plot_ridgelines(ax, densities) is ax
    curves = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert len(curves) == 4
    rise = [place - np.asarray(line.get_ydata()).min() for place, line in zip((0, 0, 1, 1), curves, strict=True)]
    assert rise[1] == pytest.approx(rise[3])
    assert rise[0] / rise[1] == pytest.approx(0.2 / 0.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "arterial · liver · original glcm Contrast",
        "venous · liver · deep 007",
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["No HCC", "HCC"]
    assert not _leaves_the_figure(ax.figure)


def _differences() -> pd.DataFrame:
    rows = [
        ("discovery", "amap", 0, 5, 50.0, 45.0, 55.0, 40.0, 60.0, 0.012, ""),
        ("discovery", "amap", 1, 4, 60.0, 58.0, 65.0, 50.0, 70.0, 0.012, ""),
        ("external_validation", "amap", 0, 3, 51.0, 50.0, 52.0, 49.0, 53.0, np.nan, "no test: one outcome only"),
        ("external_validation", "amap", 1, 0, *[np.nan] * 6, "no test: one outcome only"),
    ]
    columns = ["cohort", "variable", "hcc", "n", "median", "q1", "q3", "low", "high", "p", "note"]
    return pd.DataFrame(rows, columns=columns)


def test_boxes_are_the_quartiles_given(ax):
    """Medians stand where the frame has them; a cohort without a test says so; an empty class has no box."""
    figures.plot_outcome_boxes(ax, _differences())
    medians = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == 1.6]
    assert medians == [50.0, 60.0, 51.0]
    assert _texts(ax) == ["p\n= 0.012", "no\ntest"]
    assert ax.get_ylabel() == "aMAP score"


def test_box_points_are_the_patients(ax):
    """Every patient is a point at its own value, spread without chance."""
    patients = pd.DataFrame({"cohort": "discovery", "hcc": [0, 0, 1], "amap": [41.0, 48.0, 66.0]})
    figures.plot_outcome_boxes(ax, _differences(), patients)
    drawn = sorted(float(y) for points in ax.collections for y in points.get_offsets()[:, 1])
    assert drawn == [41.0, 48.0, 66.0]


def test_box_panels_one_a_variable():
    """A panel a score, one legend for all."""
    both = pd.concat([_differences(), _differences().assign(variable="deep")])
    figure, axes = figures.panels(1, 3, height_in=3.2)
    drawn = figures.plot_panels(figures.plot_outcome_boxes, axes, both, by="variable", legend_columns=2)
    assert [ax.get_ylabel() for ax in drawn] == ["aMAP score", "Deep-learning score"]
    assert sum(ax.get_legend() is not None for ax in drawn) == 1
    assert not axes[0, 2].axison
    assert not _leaves_the_figure(figure)


def test_boxes_of_two_variables_in_one_panel_are_refused(ax):
    """They have no common scale."""
    with pytest.raises(DataError, match="one variable"):
        figures.plot_outcome_boxes(ax, pd.concat([_differences(), _differences().assign(variable="deep")]))


def test_oversampling_before_and_after():
    """Before only real patients, after all of them, on the same scales; titles count them."""
    points = pd.DataFrame(
        {
            "radiomics": [0, 1, 2, 3.0],
            "deep": [0, 1, 2, 3.0],
            "y": [0, 0, 1, 1],
            "synthetic": [False, False, False, True],
        }
    )
    figure, axes = figures.panels(1, 2, height_in=3.2)
    before, after = figures.plot_oversampling(axes, points)
    assert [len(part.get_offsets()) for part in before.collections] == [2, 1]
    assert sorted(len(part.get_offsets()) for part in after.collections) == [1, 1, 2]
    assert (before.get_xlim(), before.get_ylim()) == (after.get_xlim(), after.get_ylim())
    assert before.get_title(loc="left") == "Before: 1 HCC, 2 without"
    assert after.get_title(loc="left") == "After: 2 HCC, 2 without"
    assert not _leaves_the_figure(figure)


def test_oversampling_that_did_nothing():
    """No synthetic patient: both panels show the same, and nothing is named synthetic."""
    points = pd.DataFrame({"radiomics": [0.0, 1], "deep": [0.0, 1], "y": [0, 1], "synthetic": [False, False]})
    _, after = figures.plot_oversampling(figures.panels(1, 2)[1], points)
    assert [text.get_text() for text in after.get_legend().get_texts()] == ["No HCC", "HCC"]


def test_kinds_of_patients_are_named_and_counted(ax):
    """Each kind has its own mark, and the legend says how many there are, none included."""
    kinds = ["No HCC", "No HCC", "HCC, safe", "HCC, in danger", "HCC, synthetic"]
    points = pd.DataFrame({"x": range(5), "y": range(5), "kind": kinds})
    figures.plot_borderline_smote(ax, points)
    shown = dict(text.get_text().rsplit(": ", 1) for text in ax.get_legend().get_texts())
    assert shown == {"No HCC": "2", "HCC, synthetic": "1", "HCC, safe": "1", "HCC, in danger": "1", "HCC, alone": "0"}
    assert [len(part.get_offsets()) for part in ax.collections] == [2, 1, 1, 1, 0]


# --- screening --------------------------------------------------------------------------------------------------------


def test_volcano_counts_what_lies_beyond_the_line(ax):
    """Features below the threshold are coloured by direction and counted; a p of 0 is drawn, not lost."""
    table = pd.DataFrame({"feature": list("abcd"), "auc": [0.9, 0.2, 0.55, 0.8], "p": [0.0, 0.01, 0.6, 0.05]})
    figures.plot_volcano(ax, table)
    assert _texts(ax)[:2] == ["1 lower with HCC", "1 higher with HCC"]
    assert [len(part.get_offsets()) for part in ax.collections] == [2, 1, 1]
    assert all(np.isfinite(part.get_offsets()).all() for part in ax.collections)
    assert not _leaves_the_figure(ax.figure)


def test_correlations_are_the_square_given(ax):
    """Colours are the correlations in the order of the frame; rows are named and numbered, columns numbered."""
    table = pd.DataFrame(
        {"feature": ["b", "b", "a", "a"], "other": ["b", "a", "b", "a"], "rho": [1.0, -0.3, -0.3, 1.0]}
    )
    figures.plot_correlations(ax, table)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, -0.3], [-0.3, 1]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b  1", "a  2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1"]


def test_correlations_of_many_features_are_counted(ax):
    """More than 40 names would not be legible: the first are drawn, and how many there are stands beneath."""
    names = [f"f{number:02d}" for number in range(50)]
    table = pd.DataFrame({"feature": np.repeat(names, 50), "other": np.tile(names, 50), "rho": np.eye(50).ravel()})
    figures.plot_correlations(ax, table)
    assert ax.images[0].get_array().shape == (40, 40)
    assert ax.get_xlabel() == "the first 40 of 50 features"


def test_correlations_with_a_missing_pair_are_refused(ax):
    """A hole would look like a colour."""
    with pytest.raises(DataError, match="every pair"):
        figures.plot_correlations(ax, pd.DataFrame({"feature": ["a", "b"], "other": ["a", "b"], "rho": [1.0, 1.0]}))


@pytest.mark.parametrize(
    ("draw", "columns"),
    [
        (figures.plot_ridgelines, ["variable", "hcc", "x", "density"]),
        (figures.plot_volcano, ["feature", "auc", "p"]),
        (figures.plot_correlations, ["feature", "other", "rho"]),
    ],
)
def test_no_feature_selected_is_said(ax, draw, columns):
    """An empty frame is a result, and the panel says which; one without its columns is an error."""
    draw(ax, pd.DataFrame(columns=columns))
    assert _texts(ax) == ["No feature was selected"]
    with pytest.raises(DataError, match="must have the columns"):
        draw(ax, pd.DataFrame(columns=columns[:1]))


# --- forests ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def odds_ratios() -> pd.DataFrame:
    """A plain row, one beyond the scale, and one without an odds ratio."""
    rows = [
        ("multivariable", "amap", "SD", 7.0, 100, 20, 0, 2.0, 1.1, 3.5, 0.02, "maximum likelihood", ""),
        ("multivariable", "deep", "SD", 0.3, 100, 20, 0, 150.0, 8.0, 4e6, 0.0001, "Firth", "Firth: separated"),
        ("multivariable", "male", "", np.nan, 100, 20, 0, *[np.nan] * 4, "", "not estimable: the same value"),
    ]
    return pd.DataFrame(rows, columns=list(tables.schemas.ODDS_RATIO_COLUMNS))


def test_forest_prints_what_it_is_given(ax, odds_ratios):
    """Ratio, limits and p beside each row; a note where there is none; an arrow where a limit leaves the scale."""
    figures.plot_forest(ax, odds_ratios)
    texts = _texts(ax)
    assert "2.00 (1.10–3.50)" in texts
    assert "150.00 (8.00 to >1,000)" in texts
    assert "not estimable: the same value" in texts
    assert {"0.020", "<0.001"} <= set(texts)
    assert [line.get_marker() for line in ax.lines].count(">") == 1
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "aMAP score, per SD",
        "Deep-learning score, per SD",
        "Male sex",
    ]
    assert "Firth" in ax.get_xlabel()
    assert ax.get_xlim()[1] < 1e4
    assert not _overlap(ax)


def test_forest_of_two_analyses_has_headings(ax, odds_ratios):
    """Univariable and multivariable are told apart."""
    figures.plot_forest(ax, pd.concat([odds_ratios.assign(analysis="univariable"), odds_ratios]))
    assert {"Univariable", "Multivariable"} <= set(_texts(ax))
    assert not _leaves_the_figure(ax.figure)


def test_forest_without_any_odds_ratio(ax, odds_ratios):
    """Only notes: the panel is drawn all the same."""
    figures.plot_forest(ax, odds_ratios.tail(1))
    assert "not estimable: the same value" in _texts(ax)


@pytest.fixture
def subgroups() -> pd.DataFrame:
    """All, two ages, and a sex of which nobody has HCC."""
    rows = [
        ("unseen", "all", "all", 60, 12, 0, 0.85, 0.75, 0.95, np.nan, ""),
        ("unseen", "age", "< 50 years", 30, 4, 0, 0.8, 0.6, 1.0, 0.43, ""),
        ("unseen", "age", "≥ 50 years", 30, 8, 0, 0.9, 0.8, 1.0, 0.43, ""),
        ("unseen", "sex", "Men", 50, 12, 0, 0.84, 0.7, 0.95, np.nan, "no comparison: a level has no interval"),
        ("unseen", "sex", "Women", 10, 0, 0, *[np.nan] * 4, "no patient with HCC; no comparison"),
    ]
    return pd.DataFrame(rows, columns=list(SUBGROUP_COLUMNS))


def test_subgroup_forest_prints_what_it_is_given(ax, subgroups):
    """Counts, AUCs, the p beside the characteristic, and the note of a level without HCC."""
    figures.plot_subgroup_forest(ax, subgroups)
    texts = _texts(ax)
    assert {"12/60", "0.850 (0.750–0.950)", "p = 0.430", "no patient with HCC", "Age", "Sex"} <= set(texts)
    assert ax.get_yticklabels()[0].get_text() == "All patients"
    assert not _overlap(ax)
    assert not _leaves_the_figure(ax.figure)


def test_subgroup_forest_of_several_cohorts_needs_a_name(ax, subgroups):
    """Rows of two cohorts would mix; an unknown cohort is refused."""
    both = pd.concat([subgroups, subgroups.assign(cohort="discovery")])
    with pytest.raises(DataError, match="one cohort"):
        figures.plot_subgroup_forest(ax, both)
    with pytest.raises(DataError, match="cohort test"):
        figures.plot_subgroup_forest(ax, both, cohort="test")
    assert figures.plot_subgroup_forest(ax, both, cohort="discovery").get_title(loc="left") == "Discovery"


# --- flow and workflow ------------------------------------------------------------------------------------------------


@pytest.fixture
def flow() -> pd.DataFrame:
    """A manifest, two that fell out, two cohorts."""
    rows = [
        ("manifest", "", "kept", "Patients in the manifest", 1250, 60),
        ("lost", "manifest", "left out", "Left out in segmentation", 2, 1),
        ("analysed", "manifest", "kept", "Patients analysed", 1248, 59),
        ("a", "analysed", "kept", "discovery", 900, 40),
        ("b", "analysed", "kept", "external_validation", 348, 19),
    ]
    return pd.DataFrame(rows, columns=["box", "parent", "kind", "label", "n", "events"])


def test_flow_prints_the_counts_given(ax, flow):
    """A box a row with its counts; kept boxes are beneath one another, those left out aside; no text meets another."""
    figures.plot_flow(ax, flow)
    texts = [text for text in _texts(ax) if text]
    assert "Patients in the manifest\nn = 1,250, 60 HCC" in texts
    assert "External validation cohort\nn = 348, 19 HCC" in texts
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == 5
    assert to_hex(boxes[1].get_edgecolor()) == style.GREY.lower()
    assert boxes[1].get_x() > boxes[0].get_x()
    tops = [box.get_y() for box in boxes]
    assert tops[0] < tops[1] < tops[2] < tops[3] == tops[4]
    assert not _overlap(ax)
    assert not _leaves_the_figure(ax.figure)


def test_flow_boxes_hold_their_text(ax, flow):
    """No text leaves its box."""
    figures.plot_flow(ax, flow)
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    texts = [text.get_window_extent(renderer) for text in ax.texts if text.get_text()]
    for box, text in zip(boxes, texts, strict=True):
        assert box.x0 <= text.x0 and text.x1 <= box.x1
        assert box.y0 <= text.y0 and text.y1 <= box.y1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"parent": ["", "manifest", "manifest", "nobody", "analysed"]}, "box a"),
        ({"parent": ["", "manifest", "", "analysed", "analysed"]}, "one without a parent"),
        ({"box": ["manifest", "lost", "lost", "a", "b"]}, "each box once"),
    ],
)
def test_flow_refuses_other_trees(ax, flow, change, word):
    """A parent that is unknown, two roots, and a box twice."""
    with pytest.raises(DataError, match=word):
        figures.plot_flow(ax, flow.assign(**change))


def test_workflow_boxes_hold_their_text():
    """ALARM's own workflow in the book's width: every step in its box, arrows only where steps follow."""
    cohorts = pd.DataFrame(
        {
            "cohort": ["discovery", "internal_validation", "external_validation"],
            "n": [924, 231, 703],
            "events": [45, 13, 31],
        }
    )
    counts = pd.DataFrame(
        [
            (block, step, 1000)
            for block in ("radiomics", "deep")
            for step in ("extracted", "mann_whitney", "spearman", "lasso")
        ],
        columns=["block", "step", "features"],
    )
    steps = tables.alarm_workflow(cohorts, counts)
    figure, axes = figures.panels(height_in=5.2)
    ax = figures.plot_workflow(axes[0, 0], steps)
    figures.stamp_synthetic(figure)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    texts = [text for text in ax.texts if text.get_text()]
    assert len(boxes) == 6 + len(steps)
    for text in texts:
        own = text.get_window_extent(renderer)
        assert any(
            box.x0 <= own.x0 and own.x1 <= box.x1 and box.y0 - 1 <= own.y0 and own.y1 <= box.y1 + 1 for box in boxes
        ), text.get_text()
    arrows = [text for text in ax.texts if not text.get_text()]
    assert len(arrows) == 5 + int(steps["follows"].sum())
    assert "924 patients, 45 HCC" in [text.get_text() for text in texts]


# --- cross-validation -------------------------------------------------------------------------------------------------


def _cross_validated() -> tuple[pd.DataFrame, pd.DataFrame]:
    points = [
        ("discovery", model, fpr, tpr)
        for model, bend in (("fold 1", 0.7), ("fold 2", 0.9), ("pooled", 0.8))
        for fpr, tpr in ((0.0, 0.0), (0.2, bend), (1.0, 1.0))
    ]
    areas = [
        ("discovery", "fold 1", 20, 4, 0.7, 0.5, 0.9, np.nan, ""),
        ("discovery", "fold 2", 20, 4, 0.9, 0.7, 1.0, np.nan, ""),
        ("discovery", "pooled", 40, 8, 0.123, 0.1, 0.2, np.nan, ""),
        ("discovery", "mean of folds", 40, 8, 0.456, np.nan, np.nan, 0.05, "no interval: SD"),
        ("small", "pooled", 9, 1, *[np.nan] * 4, "not cross-validated: 1 patients with and 8 without HCC"),
    ]
    columns = ["cohort", "model", "n", "events", "auc", "lower", "upper", "sd", "note"]
    return pd.DataFrame(areas, columns=columns), pd.DataFrame(points, columns=["cohort", "model", "fpr", "tpr"])


def test_cross_validated_roc_draws_what_it_is_given():
    """Folds thin, the pooled curve thick, both AUCs as given; a cohort that could not be folded shows why."""
    figure, axes = figures.panels(1, 2, height_in=3.6)
    first, second = figures.plot_panels(figures.plot_cross_validated_roc, axes, *_cross_validated())
    curves = [line for line in first.lines if len(line.get_xdata()) == 3]
    assert [line.get_ydata()[1] for line in curves] == [0.7, 0.9, 0.8]
    assert [text.get_text() for text in first.get_legend().get_texts()] == [
        "Pooled 0.123 (0.100–0.200)",
        "2 folds, mean 0.456 (SD 0.050)",
    ]
    assert "not cross-validated" in _texts(second)[0]
    assert second.get_legend() is None
    assert not _leaves_the_figure(figure)


def test_cross_validated_roc_refuses_an_unknown_cohort(ax):
    """The message names it."""
    with pytest.raises(DataError, match="external"):
        figures.plot_cross_validated_roc(ax, *_cross_validated(), cohort="external")


# --- X-tile -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiles() -> pd.DataFrame:
    """Three pairs of cut-offs: two that rise, one that falls."""
    rows = [(0.2, 0.5, 0.3, 0.4, 6.0, True), (0.2, 0.8, 0.3, 0.2, 9.0, True), (0.5, 0.8, 0.6, 0.2, 4.0, False)]
    return pd.DataFrame(rows, columns=["lower", "upper", "low_share", "high_share", "chi2", "rising"])


def test_xtile_is_drawn_as_x_tile_draws_it(tiles):
    """Low group to the right, high group downwards, falling pairs on the other side of black, the pair marked."""
    figure, axes = figures.panels(height_in=4)
    ax = figures.plot_xtile(axes[0, 0], tiles, (0.2, 0.8))
    mesh = ax.collections[0]
    np.testing.assert_array_equal(
        np.ma.filled(np.ma.masked_invalid(mesh.get_array()), 0).reshape(2, 2), [[9.0, -4.0], [6.0, 0.0]]
    )
    assert ax.get_xlim() == (0, 1)
    assert ax.get_ylim() == (1, 0)
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert marks == [(0.3, 0.2)] * 2
    assert _texts(ax) == ["Greatest: χ² 9.0\ncut-offs 0.20 and 0.80"]
    colours = [to_hex(mesh.cmap(mesh.norm(value))) for value in (0.0, 9.0, -9.0)]
    assert colours[0] == "#000000"
    red, green = (tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in colours[1:])
    assert red[0] > red[1]
    assert green[1] > green[0]
    assert not _leaves_the_figure(figure)


def test_xtile_refuses_a_pair_that_is_not_there(ax, tiles):
    """Cut-offs of another run are not marked somewhere near."""
    with pytest.raises(DataError, match=r"0\.21, 0\.65"):
        figures.plot_xtile(ax, tiles, (0.21, 0.65))


def test_xtile_histogram_counts_patients(ax):
    """Two low scores and one medium one in the first of forty bars stand on one another; a high one stands alone."""
    patients = pd.DataFrame({"score": [0.001, 0.002, 0.02, 0.99], "hcc": [0, 0, 1, 1]})
    figures.plot_xtile_histogram(ax, patients, (0.01, 0.65))
    colours = [to_hex(style.group_colour(f"{group} risk")) for group in ("Low", "Medium", "High")]
    found = [
        (colours.index(to_hex(bar.get_facecolor())), round(bar.get_x(), 3), bar.get_y(), bar.get_height())
        for bar in ax.patches
        if bar.get_height() and bar.get_alpha() is not None
    ]
    assert found == [(0, 0.0, 0.0, 2.0), (1, 0.0, 2.0, 1.0), (2, 0.975, 0.0, 1.0)]
    hatched = [(round(bar.get_x(), 3), bar.get_y(), bar.get_height()) for bar in ax.patches if bar.get_hatch()]
    assert [bar for bar in hatched if bar[2]] == [(0.0, 2.0, 1.0), (0.975, 0.0, 1.0)]
    assert not _leaves_the_figure(ax.figure)


@pytest.mark.parametrize(("cut", "text"), [(0.65, "0.65"), (0.0123, "0.012"), (0.0055, "0.0055"), (0.0, "0.00")])
def test_small_cut_off_keeps_two_digits(ax, cut, text):
    """Two places, and two digits where that is more: 0.0055 is not 0.01."""
    figures.plot_xtile_histogram(ax, pd.DataFrame({"score": [0.1, 0.9], "hcc": [0, 1]}), (cut,))
    assert _texts(ax) == [text]


@pytest.mark.parametrize("cuts", [(), (0.6, 0.2), (0.1, 0.2, 0.3)])
def test_xtile_histogram_refuses_other_cut_offs(ax, cuts):
    """One or two, rising."""
    with pytest.raises(DataError, match="cut-offs"):
        figures.plot_xtile_histogram(ax, pd.DataFrame({"score": [0.1, 0.2], "hcc": [0, 1]}), cuts)


# --- nomogram ---------------------------------------------------------------------------------------------------------


def test_nomogram_places_marks_by_their_points(ax):
    """A value with 50 points stands half-way along; total and probability share the greatest total's length."""
    rows = [("points", "points", mark, mark) for mark in (0.0, 50.0, 100.0)]
    rows += [("amap", "variable", 40.0, 0.0), ("amap", "variable", 60.0, 50.0)]
    rows += [("deep", "variable", 0.0, 0.0), ("deep", "variable", 1.0, 100.0)]
    rows += [("albumin", "variable", 30.0, 0.0), ("albumin", "variable", 40.0, 0.0)]
    rows += [("total", "total", 0.0, 0.0), ("total", "total", 150.0, 150.0), ("probability", "probability", 0.21, 75.0)]
    scales = pd.DataFrame(rows, columns=["axis", "kind", "value", "points"])
    figures.plot_nomogram(ax, scales, cutoffs=(0.21,))
    at = {text.get_text(): text for text in ax.texts}
    assert at["60"].get_position()[0] == pytest.approx(at["50"].get_position()[0])
    assert at["150"].get_position()[0] == pytest.approx(at["100"].get_position()[0]) == pytest.approx(1.0)
    assert at["0.21"].get_position()[0] == pytest.approx((at["0"].get_position()[0] + 1) / 2)
    assert to_hex(at["0.21"].get_color()) == style.VERMILION.lower()
    assert {"Points", "aMAP score", "Deep-learning score", "Total points", "Probability of HCC", "no weight"} <= set(at)
    assert not _leaves_the_figure(ax.figure)


def test_nomogram_labels_do_not_meet(ax):
    """Marks that crowd keep their ticks and lose their names, cut-offs never."""
    rows = [("points", "points", 10.0 * mark, 10.0 * mark) for mark in range(11)]
    rows += [("amap", "variable", 40.0 + mark, 1.2 * mark) for mark in range(40)]
    rows += [("total", "total", 0.0, 0.0), ("total", "total", 100.0, 100.0)]
    rows += [("probability", "probability", p, 200 * p) for p in (0.2, 0.21, 0.22, 0.3, 0.31)]
    figures.plot_nomogram(ax, pd.DataFrame(rows, columns=["axis", "kind", "value", "points"]), cutoffs=(0.21,))
    assert "0.21" in _texts(ax)
    assert not _overlap(ax)


# --- calibration ------------------------------------------------------------------------------------------------------


def test_calibration_prints_e50_and_e90(ax):
    """Beside intercept, slope and ICI, the median and the 90th percentile of the distances, as given."""
    points = pd.DataFrame(
        {
            "cohort": "unseen",
            "model": "alarm",
            "predicted": [0, 1.0],
            "observed": [0, 1.0],
            "lower": [0, 0.9],
            "upper": [0.1, 1],
        }
    )
    summary = pd.DataFrame(
        [("unseen", "alarm", -0.1, 0.9, 0.02, 0.015, 0.06, 0.1)], columns=list(tables.schemas.CALIBRATION_COLUMNS)
    )
    figures.plot_calibration(ax, points, summary=summary)
    assert "E50 0.015\nE90 0.060" in _texts(ax)
    assert not _overlap(ax)
