"""AUC, calibration and net benefit at a horizon, with censoring."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from sklearn.metrics import roc_auc_score

from hccbook.errors import DataError
from hccbook.evaluation import (
    net_benefit,
    survival_calibration_groups,
    survival_decision_curves,
    time_dependent_auc_table,
)
from hccbook.evaluation.time_dependent import _censoring_weights, survival_net_benefit, time_dependent_auc

# HCC at 1 and 3; follow-up ended at 2, 4 and 5.
MONTHS, HCC, SCORE = [1.0, 2, 3, 4, 5], [1, 0, 1, 0, 0], [5.0, 1, 2, 3, 4]

# Numbers at risk at each event up to t = 1 in the data of the PyPI package dcurves 1.1.7 (df_surv, 750 patients), of
# all patients and of the 144 whose cancerpredmarker is 0.25 or more: all that the two Kaplan-Meier estimates need.
AT_RISK_ALL = [
    750, 748, 745, 742, 739, 736, 735, 723, 719, 712, 709, 706, 699, 694, 693, 686, 685, 681, 678, 677, 676, 672, 671,
    670, 666, 665, 658, 657, 640, 627, 624, 621, 609, 594, 592, 582, 576, 562, 538, 536, 534, 533, 531, 507, 497, 480,
    478, 471, 455, 439, 432, 430, 404, 397, 395, 388, 387, 386, 381, 369, 361, 351, 331, 326, 318, 316, 298, 278, 274,
    257, 250, 249, 243, 238, 237,
]  # fmt: skip
AT_RISK_POSITIVE = [
    144, 143, 141, 140, 137, 136, 135, 134, 132, 129, 127, 125, 124, 123, 122, 121, 120, 119, 117, 114, 113, 110, 109,
    106, 105, 97, 90, 86, 85, 84, 83, 79, 78, 77, 74, 72, 70, 68, 67, 64, 63, 62, 61, 59, 58, 55, 54, 52, 45, 40, 38,
    37,
]  # fmt: skip


def _follow_up(at_risk: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Patients whose events, at 0.001, 0.002, ..., meet these numbers at risk; the last ones are followed to 2."""
    months, event = [], []
    for place, (now, then) in enumerate(zip(at_risk, [*at_risk[1:], 0], strict=True), start=1):
        months.append(0.001 * place)
        event.append(1)
        for _ in range(now - 1 - then if then else 0):
            months.append(0.001 * place + 0.0005)
            event.append(0)
    left = at_risk[0] - len(months)
    return np.r_[months, np.full(left, 2.0)], np.r_[event, np.zeros(left, dtype=int)]


def _brute_force(months, event, score, horizon) -> float:
    """Weighted share of concordant pairs by two loops; the censoring curve by a third."""
    months, event, score = (np.asarray(values, dtype=float) for values in (months, event, score))

    def followed(before: float, *, including: bool) -> float:
        chance = 1.0
        for at in sorted(set(months[event == 0])):
            if at < before or (including and at == before):
                at_risk = ((months > at) | ((months == at) & (event == 0))).sum()
                chance *= 1 - ((months == at) & (event == 0)).sum() / at_risk
        return chance

    top = bottom = 0.0
    for i in range(len(months)):
        if not (event[i] == 1 and months[i] <= horizon):
            continue
        for j in range(len(months)):
            if months[j] > horizon:
                weight = 1 / followed(months[i], including=False) / followed(horizon, including=True)
                bottom += weight
                top += weight * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    return top / bottom if bottom else np.nan


def test_auc_by_hand():
    """At 3.5: cases weigh 1 and 4/3; the first outranks both controls, the second none: 2 / (2 x 7/3) = 3/7."""
    found = time_dependent_auc(MONTHS, HCC, SCORE, 3.5, replicates=0)
    assert found.auc == pytest.approx(3 / 7)
    assert (found.cases, found.controls, found.unknown) == (2, 2, 1)
    (weights,) = _censoring_weights(np.array(MONTHS), np.array(HCC), 3.5)
    np.testing.assert_allclose(weights, [1, 0, 4 / 3, 4 / 3, 4 / 3])


@given(st.data())
def test_auc_agrees_with_two_loops(data):
    """Whatever the ties in time and score, the AUC is that of the double loop."""
    n = data.draw(st.integers(4, 14))
    months = data.draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    event = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    score = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    horizon = data.draw(st.sampled_from([2, 3.5, 5]))
    found = time_dependent_auc(months, event, score, horizon, replicates=0)
    np.testing.assert_allclose(found.auc, _brute_force(months, event, score, horizon), atol=1e-12)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 1)), min_size=1, max_size=20), st.integers(1, 7))
def test_weights_stand_for_everybody(patients, horizon):
    """The weights of the known sum to the number of patients, as long as somebody is followed beyond the horizon."""
    months, event = (np.array(values) for values in zip(*patients, strict=True))
    if (months > horizon).any():
        assert _censoring_weights(months, event, horizon).sum() == pytest.approx(months.size)


def test_without_censoring_it_is_the_binary_auc():
    """With everybody followed beyond the horizon or to HCC, it is scikit-learn's AUC of HCC by then."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=200)
    months = rng.exponential(40 * np.exp(-score))
    event = np.ones(200, dtype=int)
    for horizon in (5.0, 12.0, 40.0):
        found = time_dependent_auc(months, event, score, horizon, replicates=0)
        assert found.auc == pytest.approx(roc_auc_score(months <= horizon, score))


def test_censoring_by_risk_group_time_is_corrected():
    """With follow-up that ends at random, the weighted AUC stays near the AUC without censoring."""
    rng = np.random.default_rng(3)
    n = 6000
    score = rng.normal(size=n)
    hcc_at = rng.exponential(60 * np.exp(-score))
    ends = rng.uniform(0, 60, n)
    months, event = np.minimum(hcc_at, ends), (hcc_at <= ends).astype(int)
    truth = roc_auc_score(hcc_at <= 36, score)
    assert time_dependent_auc(months, event, score, 36, replicates=0).auc == pytest.approx(truth, abs=0.015)


def test_interval_is_a_bootstrap_and_repeatable():
    """The same seed gives the same limits, around the AUC; another seed others."""
    rng = np.random.default_rng(5)
    score = rng.normal(size=120)
    hcc_at, ends = rng.exponential(50 * np.exp(-score)), rng.uniform(10, 60, 120)
    given_ = (np.minimum(hcc_at, ends), (hcc_at <= ends).astype(int), score, 24.0)
    first, again, other = (time_dependent_auc(*given_, replicates=300, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.lower < first.auc < first.upper
    assert (other.lower, other.upper) != (first.lower, first.upper)


@pytest.mark.parametrize(("horizon", "note"), [(0.5, "no HCC by 0.5 months"), (5.0, "nobody followed beyond 5 months")])
def test_no_pair_has_a_note(horizon, note):
    """Without a case or a control the AUC is NaN and the note says which."""
    found = time_dependent_auc(MONTHS, HCC, SCORE, horizon)
    assert np.isnan(found.auc)
    assert found.note == note


def test_one_case_has_no_interval():
    """A single patient with HCC by the horizon gives an AUC but no interval."""
    found = time_dependent_auc(MONTHS, HCC, SCORE, 1.5, replicates=50)
    assert found.auc == pytest.approx(1.0)
    assert np.isnan(found.lower)
    assert "one patient with HCC by then" in found.note


def test_table_stands_beside_the_binary_auc():
    """Each cohort, score and horizon has a row; the binary AUC is scikit-learn's, the same at every horizon."""
    rng = np.random.default_rng(2)
    n = 60
    scores = pd.DataFrame({"amap_ct": rng.normal(size=n), "amap": rng.normal(size=n)})
    months, hcc = pd.Series(rng.uniform(5, 60, n)), pd.Series(rng.permutation(np.repeat([0, 1], [40, 20])))
    cohort = pd.Series(np.repeat(["training", "test"], 30))
    table = time_dependent_auc_table(months, hcc, scores, cohort, replicates=20)
    assert table.groupby(["cohort", "model"]).size().tolist() == [3] * 4
    own = table[(table["cohort"] == "test") & (table["model"] == "amap")]
    assert own["binary_auc"].tolist() == pytest.approx([roc_auc_score(hcc[30:], scores["amap"][30:])] * 3)
    alone = time_dependent_auc(months[30:], hcc[30:], scores["amap"][30:], 36, replicates=20)
    assert own["auc"].iloc[2] == alone.auc


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"months": [1, 2, np.nan, 4, 5]}, "months"),
        ({"horizon": 0}, "horizon"),
        ({"score": [1, 2, 3, np.nan, 4]}, "score"),
        ({"replicates": 1}, "replicates"),
    ],
)
def test_refusals(change, word):
    """Missing follow-up or score, no horizon, and one replicate are refused."""
    arguments = {"months": MONTHS, "event": HCC, "score": SCORE, "horizon": 3.0} | change
    with pytest.raises(DataError, match=word):
        time_dependent_auc(**arguments)


# --- net benefit ------------------------------------------------------------------------------------------------------


def test_treat_all_as_dcurves_prints():
    """Treat all at t = 1, threshold .25: -0.13695058."""
    months, event = _follow_up(AT_RISK_ALL)
    assert months.size == 750
    assert survival_net_benefit(months, event, np.ones(750), [0.25], 1.0) == pytest.approx([-0.13695058], abs=5e-9)


def test_model_as_dcurves_prints():
    """cancerpredmarker at t = 1, threshold .25: 0.05695371."""
    months, event = _follow_up(AT_RISK_POSITIVE)
    rest = np.full(606, 3.0)
    p = np.r_[np.full(144, 0.3), np.full(606, 0.1)]
    found = survival_net_benefit(np.r_[months, rest], np.r_[event, np.zeros(606, dtype=int)], p, [0.25], 1.0)
    assert found == pytest.approx([0.05695371], abs=5e-9)


def test_net_benefit_without_censoring_is_the_binary_one():
    """Where everybody is followed beyond the horizon or to HCC, both formulas agree at every threshold."""
    rng = np.random.default_rng(6)
    p = rng.uniform(0, 0.9, 150)
    hcc_at = np.where(rng.random(150) < p, rng.uniform(1, 36, 150), 50.0)
    event, thresholds = (hcc_at < 50).astype(int), np.linspace(0, 0.8, 17)
    found = survival_net_benefit(hcc_at, event, p, thresholds, 36)
    np.testing.assert_allclose(found, net_benefit(event, p, thresholds), atol=1e-12)


def test_nobody_positive_is_treating_none():
    """Above every prediction the net benefit is 0."""
    assert survival_net_benefit(MONTHS, HCC, [0.1] * 5, [0.2, 0.5], 3) == pytest.approx([0, 0])


def test_decision_curves_of_a_cohort_without_hcc():
    """A cohort without HCC has a curve: treating all costs pt / (1 - pt)."""
    table = survival_decision_curves([5.0, 6, 7], [0, 0, 0], pd.DataFrame({"m": [0.1, 0.2, 0.3]}), "test", [0.2], 4)
    everybody = table[table["model"] == "treat all"]["net_benefit"]
    assert everybody.tolist() == pytest.approx([-0.25])
    assert set(table["model"]) == {"m", "treat all", "treat none"}


# --- calibration ------------------------------------------------------------------------------------------------------


def test_calibration_groups_agree_with_lifelines():
    """Incidence in each group of equal size is 1 - Kaplan-Meier of its patients alone."""
    rng = np.random.default_rng(7)
    p = rng.permutation(np.linspace(0.01, 0.6, 80))
    hcc_at, ends = rng.exponential(36 / -np.log(1 - p)), rng.uniform(5, 80, 80)
    months, event = np.minimum(hcc_at, ends), (hcc_at <= ends).astype(int)
    found = survival_calibration_groups(months, event, p, 36, groups=4)
    assert found["n"].tolist() == [20] * 4
    order = np.argsort(p)
    for row, part in zip(found.itertuples(), np.split(order, 4), strict=True):
        curve = KaplanMeierFitter().fit(months[part], event[part])
        assert row.observed == pytest.approx(1 - curve.predict(36))
        assert row.predicted == pytest.approx(p[part].mean())
        assert row.at_risk == (months[part] >= 36).sum()


def test_equal_predictions_stay_together():
    """A constant prediction is one group, whatever was asked for."""
    assert len(survival_calibration_groups(MONTHS, HCC, [0.3] * 5, 3, groups=4)) == 1
