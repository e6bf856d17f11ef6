"""Calibration."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from hccbook.errors import DataError
from hccbook.evaluation import by_cohort, calibration_curve, calibration_summary
from hccbook.evaluation.calibration import _loess_weights

# R's cars: speed (mph) and stopping distance (ft), and the result of the second example of ?predict.loess:
# predict(loess(dist ~ speed, cars, control = loess.control(surface = "direct")), data.frame(speed = 5:30)).
SPEED = np.repeat(
    [4.0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25],
    [2, 2, 1, 1, 3, 2, 4, 4, 4, 3, 2, 3, 4, 3, 5, 1, 1, 4, 1],
)
DISTANCE = np.array(
    [
        2.0, 10, 4, 22, 16, 10, 18, 26, 34, 17, 28, 14, 20, 24, 28, 26, 34, 34, 46, 26, 36, 60, 80, 20, 26,
        54, 32, 40, 32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85,
    ]
)  # fmt: skip
R_LOESS = [
    7.741006, 9.926596, 12.442424, 15.281082, 18.425712, 21.865315, 25.713413, 29.350386, 33.230660, 37.167935,
    41.205226, 45.781544, 48.355889, 50.067148, 51.986702, 56.445263, 62.025404, 68.569313, 76.193111, 85.053364,
    95.300523, 106.974661, 120.092581, 134.665851, 150.698545, 168.190283,
]  # fmt: skip


@pytest.fixture
def cohort():
    """400 patients whose outcome follows logit P = -0.5 + 0.6 logit p."""
    rng = np.random.default_rng(2)
    p = expit(1.5 * rng.normal(size=400) - 0.5)
    return (rng.random(400) < expit(-0.5 + 0.6 * logit(p))).astype(int), p


def test_loess_agrees_with_r():
    """The local quadratic is R's direct loess, to the digits printed, also beyond the data."""
    np.testing.assert_allclose(_loess_weights(SPEED, np.arange(5.0, 31.0)) @ DISTANCE, R_LOESS, atol=5e-6)


def test_loess_agrees_with_weighted_polynomials():
    """At each point the value is that of numpy's weighted quadratic through the nearest three quarters."""
    rng = np.random.default_rng(1)
    x, y = rng.random(40), rng.integers(0, 2, 40)
    points = np.array([0.0, 0.2, 0.5, 0.9])
    expected = []
    for point in points:
        distance = np.abs(x - point)
        weight = np.clip(1 - (distance / np.sort(distance)[29]) ** 3, 0, None) ** 3
        expected.append(np.polyval(np.polyfit(x, y, 2, w=np.sqrt(weight)), point))
    np.testing.assert_allclose(_loess_weights(x, points) @ y, expected, atol=1e-9)


def test_loess_reproduces_a_quadratic():
    """A curve of degree 2 is its own fit."""
    x = np.random.default_rng(0).random(40)
    np.testing.assert_allclose(_loess_weights(x, x) @ (2 - x + 3 * x**2), 2 - x + 3 * x**2, atol=1e-10)


def test_loess_of_equal_predictions_is_the_mean():
    """Where all predictions are equal the curve is the event rate."""
    assert _loess_weights(np.full(4, 0.3), [0.3]) @ [1, 0, 0, 1] == pytest.approx([0.5])


def test_curve_stays_within_zero_and_one(cohort):
    """Observed frequency and its limits are probabilities, in order; ten of 400 predictions lie beyond either end."""
    y, p = cohort
    curve = calibration_curve(y, p)
    assert curve.columns.tolist() == ["predicted", "observed", "lower", "upper"]
    assert ((curve >= 0) & (curve <= 1)).all(axis=None)
    assert ((curve["lower"] <= curve["observed"]) & (curve["observed"] <= curve["upper"])).all()
    assert (p < curve["predicted"].iloc[0]).sum() == (p > curve["predicted"].iloc[-1]).sum() == 10


def test_curve_covers_the_truth(cohort):
    """The truth that made the outcomes lies within most of the pointwise limits."""
    curve = calibration_curve(*cohort)
    truth = expit(-0.5 + 0.6 * logit(curve["predicted"]))
    assert truth.between(curve["lower"], curve["upper"]).mean() > 0.8


def test_slope_and_intercept_agree_with_another_optimiser(cohort):
    """Slope from the joint fit, intercept with the logit as offset, by a general-purpose minimiser."""
    y, p = cohort
    found, predictor = calibration_summary(y, p), logit(p)

    def loss(weights, offset):
        eta = weights[0] + (weights[1] if len(weights) > 1 else 1) * predictor + offset
        return np.logaddexp(0, eta).sum() - y @ eta

    joint = minimize(loss, [0, 1], args=(0,), tol=1e-12).x
    large = minimize(loss, [0], args=(0,), tol=1e-12).x
    assert found.slope == pytest.approx(joint[1], abs=1e-5)
    assert found.intercept == pytest.approx(large[0], abs=1e-5)
    # With slope 0.6 the joint intercept is another number.
    assert abs(found.intercept - joint[0]) > 0.01
    assert found.note == ""


def test_truth_is_found(cohort):
    """Slope near the 0.6 and in-the-large below 0, as planted."""
    found = calibration_summary(*cohort)
    assert found.slope == pytest.approx(0.6, abs=0.2)
    assert found.intercept < 0


def test_in_the_large_by_hand():
    """All predicted 1/2, 1 of 4 observed: logit(1/4) - logit(1/2) = -log 3; the slope is not defined."""
    found = calibration_summary([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5])
    assert found.intercept == pytest.approx(-np.log(3))
    assert np.isnan(found.slope)
    assert "not defined" in found.note
    assert (found.ici, found.e50, found.e90, found.emax) == pytest.approx((0.25, 0.25, 0.25, 0.25))


@pytest.mark.parametrize(("p", "slope"), [([0.7, 0.9, 0.2, 0.3], np.inf), ([0.2, 0.3, 0.7, 0.9], -np.inf)])
def test_complete_separation(p, slope):
    """Predictions that separate the classes have an infinite slope, and the note says so."""
    found = calibration_summary([1, 1, 0, 0], p)
    assert found.slope == slope
    assert "infin" in found.note
    assert np.isfinite([found.intercept, found.ici, found.emax]).all()


def test_probabilities_of_zero_and_one():
    """0 and 1 are moved a little, and the note says how many."""
    rng = np.random.default_rng(0)
    y = np.r_[1, 0, rng.permutation(np.repeat([1, 0], 20))]
    found = calibration_summary(y, np.r_[1.0, 0.0, rng.random(40)])
    assert np.isfinite(found.slope)
    assert found.note.startswith("2 probabilities of 0 or 1 moved")


def test_distances_are_ordered_quantiles(cohort):
    """E50 <= E90 <= Emax, ICI within 0 and Emax; they are the quantiles of the distances to the curve."""
    y, p = cohort
    found = calibration_summary(y, p)
    distance = np.abs(np.clip(_loess_weights(p, p) @ y, 0, 1) - p)
    assert found.ici == pytest.approx(distance.mean())
    assert (found.e50, found.e90, found.emax) == pytest.approx(np.quantile(distance, [0.5, 0.9, 1.0]).tolist())


def test_well_calibrated_predictions():
    """Outcomes drawn from the predictions themselves: slope near 1, intercept near 0, small ICI."""
    rng = np.random.default_rng(4)
    p = expit(rng.normal(size=3000) - 1)
    found = calibration_summary(rng.random(3000) < p, p)
    assert found.slope == pytest.approx(1, abs=0.15)
    assert found.intercept == pytest.approx(0, abs=0.12)
    assert found.ici < 0.02


def test_tables_by_cohort(cohort):
    """Curves and numbers of each cohort and model, in the columns that figures and tables take."""
    y, p = cohort
    models = pd.DataFrame({"ALARM": p, "aMAP": p[::-1]})
    names = np.repeat(["discovery", "external_validation"], 200)
    curves, numbers = (by_cohort(of, y, models, names) for of in (calibration_curve, calibration_summary))
    assert curves.columns.tolist() == ["cohort", "model", "predicted", "observed", "lower", "upper"]
    assert numbers.columns.tolist() == ["cohort", "model", "intercept", "slope", "ici", "e50", "e90", "emax", "note"]
    assert len(curves) == 4 * 101
    assert numbers["slope"].iloc[2] == calibration_summary(y[200:], p[200:]).slope


@pytest.mark.parametrize("p", [[2.3, -1.0, 0.2], [0.1, np.nan, 0.2]])
def test_scores_and_missing_values_are_refused(p):
    """A linear predictor or a missing value is no probability."""
    with pytest.raises(DataError, match="p: must be"):
        calibration_summary([1, 0, 0], p)
