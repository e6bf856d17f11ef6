"""High-risk groups of the published scores, and the centres."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from hccbook.cohort import centre_table, image_characteristics
from hccbook.errors import DataError
from hccbook.evaluation import high_risk_calls, high_risk_performance, person_year_rates


def test_calls_take_each_score_at_its_own_cut_off():
    """PAGE-B from 18, CU-HCC from 20, LSM-HCC from 11, THRI above 240; other columns are left out."""
    scores = pd.DataFrame(
        {
            "PAGE-B": [17.0, 18, np.nan],
            "CU-HCC": [19.5, 20, 0],
            "LSM-HCC": [10.0, 11, 30],
            "THRI": [240.0, 241, 0],
            "aMAP": [70.0, 80, 90],
        },
        index=list("abc"),
    )
    found = high_risk_calls(scores)
    assert list(found) == ["PAGE-B", "CU-HCC", "LSM-HCC", "THRI"]
    assert found.loc["a"].tolist() == [0, 0, 0, 0]
    assert found.loc["b"].tolist() == [1, 1, 1, 1]
    assert np.isnan(found.loc["c", "PAGE-B"])


def test_sensitivities_by_mcnemar():
    """Six HCC; the reference alone calls five of them, the score alone none: p = 2 x (1/2)^5."""
    called = pd.DataFrame({"THRI": [0, 0, 0, 0, 0, 1, 0, 1], "aMAP-CT": [1, 1, 1, 1, 1, 1, 0, 0]})
    table = high_risk_performance([1, 1, 1, 1, 1, 1, 0, 0], called, "test")
    first = table[(table["model"] == "THRI") & (table["measure"] == "sensitivity")].iloc[0]
    assert (first["only_reference"], first["only_model"]) == (5, 0)
    assert first["p"] == pytest.approx(2 * 0.5**5)
    assert table.loc[table["model"] == "aMAP-CT", "p"].isna().all()


def test_holm_by_hand():
    """p of 1/16, 1/8 and 1 of one family become 3/16, 2/8 and 1."""
    hcc = np.ones(9, dtype=int)
    none = np.zeros(9, dtype=int)
    scores = {"a": [0] * 5 + [1] * 4, "b": [0] * 4 + [1] * 5, "c": [1] * 9, "aMAP-CT": [1] * 9}
    called = pd.DataFrame({name: np.r_[values, none] for name, values in scores.items()})
    table = high_risk_performance(np.r_[hcc, none], called, "test")
    own = table[table["measure"] == "sensitivity"].set_index("model")
    assert own.loc[["a", "b", "c"], "p"].tolist() == pytest.approx([1 / 16, 1 / 8, 1])
    assert own.loc[["a", "b", "c"], "p_holm"].tolist() == pytest.approx([3 / 16, 1 / 4, 1])


def test_performance_agrees_with_scikit_learn():
    """Counts are those of the confusion matrix, in each cohort; McNemar's p that of scipy's binomial test."""
    rng = np.random.default_rng(0)
    y, cohort = rng.integers(0, 2, 90), np.repeat(["training", "test"], 45)
    called = pd.DataFrame({"PAGE-B": rng.integers(0, 2, 90), "aMAP-CT": rng.integers(0, 2, 90)})
    table = high_risk_performance(y, called, cohort)
    for name in ("training", "test"):
        rows = cohort == name
        tn, fp, fn, tp = confusion_matrix(y[rows], called.loc[rows, "PAGE-B"]).ravel()
        own = table[(table["cohort"] == name) & (table["model"] == "PAGE-B")].set_index("measure")
        expected = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)]
        assert own["value"].tolist() == pytest.approx(expected)
        hcc = rows & (y == 1)
        apart = called["PAGE-B"][hcc] != called["aMAP-CT"][hcc]
        only = int((called["aMAP-CT"][hcc] & apart).sum())
        assert own.loc["sensitivity", "p"] == pytest.approx(binomtest(only, int(apart.sum())).pvalue)


def test_missing_scores_and_missing_cases_are_said():
    """Patients without the score are left out and counted; a cohort without HCC has no sensitivity and a note."""
    called = pd.DataFrame({"CU-HCC": [1.0, np.nan, 0, 1], "THRI": [np.nan] * 4, "aMAP-CT": [1.0, 1, 0, 0]})
    table = high_risk_performance([1, 1, 0, 0], called, ["training", "training", "test", "test"])
    own = table[table["measure"] == "sensitivity"].set_index(["cohort", "model"])
    assert own.loc[("training", "CU-HCC"), "note"] == "1 without the score left out"
    assert own.loc[("training", "CU-HCC"), "n"] == 1
    assert own.loc[("test", "CU-HCC"), "note"] == "no patient with HCC"
    assert np.isnan(own.loc[("test", "CU-HCC"), "value"])
    assert own.loc[("test", "CU-HCC"), ["lower", "upper"]].tolist() == [0, 1]
    assert own.loc[("training", "THRI"), "note"] == "nobody has the score"


@pytest.mark.parametrize(
    ("called", "word"),
    [
        ({"aMAP-CT": [1.0, np.nan]}, "nobody lacks"),
        ({"THRI": [1.0, 0.0]}, "aMAP-CT"),
        ({"THRI": [2.0, 0.0], "aMAP-CT": [1.0, 0.0]}, "THRI"),
    ],
)
def test_refusals(called, word):
    """No reference, a reference that somebody lacks, and values other than 0 and 1 are refused."""
    with pytest.raises(DataError, match=word):
        high_risk_performance([1, 0], pd.DataFrame(called), "test")


# --- centres ----------------------------------------------------------------------------------------------------------


def test_centres_by_hand():
    """The largest first; one HCC in 5 person-years is 20 %; a centre without HCC is 0 with an upper limit."""
    clinical = pd.DataFrame(
        {
            "centre": ["B", "B", "B", "A"],
            "cohort": ["validation", "training", "training", "test"],
            "hcc": [0, 1, 0, 0],
            "months": [12.0, 24.0, 24.0, 36.0],
        }
    )
    rates = person_year_rates(clinical["months"], clinical["hcc"], clinical["centre"])
    table = centre_table(clinical, rates).set_index("centre")
    assert table.index.tolist() == ["B", "A"]
    assert table.loc["B", "cohorts"] == "training, validation"
    assert table.loc["B", ["n", "events", "median_months", "person_years", "rate"]].tolist() == [3, 1, 24, 5, 0.2]
    assert table.loc["A", "rate"] == 0
    assert table.loc["A", "upper"] == pytest.approx(-np.log(0.025) / 3)
    assert table.loc["A", "note"] == "no HCC"


def test_centre_without_a_rate_is_refused():
    """Rates of other patients do not fit."""
    clinical = pd.DataFrame({"centre": ["A", "B"], "cohort": "training", "hcc": [0, 1], "months": [12.0, 24.0]})
    with pytest.raises(DataError, match="no A"):
        centre_table(clinical, person_year_rates([12.0], [0], ["B"]))


def test_images_by_hand():
    """Median, quartiles and range of the grid and of the organs' HU, by centre and phase."""
    facts = pd.DataFrame(
        {
            "patient": ["P1", "P2", "P3"],
            "phase": "venous",
            "source_spacing_x_mm": [0.7, 0.9, 0.8],
            "source_spacing_z_mm": [1.0, 5.0, 3.0],
            "source_size_x": 512,
            "source_size_z": [300, 100, 60],
        }
    )
    features = pd.DataFrame(
        {
            "venous.liver.original_firstorder_Median": [100.0, 110, 90],
            "venous.liver.original_firstorder_InterquartileRange": [20.0, 30, 40],
            "venous.spleen.original_firstorder_Median": [130.0, 120, 110],
            "venous.spleen.original_firstorder_InterquartileRange": [25.0, 25, 25],
        },
        index=pd.Index(["P1", "P2", "P3"], name="patient"),
    )
    centre = pd.Series(["B", "B", "A"], index=features.index)
    table = image_characteristics(facts, features, centre)
    assert table["centre"].unique().tolist() == ["A", "B"]
    own = table[(table["centre"] == "B")].set_index("characteristic")
    grid = own.loc["source_spacing_z_mm", ["n", "median", "least", "greatest"]].tolist()
    assert grid == [2, 3, 1, 5]
    assert own.loc["liver.original_firstorder_Median", ["q1", "median", "q3"]].tolist() == [102.5, 105, 107.5]


def test_patient_without_a_centre_is_refused():
    """The patient is named."""
    facts = pd.DataFrame(
        {
            "patient": ["P9"], "phase": "venous", "source_spacing_x_mm": 1.0, "source_spacing_z_mm": 1.0,
            "source_size_x": 10, "source_size_z": 10,
        }
    )  # fmt: skip
    with pytest.raises(DataError, match="P9"):
        image_characteristics(facts, pd.DataFrame(), pd.Series({"P1": "A"}))
