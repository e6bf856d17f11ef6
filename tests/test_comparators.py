"""Scores held against aMAP-CT: who has a score, who is compared, and what multiplicity does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.metrics import roc_auc_score

from hccbook import evaluation, scores
from hccbook.errors import DataError, ModelError
from hccbook.evaluation.comparators import CALIBRATED, HARMONISED, UNHARMONISED, score_inputs
from hccbook.features.harmonisation import ComBatHarmoniser
from hccbook.models import AmapCtModel
from hccbook.report import figures


def patients(n: int = 60, seed: int = 1) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """Two cohorts, follow-up of 1 to 60 months, and four scores of falling worth."""
    rng = np.random.default_rng(seed)
    index = pd.Index([f"P{i:03d}" for i in range(n)], name="patient")
    hcc = pd.Series((np.arange(n) % 4 == 0).astype(int), index=index)
    clinical = pd.DataFrame(
        {
            "cohort": np.where(np.arange(n) < n // 2, "training", "test"),
            "hcc": hcc,
            "months": np.round(rng.uniform(1, 60, n), 1),
        },
        index=index,
    )
    made = {
        name: pd.Series(worth * hcc + rng.standard_normal(n), index=index)
        for name, worth in (("aMAP-CT", 2.0), ("aMAP", 0.5), ("PAGE-B", 0.3), ("aMAP-2 refit", 1.0))
    }
    return clinical, made


# --- the table -----------------------------------------------------------------------------------------------------


def test_auc_is_that_of_scikit_learn():
    """Every AUC, the reference's among them, by scikit-learn on the same patients."""
    clinical, made = patients()
    table = evaluation.comparator_table(clinical, made)
    assert len(table) == 8
    for row in table.itertuples():
        own = clinical[clinical["cohort"] == row.cohort]
        assert row.auc == pytest.approx(roc_auc_score(own["hcc"], made[row.model][own.index]), rel=1e-12)
        assert (row.n, row.events, row.missing, row.unknown_outcome) == (30, int(own["hcc"].sum()), 0, 0)


def test_comparison_takes_those_who_have_both():
    """A score that ten lack, and a reference that five others lack: AUCs and test each on their own patients."""
    clinical, made = patients()
    clinical["cohort"] = "test"
    made["aMAP"] = made["aMAP"].iloc[10:]
    made["aMAP-CT"] = made["aMAP-CT"].copy()
    made["aMAP-CT"].iloc[20:25] = np.nan
    row = evaluation.comparator_table(clinical, made).set_index("model").loc["aMAP"]
    both = clinical.index[10:].difference(clinical.index[20:25], sort=False)
    test = evaluation.delong_test(clinical.loc[both, "hcc"], made["aMAP"][both], made["aMAP-CT"][both])
    assert (row["n"], row["missing"]) == (50, 10)
    assert row["auc"] == pytest.approx(roc_auc_score(clinical["hcc"].iloc[10:], made["aMAP"]))
    assert row["auc_reference"] == pytest.approx(roc_auc_score(clinical.loc[both, "hcc"], made["aMAP-CT"][both]))
    assert (row["p"], row["difference"]) == pytest.approx((test.p, test.difference))
    assert row["note"] == "compared in the 45 who have aMAP-CT too"


def test_hand_worked_row():
    """Five patients: the score ranks 5 of 6 pairs, aMAP-CT all; the difference is -1/6 and lies below."""
    index = list("abcde")
    clinical = pd.DataFrame({"cohort": "test", "hcc": [1, 1, 0, 0, 0]}, index=index)
    made = {
        "aMAP-CT": pd.Series([5.0, 4.0, 3.0, 2.0, 1.0], index=index),
        "aMAP": pd.Series([5.0, 2.5, 3.0, 2.0, 1.0], index=index),
    }
    reference, row = evaluation.comparator_table(clinical, made).to_dict("records")
    assert reference["auc"] == 1.0 and reference["direction"] == "" and np.isnan(reference["p"])
    assert row["auc"] == pytest.approx(5 / 6)
    assert (row["difference"], row["direction"]) == (pytest.approx(-1 / 6), "below")
    # Placements that differ: one of two cases by 1/3, variance (1/3)^2 / 2 / 2 = 1/36; one of three others by 1/2,
    # variance (1/2)^2 / 3 / 3 = 1/36. z = (1/6) / sqrt(2/36) = sqrt(1/2).
    assert row["z"] == pytest.approx(-np.sqrt(0.5))


def test_holm_by_hand():
    """Three p of a cohort, least first: times 3, times 2, times 1, never falling, at most 1."""
    clinical, made = patients(120, seed=5)
    table = evaluation.comparator_table(clinical, made)
    for _, own in table.groupby("cohort"):
        p = own["p"].dropna().sort_values()
        expected = np.minimum(np.maximum.accumulate(p.to_numpy() * [3, 2, 1]), 1)
        np.testing.assert_allclose(own.loc[p.index, "p_holm"], expected, rtol=1e-12)
        assert (own["tests"] == 3).all()


def test_horizon_leaves_out_whose_outcome_is_unknown():
    """Within 18 months: later HCC is none, and who left without HCC before is left out, of the reference too."""
    clinical, made = patients()
    clinical["cohort"] = "test"
    table = evaluation.comparator_table(clinical, made, horizons={"aMAP-2 refit": 18})
    judged = ~((clinical["hcc"] == 0) & (clinical["months"] < 18))
    within = ((clinical["hcc"] == 1) & (clinical["months"] <= 18))[judged].astype(int)
    for model in ("aMAP-2 refit", "aMAP-CT"):
        row = table[(table["model"] == model) & (table["horizon"] == 18)].iloc[0]
        assert row["auc"] == pytest.approx(roc_auc_score(within, made[model][judged]))
        assert (row["n"], row["events"]) == (judged.sum(), within.sum())
        assert row["unknown_outcome"] == (~judged).sum() > 0
    assert table["model"].tolist() == ["aMAP-CT", "aMAP-CT", "aMAP", "PAGE-B", "aMAP-2 refit"]
    assert table.loc[table["model"] == "aMAP", "horizon"].isna().all()


def test_outcome_within_by_hand():
    """HCC at 18 counts, later does not; without HCC, seen to 18 is 0, before is unknown."""
    hcc, months = pd.Series([1, 1, 0, 0, 1]), pd.Series([18.0, 18.1, 18.0, 17.9, 2.0])
    found = evaluation.outcome_within(hcc, months, 18)
    np.testing.assert_array_equal(found, [1, 0, 0, np.nan, 1])
    with pytest.raises(DataError, match="must be above 0 months"):
        evaluation.outcome_within(hcc, months, 0)
    with pytest.raises(DataError, match="months: must be finite"):
        evaluation.outcome_within(hcc, months.where(months < 18), 18)


def test_what_cannot_be_had_is_noted():
    """A cohort without HCC, with one, and a score that nobody has: NaN and a reason, and no test counted."""
    clinical, made = patients()
    clinical["cohort"] = np.repeat(["none", "one", "rest"], 20)
    clinical.loc[clinical["cohort"] == "none", "hcc"] = 0
    clinical.loc[clinical["cohort"] == "one", "hcc"] = [1] + 19 * [0]
    made["LSM-HCC"] = pd.Series(dtype=float)
    table = evaluation.comparator_table(clinical, made).set_index(["cohort", "model"])
    assert table.loc[("none", "aMAP"), "note"] == "no patient with HCC; no test: 0 patients with and 20 without HCC"
    note = table.loc[("one", "aMAP"), "note"]
    assert note.startswith("no interval: one patient with HCC") and "no test: 1 patients with and 19" in note
    row = table.loc[("rest", "LSM-HCC")]
    assert (row["n"], row["missing"]) == (0, 20) and row["note"].startswith("no patients")
    assert table["tests"].groupby("cohort").first().to_dict() == {"none": 0, "one": 0, "rest": 3}
    assert table.loc["none", "p_holm"].isna().all()


def test_score_that_ranks_the_wrong_way_is_said_to():
    """AUC below one half is no error, and the note says what it means."""
    clinical, made = patients()
    made["LSM-HCC"] = -made["aMAP-CT"]
    table = evaluation.comparator_table(clinical, made).set_index("model")
    assert (table.loc["LSM-HCC", "note"] == "ranks patients the wrong way round").all()
    assert (table.loc["LSM-HCC", "direction"] == "below").all()
    # Equal scores: no difference, p 1.
    made["LSM-HCC"] = 2 * made["aMAP-CT"] + 1
    same = evaluation.comparator_table(clinical, made).set_index("model").loc["LSM-HCC"]
    assert (same["direction"] == "equal").all() and (same["p"] == 1).all()


def test_order_and_shuffled_scores_do_not_matter():
    """Scores are matched by patient, not by place."""
    clinical, made = patients()
    shuffled = {name: values.sample(frac=1, random_state=2) for name, values in made.items()}
    pd.testing.assert_frame_equal(
        evaluation.comparator_table(clinical, made), evaluation.comparator_table(clinical, shuffled)
    )


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        (lambda c, s: (c, s | {"aMAP-2": s["aMAP"]}), {}, ModelError, "must say that the score is refitted"),
        (lambda c, s: (c.drop(columns="cohort"), s), {}, DataError, "must have a column 'cohort'"),
        (lambda c, s: (c, {"aMAP": s["aMAP"]}), {}, DataError, "scores: must have 'aMAP-CT'"),
        (lambda c, s: (c, s), {"horizons": {"PAGE": 18}}, DataError, "scores: must have 'PAGE'"),
        (lambda c, s: (pd.concat([c, c.iloc[:1]]), s), {}, DataError, "must have each patient once"),
        (lambda c, s: (c, s | {"aMAP": pd.concat([s["aMAP"]] * 2)}), {}, DataError, "score aMAP: must have each"),
        (lambda c, s: (c, s | {"aMAP": s["aMAP"].to_numpy()}), {}, DataError, "must be a Series by patient"),
        (lambda c, s: (c, s | {"aMAP": s["aMAP"] / 0}), {}, DataError, "must be finite or missing"),
    ],
)
def test_what_the_table_refuses(change, settings, error, message):
    """A refit under a published name, lost columns, repeated patients."""
    with pytest.raises(error, match=message):
        evaluation.comparator_table(*change(*patients()), **settings)


# --- published scores -------------------------------------------------------------------------------------------------


def clinical_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [55.0, 62.0, 35.0],
            "sex": ["male", "female", "male"],
            "bilirubin": [20.0, 10.0, 17.0],
            "albumin": [34.0, 41.0, 36.0],
            "platelets": [90.0, 210.0, 150.0],
            "etiology": ["HBV", "HCV", ""],
            "hcv_svr": [np.nan, 1.0, np.nan],
            "stiffness_kpa": [13.0, 9.0, np.nan],
            "hbv_dna_iu_ml": [1e6, np.nan, 0.0],
        },
        index=pd.Index(["P0001", "P0002", "P0003"], name="patient"),
    )


def test_published_scores_by_hand():
    """Points added up on paper, missing where an input is, with the reason.

    P0001: PAGE-B 6 + 6 + 9; mPAGE-B 7 + 2 + 5 + 2; CU-HCC 3 + 20 + 1.5 + 4 + 15; LSM-HCC 10 + 1 + 5 + 14; THRI 50 +
    97 + 80 + 70. P0002: PAGE-B 8; mPAGE-B 9 + 2; THRI, for a cured hepatitis C, 100. P0003: PAGE-B 2 + 6 + 6.
    """
    found, missing = evaluation.published_comparators(clinical_table())
    assert found.loc["P0001"].to_dict() == {"PAGE-B": 21, "mPAGE-B": 16, "CU-HCC": 43.5, "LSM-HCC": 30, "THRI": 297}
    assert found.loc["P0002", ["PAGE-B", "mPAGE-B", "THRI"]].tolist() == [8, 11, 100]
    assert found.loc["P0003", "PAGE-B"] == 14
    assert found.isna().sum().to_dict() == {"PAGE-B": 0, "mPAGE-B": 0, "CU-HCC": 1, "LSM-HCC": 2, "THRI": 1}
    assert missing.to_dict("records") == [
        {"model": "CU-HCC", "reason": "no hbv_dna_copies_ml", "patients": 1},
        {"model": "LSM-HCC", "reason": "no hbv_dna_iu_ml", "patients": 1},
        {"model": "LSM-HCC", "reason": "no stiffness_kpa", "patients": 1},
        {"model": "THRI", "reason": "no etiology", "patients": 1},
    ]


def test_score_inputs():
    """Copies from IU by the factor of the scores, given copies kept; sex, cirrhosis and a cured hepatitis C."""
    inputs = score_inputs(clinical_table())
    assert inputs.loc["P0001", "hbv_dna_copies_ml"] == pytest.approx(1e6 * scores.COPIES_PER_IU)
    assert inputs["male"].tolist() == [1, 0, 1] and (inputs["cirrhosis"] == 1).all()
    assert inputs.loc["P0002", "etiology"] == "HCV after SVR"
    given = score_inputs(clinical_table().assign(hbv_dna_copies_ml=[5.0, 7.0, 9.0], cirrhosis=[0.0, 1.0, np.nan]))
    assert given["hbv_dna_copies_ml"].tolist() == [5, 7, 9]
    np.testing.assert_array_equal(given["cirrhosis"], [0, 1, np.nan])


def test_scores_whose_columns_are_absent_are_missing_for_everybody():
    """Without HBV DNA and stiffness, CU-HCC and LSM-HCC are NaN for all, not an error."""
    table = clinical_table()[["age", "sex", "albumin", "bilirubin", "platelets", "etiology"]]
    found, missing = evaluation.published_comparators(table)
    assert found[["CU-HCC", "LSM-HCC"]].isna().all(axis=None)
    assert dict(zip(missing["model"], missing["patients"], strict=True))["LSM-HCC"] == 3


# --- harmonised features ---------------------------------------------------------------------------------------------


def centres(n: int = 48) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training patients of three centres and a test cohort of a fourth; liver and spleen each carry some risk."""
    rng = np.random.default_rng(7)
    index = pd.Index([f"P{i:04d}" for i in range(n)], name="patient")
    hcc = (np.arange(n) % 3 == 0).astype(int)
    centre = np.where(np.arange(n) < 2 * n // 3, np.array(list("ABC"))[np.arange(n) // 2 % 3], "D")
    names = [f"venous.{organ}.f{j}" for organ in ("liver", "spleen") for j in range(10)]
    shift = dict(zip("ABCD", rng.normal(0, 2, (4, 20)), strict=True))
    values = np.stack([shift[name] for name in centre]) + rng.standard_normal((n, 20)) + 0.3 * hcc[:, None]
    features = pd.DataFrame(values, index=index, columns=names)
    features.insert(0, "amap", 58 + 6 * rng.standard_normal(n))
    clinical = pd.DataFrame(
        {
            "centre": centre,
            "cohort": np.where(centre == "D", "test", "training"),
            "role": np.where(centre == "D", "test", "development"),
            "hcc": hcc,
        },
        index=index,
    )
    return clinical, features


def test_harmonised_auc():
    """Each variant's AUC is that of its model by scikit-learn; an unseen centre is left, or learnt and said to be."""
    clinical, features = centres()
    table, variants = evaluation.harmonised_auc(clinical, features)
    assert table["variant"].drop_duplicates().tolist() == [UNHARMONISED, HARMONISED, CALIBRATED]
    learn = clinical["role"] == "development"
    plain = AmapCtModel().fit(features[learn], clinical.loc[learn, "hcc"])
    row = table.set_index(["variant", "cohort"]).loc[(UNHARMONISED, "test")]
    risk = plain.decision_function(features[~learn])
    assert row["auc"] == pytest.approx(roc_auc_score(clinical.loc[~learn, "hcc"], risk), rel=1e-12)
    assert np.isnan(row["difference"]) and row["note"] == "" and (row["centres"], row["unseen_centres"]) == (1, 1)
    combat = ComBatHarmoniser(covariates=("amap",), keep=("amap",))
    clean = combat.fit(features.join(clinical["centre"])[learn]).transform(features.join(clinical["centre"]))
    row = table.set_index(["variant", "cohort"]).loc[(HARMONISED, "training")]
    fitted = AmapCtModel().fit(clean[learn], clinical.loc[learn, "hcc"])
    risk = fitted.decision_function(clean[learn])
    assert row["auc"] == pytest.approx(roc_auc_score(clinical.loc[learn, "hcc"], risk), rel=1e-12)
    notes = table.set_index(["variant", "cohort"])["note"]
    assert notes[(HARMONISED, "test")].startswith("1 of 1 centres unseen, left as they are")
    assert notes[(CALIBRATED, "test")].startswith("transductive")
    images = features.columns.drop("amap")
    pd.testing.assert_frame_equal(variants[HARMONISED].loc[~learn, images], features.loc[~learn, images])
    assert not np.allclose(variants[CALIBRATED].loc[~learn, images], features.loc[~learn, images])
    again, _ = evaluation.harmonised_auc(clinical, features, plain)
    pd.testing.assert_frame_equal(again, table)


def test_harmonising_looks_at_no_test_patient_and_no_outcome():
    """Poison: test features and outcomes do not change training patients, and no outcome changes ComBat."""
    clinical, features = centres()
    test = (clinical["role"] == "test").to_numpy()
    _, plain = evaluation.harmonised_auc(clinical, features)
    poisoned = features.copy()
    poisoned.loc[test] *= 100
    other = clinical.assign(hcc=np.where(test, 1 - clinical["hcc"], clinical["hcc"]))
    _, changed = evaluation.harmonised_auc(other, poisoned)
    for variant in (HARMONISED, CALIBRATED):
        pd.testing.assert_frame_equal(changed[variant][~test], plain[variant][~test])
    rotated = clinical.assign(hcc=np.roll(clinical["hcc"], 1))
    _, turned = evaluation.harmonised_auc(rotated, features)
    for variant in (HARMONISED, CALIBRATED):
        pd.testing.assert_frame_equal(turned[variant], plain[variant])


def test_long_notes_leave_the_panel_its_width():
    """Rows without an interval, whose notes are longer than the panel is wide, are drawn without a complaint."""
    note = "transductive: the new centre's features were used together; no interval: one patient with HCC"
    rows = [(variant, "test", 0.5, np.nan, np.nan, note) for variant in ("not harmonised", "ComBat")]
    figure, axes = figures.panels(1, 1, height_in=3.2)
    figures.plot_harmonised_auc(
        axes[0, 0], pd.DataFrame(rows, columns=["variant", "cohort", "auc", "lower", "upper", "note"])
    )
    figure.canvas.draw()
    assert axes[0, 0].get_position().width > 0.15
    assert sum("\n" in text.get_text() for text in axes[0, 0].texts) == 2
    plt.close(figure)


def test_harmonised_auc_refuses_and_is_drawn():
    """Patients that differ, a column that is absent, nobody to learn from; and the figure names every row."""
    clinical, features = centres()
    with pytest.raises(DataError, match="must have the clinical table's patients"):
        evaluation.harmonised_auc(clinical, features.iloc[::-1])
    with pytest.raises(DataError, match="must have a column 'centre'"):
        evaluation.harmonised_auc(clinical.drop(columns="centre"), features)
    with pytest.raises(DataError, match="role: must have patients of 'development'"):
        evaluation.harmonised_auc(clinical.assign(role="test"), features)
    table, _ = evaluation.harmonised_auc(clinical, features)
    figure, axes = figures.panels(1, 1)
    ax = figures.plot_harmonised_auc(axes[0, 0], table)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[0] == "Training cohort: not harmonised" and len(labels) == 6
    plt.close(figure)
