"""Intraclass correlations: the published example, an independent analysis of variance, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from hccbook.errors import DataError
from hccbook.evaluation.agreement import (
    BANDS,
    CONSTANT,
    _mean_squares,
    agreement_band,
    auc_by_segmentation,
    icc_table,
)
from hccbook.evaluation.association import feature_family
from hccbook.report import figures

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
"""Six targets rated by four judges: Shrout and Fleiss 1979, Table 2."""


@pytest.fixture(scope="module")
def published() -> pd.Series:
    return icc_table(SHROUT_FLEISS[:, :, None]).iloc[0]


# --- the published example --------------------------------------------------------------------------------------------


def test_mean_squares_are_the_printed_ones():
    """Between targets 11.24, between judges 32.49, residual 1.02 (Shrout and Fleiss, Table 3)."""
    found = _mean_squares(SHROUT_FLEISS[:, :, None])
    assert [round(float(part[0]), 2) for part in found] == [11.24, 32.49, 1.02]


def test_f_value_is_the_printed_one():
    """11.24 / 1.02 = 11.03, from unrounded mean squares."""
    between, _, error = _mean_squares(SHROUT_FLEISS[:, :, None])
    assert between[0] / error[0] == pytest.approx(11.03, abs=0.006)


def test_icc_of_six_targets_and_four_judges(published):
    """.29 (Shrout and Fleiss 1979, Table 4); 95 % limits that the R packages psych and irr print."""
    assert round(published["icc"], 2) == 0.29
    assert published["lower"] == pytest.approx(0.019, abs=6e-4)
    assert published["upper"] == pytest.approx(0.761, abs=6e-4)


# --- independent calculations -----------------------------------------------------------------------------------------


def test_mean_squares_are_those_of_statsmodels():
    """A two-way analysis of variance by least squares, for several features of unlike size."""
    random = np.random.default_rng(3)
    values = random.normal(size=(7, 3, 4)) * [1, 100, 1e6, 1e-4] + random.normal(size=(7, 1, 4)) * [2, 0, 1e6, 0]
    values[:, 1, 1] += 50
    between, raters, error = _mean_squares(values)
    subject, rater = np.indices((7, 3))
    for feature in range(4):
        frame = pd.DataFrame(
            {"value": values[:, :, feature].ravel(), "subject": subject.ravel(), "rater": rater.ravel()}
        )
        table = anova_lm(ols("value ~ C(subject) + C(rater)", frame).fit())
        assert between[feature] == pytest.approx(table.loc["C(subject)", "mean_sq"], rel=1e-8)
        assert raters[feature] == pytest.approx(table.loc["C(rater)", "mean_sq"], rel=1e-6)
        assert error[feature] == pytest.approx(table.loc["Residual", "mean_sq"], rel=1e-8)


def test_two_raters_by_hand():
    """(1, 2), (3, 4), (5, 6): the second rater is always 1 more; B = 8, J = 1.5, E = 0: 8 / (8 + 2/3 x 1.5) = 8/9."""
    row = icc_table(np.array([[1, 2], [3, 4], [5, 6]], float)[:, :, None]).iloc[0]
    assert row["icc"] == pytest.approx(8 / 9)
    assert row["lower"] < 8 / 9 < row["upper"]


def test_interval_covers_the_truth_as_often_as_it_says():
    """5,000 studies of 20 subjects with known variances: the approximate 95 % interval holds the truth in 92 to 98 %.

    Subjects have variance 4, errors 1, and the 6 raters 1 among them: 4 / 6.
    """
    random = np.random.default_rng(2)
    n, k, studies = 20, 6, 5000
    values = 2 * random.normal(size=(n, 1, studies)) + random.normal(size=(n, k, studies))
    values += random.normal(size=(1, k, studies))
    table = icc_table(values)
    assert ((table["lower"] <= 4 / 6) & (table["upper"] >= 4 / 6)).mean() == pytest.approx(0.95, abs=0.03)


def test_all_features_at_once_are_each_alone():
    """A table of 300 features has the rows of 300 tables of one."""
    random = np.random.default_rng(8)
    values = random.normal(size=(5, 4, 300)) + random.normal(size=(5, 1, 300))
    values[:, :, 7], values[:, :, 9] = 3.0, random.normal(size=(5, 1))
    together = icc_table(values)
    for feature in (0, 7, 9, 150, 299):
        alone = icc_table(values[:, :, [feature]]).iloc[0]
        pd.testing.assert_series_equal(together.iloc[feature], alone, check_names=False, rtol=1e-9)


# --- cases ------------------------------------------------------------------------------------------------------------


def test_scale_and_shift_of_a_feature_change_nothing():
    """HU or units of 1,000 HU, from zero or from a million: the same correlations."""
    random = np.random.default_rng(5)
    values = random.normal(size=(8, 3, 20)) + 2 * random.normal(size=(8, 1, 20))
    plain, moved = icc_table(values), icc_table(-1e-3 * values + 50)
    for column in ("icc", "lower", "upper"):
        assert moved[column].to_numpy() == pytest.approx(plain[column].to_numpy(), rel=1e-6, abs=1e-9)


def test_constant_feature_has_none_and_says_so():
    """Also where the last bits differ; nothing else is NaN."""
    values = np.random.default_rng(2).normal(size=(6, 3, 4))
    values[:, :, 1] = 7.0
    values[:, :, 2] = 0.1 * (1 + np.finfo(float).eps * np.arange(18).reshape(6, 3) % 2)
    table = icc_table(values)
    assert table["note"].tolist() == ["", CONSTANT, CONSTANT, ""]
    numbers = table.drop(columns="note").isna()
    assert numbers.loc[[1, 2]].all(axis=None)
    assert not numbers.loc[[0, 3]].any(axis=None)


def test_raters_that_agree_wholly_have_one():
    """With the interval 1 to 1."""
    values = np.repeat(np.random.default_rng(2).normal(size=(6, 1, 2)), 3, axis=1)
    assert (icc_table(values)[["icc", "lower", "upper"]] == 1).all(axis=None)


def test_subjects_that_do_not_differ_have_none_of_the_variance():
    """Raters alone differ: agreement is 0."""
    values = np.repeat(np.array([1.0, 5.0, 9.0])[None, :, None], 4, axis=0)
    assert icc_table(values)["icc"].tolist() == [0]


def test_noise_gives_numbers_in_order():
    """On noise of the smallest design and of a common one, no value is NaN and each lies within its limits."""
    for shape in ((3, 2, 4000), (10, 5, 4000)):
        table = icc_table(np.random.default_rng(0).normal(size=shape))
        assert np.isfinite(table.drop(columns="note")).all(axis=None)
        assert (table["lower"] <= table["icc"] + 1e-12).all()
        assert (table["icc"] <= table["upper"] + 1e-12).all()


@pytest.mark.parametrize("shape", [(2, 3, 1), (5, 1, 1), (5, 3)])
def test_too_few_ratings_are_refused(shape):
    """Two subjects, one rater, or no axis of features."""
    with pytest.raises(DataError, match=r"ratings: must have the shape .subjects, raters, features."):
        icc_table(np.ones(shape))


def test_missing_rating_is_refused_with_its_place():
    """No subject is dropped silently."""
    values = np.ones((4, 3, 2))
    values[2, 1, 0] = np.nan
    with pytest.raises(DataError, match=r"must be finite, but found a value that is not, at \[2, 1, 0\]"):
        icc_table(values)


@pytest.mark.parametrize(
    ("icc", "band"),
    [(-0.2, "poor"), (0.499, "poor"), (0.5, "moderate"), (0.75, "good"), (0.9, "good"), (0.901, "excellent"),
     (1.0, "excellent"), (float("nan"), "none")],
)  # fmt: skip
def test_bands_are_those_of_koo_and_li(icc, band):
    """Below 0.5 poor, to 0.75 moderate, to 0.9 good, above 0.9 excellent (Koo and Li 2016)."""
    assert agreement_band(icc) == band
    assert list(BANDS) == ["poor", "moderate", "good", "excellent"]


@pytest.mark.parametrize(
    ("name", "family"),
    [("venous.liver.original_shape_Sphericity", "shape"), ("arterial.spleen.wavelet-LLH_glcm_Idm", "glcm"),
     ("delayed.liver.log-sigma-3-0-mm-3D_firstorder_90Percentile", "firstorder"), ("venous.liver.deep_012", "deep")],
)  # fmt: skip
def test_family_is_in_the_name(name, family):
    """The second part of the name, or deep."""
    assert feature_family(name) == family


def test_name_of_no_feature_is_refused():
    """A name without image and class."""
    with pytest.raises(DataError, match="must be named <image>_<class>_<feature>"):
        feature_family("venous.liver.volume")


# --- AUC by mask ---------------------------------------------------------------------------------------------------


def test_auc_by_segmentation_by_hand():
    """Two with HCC, three without: 6 pairs, of which 6, 5 and 6 are in order; score changes are medians."""
    y = [1, 1, 0, 0, 0]
    scores = pd.DataFrame(
        {
            "used": [0.9, 0.6, 0.5, 0.4, 0.1],
            "given": [0.9, 0.6, 0.7, 0.4, 0.1],
            "dilation:2": [0.95, 0.8, 0.7, 0.7, 0.6],
        }
    )
    table = auc_by_segmentation(y, scores).set_index("mask")
    assert table["auc"].tolist() == pytest.approx([1, 5 / 6, 1])
    assert table["difference"].tolist() == pytest.approx([0, -1 / 6, 0])
    assert table["score_change"].tolist() == pytest.approx([0, 0, 0.2])
    assert table["p"].tolist()[::2] == [1, 1]
    assert 0 < table.loc["given", "p"] < 1
    assert (table["n"] == 5).all()
    assert (table["events"] == 2).all()


def test_scores_without_an_mask_are_refused():
    """There must be one to compare with."""
    with pytest.raises(DataError, match="must have one column a mask"):
        auc_by_segmentation([0, 1], pd.DataFrame(index=[0, 1]))


# --- figures ----------------------------------------------------------------------------------------------------------


def test_agreement_figure_shows_quartiles_by_family():
    """Families in the printed order; the median of 0.2, 0.4, 0.9 is drawn at 0.4; a missing value is not counted."""
    icc = pd.DataFrame({"family": ["glcm"] * 4 + ["shape"], "icc": [0.2, 0.9, 0.4, np.nan, 0.8]})
    figure, axes = figures.panels()
    ax = figures.plot_agreement(axes[0, 0], icc)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Shape", "GLCM"]
    assert [text.get_text() for text in ax.texts] == ["1", "3"]
    medians = [line.get_xdata() for line in ax.lines if len(set(line.get_xdata())) == 1 and line.get_linewidth() > 2]
    assert [float(x[0]) for x in medians] == [0.8, 0.4]
    with pytest.raises(DataError, match="must have a value"):
        figures.plot_agreement(axes[0, 0], icc.assign(icc=np.nan))
    plt.close(figure)


def test_auc_figure_names_masks_and_numbers():
    """AUC, interval and p beside each mask; the first has no p."""
    table = auc_by_segmentation([1, 1, 0, 0, 0], pd.DataFrame({"used": [5, 4, 3, 2, 1], "erosion:2": [5, 3, 4, 2, 1]}))
    figure, axes = figures.panels()
    ax = figures.plot_segmentation_auc(axes[0, 0], table, title="ALARM")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["As used", "Eroded by 2 mm"]
    used, eroded = (text.get_text() for text in ax.texts)
    assert used == "1.00 (1.00–1.00)"
    assert eroded.startswith("0.83 (")
    assert ", p = 0." in eroded
    assert ax.get_title(loc="left") == "ALARM"
    plt.close(figure)


def test_shift_figure_has_every_patient():
    """One point a patient, by outcome, under its printed mask."""
    scores = pd.DataFrame({"hcc": [0, 1, 0], "used": [0.1, 0.7, 0.2], "rotation:5": [0.3, 0.6, 0.2]})
    figure, axes = figures.panels()
    ax = figures.plot_score_shift(axes[0, 0], scores, "rotation:5")
    points = {line.get_label(): line.get_xydata().tolist() for line in ax.lines[:2]}
    assert points == {"No HCC": [[0.1, 0.3], [0.2, 0.2]], "HCC": [[0.7, 0.6]]}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("As used", "Turned by 5°")
    plt.close(figure)
