"""Synthetic repeated measurements: the enrolment values, the planted slopes, and nothing without an effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import norm, rankdata

from hccbook import phantom
from hccbook.errors import DataError
from hccbook.phantom import LongitudinalSettings, simulate_hbv_dna, simulate_visits
from hccbook.pipeline import files, items
from hccbook.run import RunPaths
from hccbook.scores import amap
from hccbook.settings import CohortSettings, Profile

SEED = 20240718
SIZES = CohortSettings(
    amap_ct_training=400,
    amap_ct_training_hcc=150,
    amap_ct_validation=4,
    amap_ct_validation_hcc=2,
    amap_ct_test=4,
    amap_ct_test_hcc=2,
)
NONE = LongitudinalSettings(effect="none")


@pytest.fixture(scope="module")
def clinical() -> pd.DataFrame:
    table = phantom.simulate_clinical("amap_ct", SIZES)
    table["amap"] = amap(table["age"], table["sex"] == "male", table["bilirubin"], table["albumin"], table["platelets"])
    return table


@pytest.fixture(scope="module")
def visits(clinical) -> pd.DataFrame:
    return simulate_visits(clinical, "amap_ct", SEED)


def test_enrolment_visit_has_the_enrolment_values(clinical, visits):
    """Everybody has a visit at month 0, with aMAP and AFP of the clinical table to the last bit."""
    enrolment = visits[visits["months"] == 0].set_index("patient")
    assert enrolment.index.tolist() == clinical.index.tolist()
    pd.testing.assert_series_equal(enrolment["amap"], clinical["amap"], check_names=False)
    pd.testing.assert_series_equal(enrolment["afp"], clinical["afp"], check_names=False)


def test_schedule(clinical, visits):
    """From 24 months before to 12 after, by time, near the half years, never after follow-up; some are missed."""
    assert visits["months"].between(-24, 12).all()
    assert visits.groupby("patient")["months"].apply(lambda months: months.is_monotonic_increasing).all()
    # Jitter is cut at 2.5 months, and the table has one decimal.
    away = np.abs(visits["months"] - 6 * np.round(visits["months"] / 6))
    assert away.max() <= 2.55
    assert (visits["months"] <= visits["patient"].map(clinical["months"]) + 0.051).all()
    before = (visits["months"] < 0).sum() / (4 * len(clinical))
    assert before == pytest.approx(0.85, abs=0.03)
    all_kept = simulate_visits(clinical, "amap_ct", SEED, LongitudinalSettings(missed_share=0.0))
    assert (all_kept["months"] < 0).sum() == 4 * len(clinical)


def test_existing_patients_do_not_change(clinical):
    """The streams are new: patients are drawn as before, whether or not visits were, and stay untouched."""
    again = phantom.simulate_clinical("amap_ct", SIZES)
    before = clinical.copy(deep=True)
    simulate_visits(clinical, "amap_ct", SEED)
    simulate_hbv_dna(clinical, "amap_ct", SEED)
    pd.testing.assert_frame_equal(clinical, before)
    pd.testing.assert_frame_equal(phantom.simulate_clinical("amap_ct", SIZES), again)


def test_each_patient_follows_from_their_own_number(clinical, visits):
    """A patient alone, or in another order, has the same visits; another seed or paper gives others."""
    chosen = clinical.iloc[[17, 3, 99]]
    found = simulate_visits(chosen, "amap_ct", SEED)
    for key, own in found.groupby("patient"):
        expected = visits[visits["patient"] == key]
        pd.testing.assert_frame_equal(own.reset_index(drop=True), expected.reset_index(drop=True))
    for other in (simulate_visits(chosen, "amap_ct", SEED + 1), simulate_visits(chosen, "alarm", SEED)):
        assert not other["amap"].isin(found.loc[found["months"] != 0, "amap"]).all()


def steeper(visits: pd.DataFrame, clinical: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """How much steeper a year aMAP and log10 AFP run in HCC, up to enrolment, and its standard error."""
    found = {}
    for key, own in visits[visits["months"] <= 0].groupby("patient"):
        if len(own) >= 3:
            years = own["months"] / 12
            found[key] = (np.polyfit(years, own["amap"], 1)[0], np.polyfit(years, np.log10(own["afp"]), 1)[0])
    by_outcome = pd.DataFrame(found, index=["amap", "afp"]).T.join(clinical["hcc"]).groupby("hcc")
    mean, error = by_outcome.mean(), by_outcome.sem()
    return mean.loc[1] - mean.loc[0], np.sqrt((error**2).sum())


def test_planted_slopes_are_found(clinical):
    """With the effect, slopes differ by what was planted, within three standard errors and more than three from 0."""
    settings = LongitudinalSettings(amap_slope=2.0, afp_slope=0.2)
    difference, error = steeper(simulate_visits(clinical, "amap_ct", SEED, settings), clinical)
    for marker, planted in (("amap", 2.0), ("afp", 0.2)):
        assert abs(difference[marker] - planted) < 3 * error[marker] < planted


def test_without_effect_the_outcome_changes_nothing(clinical):
    """Poison: with effect 'none' every patient may have another outcome, and not one value differs."""
    plain = simulate_visits(clinical, "amap_ct", SEED, NONE)
    flipped = simulate_visits(clinical.assign(hcc=1 - clinical["hcc"]), "amap_ct", SEED, NONE)
    pd.testing.assert_frame_equal(plain, flipped)
    difference, error = steeper(plain, clinical)
    assert (difference.abs() < 3 * error).all()


@pytest.mark.parametrize("effect", ["planted", "none"])
def test_visits_carry_what_the_run_planted(effect, clinical, tmp_path):
    """The effect comes from the truth that the run's cohort wrote: in a null run another outcome changes nothing."""
    run = RunPaths(tmp_path)
    known = {"amap_ct": phantom.truth("amap_ct", CohortSettings(effect=effect))}
    files.save_json(known, run.stage("cohort") / "truth.json")
    settings = LongitudinalSettings(effect=items.planted_effect(run, "amap_ct"), cfdna_shift=3.0)
    own = simulate_visits(clinical, "amap_ct", SEED, settings)
    flipped = simulate_visits(clinical.assign(hcc=1 - clinical["hcc"]), "amap_ct", SEED, settings)
    assert own.equals(flipped) == (effect == "none")


def test_without_a_truth_nothing_is_planted(tmp_path):
    """A user's own patients, or another paper's: no truth, so that no visit is given a risk."""
    run = RunPaths(tmp_path)
    files.save_json({}, run.stage("cohort") / "truth.json")
    assert items.planted_effect(run, "amap_ct") == "none"


def test_profile_sets_the_strengths():
    """A section of the profile reaches the chapter's parameters; what cannot be is refused, the effect itself too."""
    profile = Profile(amap_ct_supplement={"cfdna_shift": 0.5, "cfdna_horizon_months": 12})
    given = profile.parameters("amap_ct_supplement")
    assert (given["cfdna_shift"], given["cfdna_horizon_months"], given["missed_share"]) == (0.5, 12, 0.15)
    for wrong in ({"missed_share": 1.2}, {"cfdna_shift": -1}, {"effect": "planted"}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Profile(amap_ct_supplement=wrong)


def test_effect_of_size_zero_is_none(clinical):
    """Planted strengths of 0 give the same values as no effect at all."""
    zero = LongitudinalSettings(amap_slope=0.0, afp_slope=0.0, cfdna_shift=0.0)
    pd.testing.assert_frame_equal(
        simulate_visits(clinical, "amap_ct", SEED, zero), simulate_visits(clinical, "amap_ct", SEED, NONE)
    )


def test_patients_without_hcc_are_the_same_with_and_without_effect(clinical, visits):
    """The effect touches those who develop HCC alone."""
    plain = simulate_visits(clinical, "amap_ct", SEED, NONE)
    healthy = clinical.index[clinical["hcc"] == 0]
    pd.testing.assert_frame_equal(
        visits[visits["patient"].isin(healthy)].reset_index(drop=True),
        plain[plain["patient"].isin(healthy)].reset_index(drop=True),
    )


def test_other_visits_vary_as_much_as_enrolment(clinical):
    """Noise is part of the enrolment value, not added to it: two years earlier aMAP's spread is about the same.

    At month -24 the variance is that at enrolment plus that of the slope over two years, (2 x 0.9)^2 = 3.2, plus or
    minus what enrolment's own spread differs from the printed one by.
    """
    table = simulate_visits(clinical, "amap_ct", SEED, LongitudinalSettings(effect="none", missed_share=0.0))
    others = table[table["patient"].isin(clinical.index[clinical["hcc"] == 0])]
    first = others[~others.duplicated("patient")]["amap"]
    enrolment = others[others["months"] == 0]["amap"]
    assert first.var() == pytest.approx(enrolment.var() + 1.8**2, rel=0.15)


def test_cell_free_dna(clinical, visits):
    """At enrolment alone, in four of five; shifted in HCC within 18 months, with the AUC that its shift gives."""
    assert visits.loc[visits["months"] != 0, "cfdna"].isna().all()
    dna = visits[visits["months"] == 0].set_index("patient")["cfdna"].dropna()
    assert len(dna) / len(clinical) == pytest.approx(0.8, abs=0.06)
    soon = ((clinical["hcc"] == 1) & (clinical["months"] <= 18)).loc[dna.index]
    m, n = int(soon.sum()), int((~soon).sum())
    auc = (rankdata(dna)[soon.to_numpy()].sum() - m * (m + 1) / 2) / (m * n)
    assert abs(auc - norm.cdf(1.8 / np.sqrt(2))) < 3 * 0.5 / np.sqrt(m)
    late = dna[((clinical["hcc"] == 1) & (clinical["months"] > 18)).loc[dna.index]]
    assert abs(late.mean()) < 3 / np.sqrt(len(late))


def test_missing_afp_stays_missing(clinical):
    """Without AFP at enrolment there is none at any visit, and aMAP is as it was."""
    one = clinical.iloc[:1]
    found = simulate_visits(one.assign(afp=np.nan), "amap_ct", SEED)
    assert found["afp"].isna().all()
    pd.testing.assert_series_equal(found["amap"], simulate_visits(one, "amap_ct", SEED)["amap"])


def test_hbv_dna(clinical):
    """Only in hepatitis B, undetectable in four of five, never below what an assay finds; the outcome is no matter."""
    found = simulate_hbv_dna(clinical, "amap_ct", SEED)
    hbv = clinical["etiology"] == "HBV"
    assert found[~hbv].isna().all() and found[hbv].notna().all()
    assert (found[hbv] == 0).mean() == pytest.approx(0.8, abs=0.07)
    assert found[found > 0].min() >= 10
    pd.testing.assert_series_equal(found, simulate_hbv_dna(clinical.assign(hcc=1 - clinical["hcc"]), "amap_ct", SEED))


def test_what_it_refuses(clinical):
    """Patients who are not synthetic, columns that are absent, papers that are not known."""
    with pytest.raises(DataError, match="must be keyed P0001"):
        simulate_visits(clinical.iloc[:2].rename(index={"P0001": "Smith"}), "amap_ct", SEED)
    with pytest.raises(DataError, match="P0001 twice"):
        simulate_visits(clinical.iloc[[0, 0]], "amap_ct", SEED)
    with pytest.raises(DataError, match="must have a column 'amap'"):
        simulate_visits(clinical.drop(columns="amap"), "amap_ct", SEED)
    with pytest.raises(DataError, match="paper: must be one of"):
        simulate_visits(clinical, "other", SEED)
    with pytest.raises(DataError, match="must have a column 'etiology'"):
        simulate_hbv_dna(clinical.drop(columns="etiology"), "amap_ct", SEED)
    assert simulate_visits(clinical.iloc[:0], "amap_ct", SEED).empty


def test_deaths_come_at_the_rate_of_the_albi_grade():
    """3,000 a grade, followed for a year: 1.0, 3.4 and 20 % a year within four standard deviations, HCC never after."""
    names = pd.Index([f"P{number:04d}" for number in range(1, 9001)])
    values = {"bilirubin": [10.0, 20.0, 60.0], "albumin": [45.0, 35.0, 22.0]}  # ALBI -3.2, -2.1, -0.7
    table = pd.DataFrame({name: np.repeat(of, 3000) for name, of in values.items()}, index=names)
    table = table.assign(months=12.0, hcc=np.tile([0, 1], 4500))
    found = phantom.simulate_deaths(table, "amap_ct", SEED)
    for grade, rate in enumerate((0.010, 0.034, 0.20)):
        share = 1 - np.exp(-rate)
        deaths = found["died"].iloc[3000 * grade : 3000 * (grade + 1)].sum()
        assert abs(deaths - 3000 * share) < 4 * np.sqrt(3000 * share * (1 - share))
    assert not (found["died"] & found["hcc"]).any()
    assert (found["months"] <= 12).all() and (found["months"] > 0).all()
    lived, columns = found["died"] == 0, ["months", "hcc"]
    assert (found.loc[lived, columns] == table.loc[lived, columns]).all(axis=None)
    alone = phantom.simulate_deaths(table.iloc[[4]], "amap_ct", SEED)
    pd.testing.assert_frame_equal(alone, found.iloc[[4]])
