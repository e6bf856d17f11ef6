"""Decision curves."""

import numpy as np
import pandas as pd
import pytest

from hccbook.errors import DataError
from hccbook.evaluation import decision_curves, net_benefit


def test_net_benefit_by_hand():
    """10 patients, threshold 0.25: 3 true and 2 false positives give 3/10 - 2/10 x 1/3."""
    y = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    p = [0.9, 0.5, 0.25, 0.1, 0.6, 0.3, 0.2, 0.1, 0.1, 0.0]
    assert net_benefit(y, p, [0.25]) == pytest.approx([0.3 - 0.2 / 3], abs=1e-12)


def test_treat_all_by_hand():
    """Prevalence 105/750 at threshold .25: .14 - .86/3 = -.1466667, as the dcurves package prints."""
    y = np.repeat([1, 0], [105, 645])
    assert net_benefit(y, np.ones(750), [0.25]) == pytest.approx([-0.1466667], abs=5e-8)


def test_marker_as_dcurves_prints():
    """cancerpredmarker of the data in dcurves 1.1.7: 72 of 105 with cancer and 72 others at .25 or more; 0.0640."""
    y = np.repeat([1, 1, 0, 0], [72, 33, 72, 573])
    p = np.repeat([0.25, 0.1, 0.25, 0.1], [72, 33, 72, 573])
    assert net_benefit(y, p, [0.25]) == pytest.approx([0.0640], abs=5e-8)


def test_at_threshold_zero_everybody_is_treated():
    """At threshold 0 any model has the prevalence as net benefit."""
    assert net_benefit([1, 0, 0, 0], [0.1, 0.9, 0.0, 0.3], [0.0]) == pytest.approx([0.25])


def test_perfect_prediction_has_the_prevalence_everywhere():
    """Predicting the outcome itself is worth the prevalence at any threshold above 0."""
    y = np.array([1, 0, 0, 1, 0])
    assert net_benefit(y, y, np.linspace(0.01, 0.99, 9)) == pytest.approx(np.full(9, 0.4))


def test_curves_with_both_strategies():
    """Each cohort has its models, treat all and treat none; treat none is 0, treat all crosses 0 at the prevalence."""
    y = np.array([1, 0, 0, 0, 1, 0, 0, 0])
    models = pd.DataFrame({"ALARM": np.linspace(0.1, 0.8, 8)})
    curves = decision_curves(y, models, np.repeat(["discovery", "external"], 4), [0.1, 0.25, 0.5])
    assert curves.columns.tolist() == ["cohort", "model", "threshold", "net_benefit"]
    assert curves["model"].drop_duplicates().tolist() == ["ALARM", "treat all", "treat none"]
    assert (curves.loc[curves["model"] == "treat none", "net_benefit"] == 0).all()
    everybody = curves[(curves["model"] == "treat all") & (curves["threshold"] == 0.25)]
    assert everybody["net_benefit"].tolist() == pytest.approx([0, 0], abs=1e-15)


@pytest.mark.parametrize(
    ("p", "thresholds", "word"),
    [([3.0, 0.1], [0.1], "probability"), ([0.3, 0.1], [1.0], "thresholds"), ([0.3, 0.1], [20], "thresholds")],
)
def test_refusals(p, thresholds, word):
    """Scores, and thresholds of 1 or in per cent, are refused."""
    with pytest.raises(DataError, match=word):
        net_benefit([1, 0], p, thresholds)
