"""aMAP-CT's tables recomputed by another route, its subgroups, and the stepwise trade-off."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from hccbook.cohort import amap_ct_subgroups
from hccbook.errors import DataError
from hccbook.evaluation import (
    auc_table,
    by_cohort,
    comparator_table,
    diagnostic_performance,
    high_risk_performance,
    stepwise_flows,
    stepwise_groups,
    stepwise_tradeoff,
    subgroup_auc,
    subgroup_performance,
)
from hccbook.report import tables
from hccbook.scores import amap

CUTOFF = 0.4


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    """120 made-up patients with ages, sexes, an aMAP, a probability and an outcome, a few scores missing."""
    rng = np.random.default_rng(8)
    n = 120
    table = pd.DataFrame(
        {
            "cohort": np.repeat(["training", "validation", "test"], 40),
            "age": rng.integers(25, 80, n).astype(float),
            "sex": rng.choice(["male", "female"], n, p=[0.8, 0.2]),
            "hcc": rng.permutation(np.repeat([1, 0], [30, 90])),
            "months": rng.uniform(4, 60, n).round(1),
        },
        index=[f"P{row:04d}" for row in range(n)],
    )
    table.loc[table.index[:3], "age"] = [45.0, 55.0, 54.9]
    table["amap"] = amap(table["age"], table["sex"] == "male", 17.0, rng.uniform(30, 48, n), rng.uniform(60, 250, n))
    table["risk"] = np.clip(rng.beta(2, 5, n) + 0.25 * table["hcc"], 0.01, 0.99)
    table["other"] = rng.normal(size=n) + table["hcc"]
    table.loc[table.index[::9], "other"] = np.nan
    return table


def _digits(value: float, places: int = 3) -> str:
    """Rounded half away from zero, as a table prints it."""
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def _by_scikit_learn(y: np.ndarray, risk: np.ndarray) -> list[str]:
    """AUC, SEN, SPE, PPV, NPV, ACC and F1 as text, n.a. where scikit-learn has nothing to divide by."""
    called = (risk >= CUTOFF).astype(int)

    def text(value: float, *, there: bool) -> str:
        return _digits(value) if there else "n.a."

    return [
        text(roc_auc_score(y, risk), there=True) if 0 < y.sum() < y.size else "n.a.",
        text(recall_score(y, called, zero_division=0), there=y.sum() > 0),
        text(recall_score(1 - y, 1 - called, zero_division=0), there=y.sum() < y.size),
        text(precision_score(y, called, zero_division=0), there=called.sum() > 0),
        text(precision_score(1 - y, 1 - called, zero_division=0), there=called.sum() < y.size),
        text(accuracy_score(y, called), there=True),
        # The harmonic mean of two zeros does not exist: the paper prints n.a.
        text(f1_score(y, called, zero_division=0), there=(y * called).sum() > 0),
    ]


def test_table_2_by_scikit_learn(cohort):
    """AUC and the six measures of each cohort, to the printed digits."""
    area = auc_table(cohort["hcc"], cohort[["risk"]].rename(columns={"risk": "amap_ct"}), cohort["cohort"])
    performance = by_cohort(diagnostic_performance, cohort["hcc"], cohort["risk"], cohort["cohort"], cutoffs=CUTOFF)
    laid = tables.amap_ct_table_2(performance, area)
    for (name, own), (_, row) in zip(cohort.groupby("cohort", sort=False), laid.iterrows(), strict=True):
        expected = _by_scikit_learn(own["hcc"].to_numpy(), own["risk"].to_numpy())
        assert [cell.split(" ")[0] for cell in row.iloc[2:]] == expected, name


def test_table_3_by_scikit_learn(cohort):
    """The same in every subgroup by sex, age and aMAP class, empty and one-class ones included."""
    subgroups = amap_ct_subgroups(cohort)
    areas = subgroup_auc(cohort["hcc"], cohort["risk"], subgroups, cohort["cohort"])
    whole = pd.DataFrame({"all": "all"}, index=cohort.index)
    performance = pd.concat(
        subgroup_performance(cohort["hcc"], cohort["risk"], part, [CUTOFF], cohort["cohort"])
        for part in (whole, subgroups)
    )
    laid = tables.amap_ct_table_3(areas, performance)
    bands = {"≤45": cohort["age"] <= 45, "≥55": cohort["age"] >= 55}
    bands["45–55"] = ~bands["≤45"] & ~bands["≥55"]
    chosen = {
        **bands,
        "All patients": cohort["age"] > 0,
        "Males": cohort["sex"] == "male",
        "Females": cohort["sex"] == "female",
        "Low risk": cohort["amap"] < 50,
        "Medium risk": cohort["amap"].between(50, 60),
        "High risk": cohort["amap"] > 60,
    }
    assert len(laid) == 3 * len(chosen)
    for (title, _, level), row in laid.iterrows():
        own = cohort[(cohort["cohort"].str.capitalize() + " cohort" == title) & chosen[level]]
        events = int(own["hcc"].sum())
        assert row["n"] == str(len(own))
        if len(own):
            assert row["HCC, n (%)"] == f"{events} ({_digits(100 * events / len(own), 1)})"
            assert row.iloc[2:].tolist() == _by_scikit_learn(own["hcc"].to_numpy(), own["risk"].to_numpy()), level


def test_table_3_prints_na_where_the_paper_does():
    """Sensitivity and PPV of 0: F1 is n.a., as for the women of the validation cohort; one class: AUC n.a."""
    index = list("abcdef")
    y, risk = pd.Series([1, 0, 0, 0, 0, 0], index), pd.Series([0.1, 0.9, 0.2, 0.3, 0.8, 0.1], index)
    part = pd.DataFrame({"sex": pd.Categorical(["Females"] * 4 + ["Males"] * 2, ["Males", "Females"])}, index=index)
    areas = subgroup_auc(y, risk, part, "validation")
    performance = subgroup_performance(y, risk, part, [CUTOFF], "validation")
    plain, wide = (tables.amap_ct_table_3(areas, performance, intervals=shown) for shown in (False, True))
    women = plain.loc[("Validation cohort", "Sex", "Females")]
    assert women[["Sensitivity", "PPV", "F1-score"]].tolist() == ["0.000", "0.000", "n.a."]
    assert women["AUC"] == "0.000"
    assert wide.loc[("Validation cohort", "Sex", "Females"), "AUC"] == "0.000 (no interval)"
    assert plain.loc[("Validation cohort", "Sex", "Males"), "AUC"] == "n.a."


def test_table_4_by_scikit_learn(cohort):
    """AUC of each score in those who have it, to the printed digits, with their number."""
    compared = {"THRI": cohort["other"], "aMAP": cohort["amap"], "aMAP-CT": cohort["risk"]}
    table = comparator_table(cohort, compared)
    laid = tables.amap_ct_table_4(table)
    for name, own in cohort.groupby("cohort", sort=False):
        row = laid.loc[tables.cohort_title(name)]
        for title, column in (("THRI", "other"), ("aMAP", "amap"), ("aMAP-CT", "risk")):
            known = own.dropna(subset=[column])
            assert row[title].split(" ")[0] == _digits(roc_auc_score(known["hcc"], known[column]))
            assert (f"[n = {len(known)}]" in row[title]) == (len(known) < len(own))


def test_table_4_marks_what_stays_after_adjustment():
    """One star below 0.05, two where Holm's adjustment is too; a horizon of its own stands in the heading."""
    row = {"cohort": "test", "horizon": np.nan, "n": 50, "events": 9, "missing": 0, "auc": 0.6, "lower": 0.5}
    row |= {"upper": 0.7, "note": ""}
    frame = pd.DataFrame(
        [
            row | {"model": "THRI", "p": 0.01, "p_holm": 0.02},
            row | {"model": "PAGE-B", "p": 0.04, "p_holm": 0.08},
            row | {"model": "aMAP", "p": 0.2, "p_holm": 0.2},
            row | {"model": "aMAP-CT", "p": np.nan, "p_holm": np.nan, "horizon": 18.0, "auc": np.nan, "note": "none"},
        ]
    )
    laid = tables.amap_ct_table_4(frame).loc["Test cohort"]
    assert laid["THRI"] == "0.600 (0.500–0.700)**"
    assert laid["PAGE-B"] == "0.600 (0.500–0.700)*"
    assert laid["aMAP"] == "0.600 (0.500–0.700)"
    assert laid["aMAP-CT (18 months)"] == "none"


def test_table_s7_takes_both_tests(cohort):
    """DeLong's and McNemar's p stand in the row of their score, adjusted ones beside them."""
    table = comparator_table(cohort, {"THRI": cohort["other"], "aMAP-CT": cohort["risk"]})
    called = pd.DataFrame({"THRI": cohort["other"] > 0, "aMAP-CT": cohort["risk"] >= CUTOFF}).astype(float)
    called["THRI"] = called["THRI"].where(cohort["other"].notna())
    performance = high_risk_performance(cohort["hcc"], called, cohort["cohort"])
    row = tables.amap_ct_table_s7(table, performance).loc[("Test cohort", "THRI")]
    own = performance[(performance["cohort"] == "test") & (performance["model"] == "THRI")].iloc[0]
    assert row["McNemar p"] == tables.p_text(own["p"])
    assert row["Sensitivity"].startswith(_digits(own["value"]))
    assert row["HCC/n"] == f"{own['events']}/{own['n']}"


def test_table_s7_score_twice_is_refused(cohort):
    """Two rows of one score in one cohort would be told apart by nothing."""
    table = comparator_table(cohort, {"THRI": cohort["other"], "aMAP-CT": cohort["risk"]})
    called = pd.DataFrame({"THRI": cohort["other"] > 0, "aMAP-CT": cohort["risk"] >= CUTOFF}).astype(float)
    performance = high_risk_performance(cohort["hcc"], called, cohort["cohort"])
    with pytest.raises(DataError, match=f"{table['cohort'].iloc[0]}, .*must be there once, but found twice"):
        tables.amap_ct_table_s7(pd.concat([table, table.head(1)]), performance)


# --- subgroups --------------------------------------------------------------------------------------------------------


def test_subgroup_bounds_are_those_of_the_signs():
    """45 is in "≤45", 55 in "≥55"; aMAP 50 and 60 are medium."""
    table = pd.DataFrame({"sex": "male", "age": [45.0, 45.1, 54.9, 55.0], "amap": [49.99, 50.0, 60.0, 60.01]})
    found = amap_ct_subgroups(table)
    assert found["age"].tolist() == ["≤45", "45–55", "45–55", "≥55"]
    assert found["amap_group"].tolist() == ["low", "medium", "medium", "high"]
    assert found["sex"].cat.categories.tolist() == ["Males", "Females"]


@pytest.mark.parametrize(
    ("change", "word"), [({"sex": "m"}, "sex"), ({"age": np.nan}, "age"), ({"amap": np.nan}, "aMAP")]
)
def test_subgroups_refuse(change, word):
    """An unknown sex, a missing age or aMAP."""
    table = pd.DataFrame([{"sex": "male", "age": 50.0, "amap": 55.0} | change])
    with pytest.raises(DataError, match=word):
        amap_ct_subgroups(table)


# --- CTs spared against cancers missed --------------------------------------------------------------------------------

# Six patients: aMAP, aMAP-CT score, HCC.
AMAP = [40.0, 48, 52, 55, 62, 70]
SCORE = [0.9, 0.1, 0.8, 0.2, 0.3, 0.7]
HCC = [1, 0, 1, 1, 0, 1]


def test_tradeoff_by_hand():
    """At aMAP 50 and score 0.5: two CTs spared with one cancer, which its score would find; one more is missed."""
    (row,) = stepwise_tradeoff(AMAP, SCORE, HCC, [50], [0.5], "test").to_dict("records")
    assert (row["n"], row["events"], row["spared"], row["missed_by_amap"], row["missed_by_ct"]) == (6, 4, 2, 1, 1)
    assert (row["missed"], row["missed_share"], row["lost"], row["high"], row["ppv"]) == (2, 0.5, 1, 2, 1.0)
    # Wilson's interval of 2 of 4 (Newcombe's formula): 0.150 to 0.850.
    assert [round(row[name], 3) for name in ("missed_lower", "missed_upper")] == [0.15, 0.85]


def test_no_ct_spared_is_the_score_for_everybody():
    """With an aMAP cut-off of 0 nobody is spared and nothing is lost by it; beyond all, everything is missed."""
    table = stepwise_tradeoff(AMAP, SCORE, HCC, [0, 100], [0.5]).set_index("amap_cutoff")
    assert table.loc[0, ["spared", "lost", "missed"]].tolist() == [0, 0, 1]
    assert table.loc[100, ["spared", "missed", "lost", "high"]].tolist() == [6, 4, 3, 0]
    assert np.isnan(table.loc[100, "ppv"])


def test_tradeoff_agrees_with_the_groups_of_the_strategy():
    """At each pair of cut-offs the high-risk group is that of stepwise_groups, with its cancers."""
    rng = np.random.default_rng(1)
    clinical, score = rng.normal(56, 8, 200), rng.random(200)
    hcc = (rng.random(200) < 0.2).astype(int)
    table = stepwise_tradeoff(clinical, score, hcc, [45, 50, 55], [0.3, 0.7])
    for row in table.itertuples():
        groups = stepwise_groups(clinical, score, row.ct_cutoff, row.amap_cutoff, 60)
        high = (groups["final"] == "high").to_numpy()
        assert row.high == high.sum()
        assert row.missed == hcc[~high].sum()
        assert row.spared == (groups["ct_group"] == "not needed").sum()
        assert row.missed == row.missed_by_amap + row.missed_by_ct


def test_missed_only_grows_with_either_cut_off():
    """A higher cut-off spares no fewer CTs and misses no fewer cancers."""
    rng = np.random.default_rng(2)
    hcc = (rng.random(150) < 0.3).astype(int)
    cuts = ([40, 45, 50, 55, 60, 65], [0.2, 0.5, 0.8])
    table = stepwise_tradeoff(rng.normal(56, 8, 150), rng.random(150), hcc, *cuts)
    for _, line in table.groupby("ct_cutoff"):
        assert line["spared"].is_monotonic_increasing
        assert line["missed"].is_monotonic_increasing
    for _, line in table.groupby("amap_cutoff"):
        assert line["missed"].is_monotonic_increasing


def test_cohort_without_hcc_has_no_share_to_miss():
    """No HCC: the share is NaN between 0 and 1, not 0."""
    (row,) = stepwise_tradeoff(AMAP, SCORE, [0] * 6, [50], [0.5]).to_dict("records")
    assert np.isnan(row["missed_share"])
    assert (row["missed_lower"], row["missed_upper"]) == (0, 1)
    assert "n.a." in tables.tradeoff_table(pd.DataFrame([row])).iloc[0, 1]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"amap": [np.nan] * 6}, "amap"), ({"hcc": [2] * 6}, "hcc"), ({"ct": []}, "cut-offs")],
)
def test_tradeoff_refuses(change, word):
    """Missing scores, other outcomes, and no cut-off."""
    arguments = {"amap": AMAP, "score": SCORE, "hcc": HCC, "low": [50], "ct": [0.5]} | change
    with pytest.raises(DataError, match=word):
        stepwise_tradeoff(*arguments.values())


def test_reclassification_table_by_hand():
    """HCC/patients from aMAP groups to CT groups; an empty cell where nobody goes."""
    groups = stepwise_groups(np.array(AMAP), np.array(SCORE), 0.5)
    laid = tables.reclassification_table(stepwise_flows(groups, HCC))
    assert laid.loc["Low risk", "aMAP-CT not needed"] == "1/2"
    assert laid.loc["Medium risk", ["aMAP-CT low", "aMAP-CT high"]].tolist() == ["1/1", "1/1"]
    assert laid.loc["High risk", ["aMAP-CT not needed", "aMAP-CT low", "aMAP-CT high"]].tolist() == ["", "0/1", "1/1"]
