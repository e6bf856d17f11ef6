"""NRI and IDI."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hccbook.errors import DataError
from hccbook.evaluation import integrated_discrimination, net_reclassification

# The 32 cars of R's mtcars: engine shape, transmission, gears, weight (1000 lb).
VS = "0 0 1 1 0 1 0 1 1 1 1 0 0 0 0 0 0 1 1 1 1 0 0 0 0 1 0 1 0 0 0 1"
AM = "1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 0 0 0 0 0 1 1 1 1 1 1 1"
GEAR = "4 4 4 3 3 3 3 4 4 4 4 3 3 3 3 3 3 4 4 4 3 3 3 3 3 4 5 5 5 5 5 4"
WT = (
    "2.620 2.875 2.320 3.215 3.440 3.460 3.570 3.190 3.150 3.440 3.440 4.070 3.730 3.780 5.250 5.424 "
    "5.345 2.200 1.615 1.835 2.465 3.520 3.435 3.840 3.845 1.935 2.140 1.513 3.170 2.770 3.570 2.780"
)


@pytest.fixture(scope="module")
def cars():
    """Engine shape, and its probability without and with weight, by unpenalised logistic regression."""
    vs, am, gear, wt = (np.array(text.split(), dtype=float) for text in (VS, AM, GEAR, WT))

    def fitted(*columns):
        table = np.column_stack(columns)
        return LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(table, vs).predict_proba(table)[:, 1]

    return vs.astype(int), fitted(am, gear), fitted(am, gear, wt)


def test_categorical_nri_of_cars(cars):
    """Published for mtcars with cut-offs .2 and .4: 0.754 (0.341 to 1.167)."""
    found = net_reclassification(*cars, cutoffs=(0.2, 0.4))
    assert (found.nri, found.lower, found.upper) == pytest.approx((0.754, 0.341, 1.167), abs=5e-4)


def test_continuous_nri_of_cars(cars):
    """Published for mtcars: 1.413 (0.943 to 1.882)."""
    found = net_reclassification(*cars)
    assert (found.nri, found.lower, found.upper) == pytest.approx((1.413, 0.943, 1.882), abs=5e-4)


def test_idi_of_cars(cars):
    """Published for mtcars: 0.532 (0.356 to 0.709)."""
    found = integrated_discrimination(*cars)
    assert (found.idi, found.lower, found.upper) == pytest.approx((0.532, 0.356, 0.709), abs=5e-4)


def test_framingham_hdl_counts():
    """Pencina 2008: 29 up, 7 down of 183 events, 173 up, 174 down of 3,081: NRI 0.1205, z 3.616."""
    moves = [(1, 0.4, 29), (1, 0.2, 7), (1, 0.3, 183 - 36), (0, 0.4, 173), (0, 0.2, 174), (0, 0.3, 3081 - 347)]
    y, new = (np.repeat([move[part] for move in moves], [move[2] for move in moves]) for part in (0, 1))
    found = net_reclassification(y, np.full(y.size, 0.3), new)
    assert found[-6:] == (183, 3081, 29, 7, 173, 174)
    assert found.nri == pytest.approx(0.1205, abs=5e-5)
    assert found.z == pytest.approx(3.616, abs=5e-4)


def test_nri_by_hand():
    """Of 2 events 1 up, of 4 non-events 2 down and 1 up: 1/2 + 1/4."""
    y = [1, 1, 0, 0, 0, 0]
    old, new = [0.2, 0.5, 0.5, 0.6, 0.1, 0.1], [0.7, 0.5, 0.2, 0.3, 0.8, 0.1]
    found = net_reclassification(y, old, new)
    assert (found.events_nri, found.nonevents_nri, found.nri) == (0.5, 0.25, 0.75)
    assert found[-6:] == (2, 4, 1, 0, 1, 2)


def test_probability_at_a_cutoff_is_in_the_higher_group():
    """From 0.19 to 0.20 with cut-off 0.2 is a move up; from 0.20 to 0.21 is none."""
    found = net_reclassification([1, 1, 0], [0.19, 0.20, 0.5], [0.20, 0.21, 0.5], cutoffs=[0.2])
    assert (found.up_events, found.down_events) == (1, 0)


def test_swapping_models_turns_the_signs(cars):
    """Old against new is the negative of new against old."""
    y, old, new = cars
    assert net_reclassification(y, new, old).nri == -net_reclassification(y, old, new).nri
    assert integrated_discrimination(y, new, old).idi == pytest.approx(-integrated_discrimination(y, old, new).idi)


def test_nothing_changed(cars):
    """The same model twice: 0, with z 0 and p 1."""
    y, old, _ = cars
    nri, idi = net_reclassification(y, old, old), integrated_discrimination(y, old, old)
    assert (nri.nri, nri.lower, nri.upper, nri.z, nri.p) == (0, 0, 0, 0, 1)
    assert (idi.idi, idi.se, idi.z, idi.p) == (0, 0, 0, 1)


def test_all_changed_alike_has_no_test():
    """Events all rise by 0.1, others all fall by 0.1: IDI 0.2, and z is NaN, as documented."""
    found = integrated_discrimination([1, 1, 0, 0], [0.5, 0.6, 0.5, 0.6], [0.6, 0.7, 0.4, 0.5])
    assert found.idi == pytest.approx(0.2)
    assert found.se == 0
    assert np.isnan([found.z, found.p]).all()


@pytest.mark.parametrize(
    ("old", "new", "cutoffs", "word"),
    [
        ([1.2, 0.1], [0.5, 0.5], None, "p_old.*probability"),
        ([0.1, 0.1], [-2.0, 0.5], None, "p_new.*probability"),
        ([0.1, np.nan], [0.1, 0.5], None, "p_old.*finite"),
        ([0.1, 0.1], [0.1, 0.5], [0.4, 0.2], "cutoffs.*rise"),
        ([0.1, 0.1], [0.1, 0.5], [20, 40], "cutoffs.*within"),
        ([0.1, 0.1], [0.1, 0.5], [], "cutoffs"),
    ],
)
def test_refusals(old, new, cutoffs, word):
    """Linear predictors, missing values and cut-offs that do not rise are refused by name."""
    with pytest.raises(DataError, match=word):
        net_reclassification([1, 0], old, new, cutoffs)
