"""Feature selection."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import Lasso, LassoCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hccbook.errors import DataError, ModelError
from hccbook.features import lasso
from hccbook.features.lasso import LassoSelector
from hccbook.features.selection import MannWhitneySelector, SpearmanSelector, mann_whitney_p


@pytest.fixture
def cohort():
    """60 patients, 20 with HCC; feature b carries the outcome, c nearly repeats it, a and d are noise."""
    rng = np.random.default_rng(3)
    y = pd.Series(np.repeat([1, 0], [20, 40]), index=[f"P{number:04d}" for number in range(1, 61)])
    b = rng.normal(size=60) + 2 * y.to_numpy()
    X = pd.DataFrame(
        {"a": rng.normal(size=60), "b": b, "c": b + 0.05 * rng.normal(size=60), "d": rng.normal(size=60)}, index=y.index
    )
    return X, y


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_mann_whitney_by_hand(decimals):
    """p follows from the ranks, with and without ties; the spread of midranks holds the correction for ties."""
    rng = np.random.default_rng(decimals)
    y = rng.permutation(np.repeat([1, 0], [13, 51]))
    values = np.round(rng.normal(size=(64, 30)) + 0.5 * y[:, None], decimals)
    ranks = stats.rankdata(values, axis=0)
    u = ranks[y == 1].sum(axis=0) - 13 * 14 / 2
    sd = np.sqrt(13 * 51 / (64 * 63) * np.square(ranks - 65 / 2).sum(axis=0))
    expected = np.minimum(2 * stats.norm.sf((np.abs(u - 13 * 51 / 2) - 0.5) / sd), 1)
    np.testing.assert_allclose(mann_whitney_p(values, y), expected, rtol=1e-12)


def test_mann_whitney_of_a_constant():
    """A column that does not vary has p 1, without a warning."""
    assert mann_whitney_p(np.full((5, 1), 3.0), np.array([1, 0, 0, 1, 0])) == [1.0]


def test_mann_whitney_without_any_difference():
    """Groups whose ranks balance exactly have p 1."""
    assert mann_whitney_p(np.array([[1.0], [2.0], [2.0], [3.0]]), np.array([1, 0, 0, 1])) == [1.0]


def test_mann_whitney_keeps_what_differs(cohort):
    """Only the features whose p is below the threshold stay, by name."""
    selector = MannWhitneySelector(0.001).fit(*cohort)
    assert selector.get_feature_names_out().tolist() == ["b", "c"]
    assert selector.get_support().tolist() == [False, True, True, False]
    assert selector.pvalues_["b"] < 0.001 < selector.pvalues_["a"]


def test_spearman_keeps_the_stronger_of_two(cohort):
    """Of b and c, which nearly agree, the one with the smaller Mann-Whitney p stays; the rest stay."""
    X, y = cohort
    p = mann_whitney_p(X.to_numpy(), y.to_numpy())
    stronger, weaker = ("b", "c") if p[1] <= p[2] else ("c", "b")
    selector = SpearmanSelector(0.9).fit(X, y)
    assert set(selector.get_feature_names_out()) == {"a", "d", stronger}
    assert selector.removed_by_ == {weaker: stronger}


def test_spearman_takes_the_earlier_of_equal_features(cohort):
    """Of two features with the same ranks the earlier column stays."""
    X, y = cohort
    doubled = pd.DataFrame({"first": X["b"], "second": np.exp(X["b"]), "reversed": -X["b"]})
    assert SpearmanSelector(0.9).fit(doubled, y).get_feature_names_out().tolist() == ["first"]


def test_spearman_kept_features_do_not_agree():
    """No two kept features exceed the threshold, each removed one does with a kept one (scipy's correlation)."""
    rng = np.random.default_rng(1)
    y = np.repeat([1, 0], [20, 40])
    latent = rng.normal(size=(60, 4))
    X = latent @ rng.normal(size=(4, 40)) + 0.4 * rng.normal(size=(60, 40))
    selector = SpearmanSelector(0.7).fit(X, y)
    rho = np.abs(stats.spearmanr(X).statistic)
    kept = np.flatnonzero(selector.support_)
    among = rho[np.ix_(kept, kept)] - np.eye(kept.size)
    assert 1 < kept.size < 40
    assert among.max() <= 0.7
    assert (rho[np.ix_(np.flatnonzero(~selector.support_), kept)].max(axis=1) > 0.7).all()


def test_spearman_is_greedy_along_a_chain():
    """a~b and b~c but not a~c: with b strongest only b stays; with b weakest a and c stay."""
    a = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    b = np.array([1.0, 2, 3, 4, 6, 5, 8, 7])
    c = np.array([2.0, 1, 4, 3, 6, 5, 8, 7])
    # Spearman by hand, 1 - 6 sum d^2 / (8 x 63): ab and bc 1 - 24/504 = 0.952, ac 1 - 48/504 = 0.905.
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    X = np.column_stack([a, b, c])
    # All three separate the classes alike, so that the order of the columns decides.
    assert SpearmanSelector(0.93).fit(X, y).support_.tolist() == [True, False, True]
    assert SpearmanSelector(0.93).fit(X[:, [1, 0, 2]], y).support_.tolist() == [True, False, False]


def test_lasso_agrees_with_scikit_learn(cohort):
    """Penalty and weights are those of LassoCV on the same stratified folds."""
    X, y = cohort
    z = (X - X.mean()) / X.std(ddof=0)
    selector = LassoSelector(folds=5, random_state=7).fit(z, y)
    splits = StratifiedKFold(5, shuffle=True, random_state=7)
    search = LassoCV(eps=1e-3, alphas=100, cv=splits, max_iter=5000).fit(z, y)
    expected = Lasso(search.alpha_, tol=1e-12, max_iter=100_000).fit(z, y)
    assert selector.alpha_ == pytest.approx(search.alpha_, rel=1e-9)
    assert selector.support_.tolist() == (expected.coef_ != 0).tolist()
    assert selector.mse_path_.shape == (100, 5)
    np.testing.assert_allclose(selector.coef_, expected.coef_, atol=1e-5)
    assert selector.intercept_ == pytest.approx(expected.intercept_, abs=1e-5)


def test_lasso_one_standard_error_rule(cohort):
    """The 1se penalty is the largest whose error is within one standard error of the least."""
    X, y = cohort
    selector = LassoSelector(folds=5, lambda_rule="1se").fit(X, y)
    mean = selector.mse_path_.mean(axis=1)
    se = selector.mse_path_.std(axis=1, ddof=1) / np.sqrt(5)
    limit = mean.min() + se[mean.argmin()]
    assert selector.alpha_ == max(alpha for alpha, error in zip(selector.alphas_, mean, strict=True) if error <= limit)
    assert selector.alpha_ >= selector.alphas_[mean.argmin()]
    assert selector.n_selected_ <= LassoSelector(folds=5).fit(X, y).n_selected_


@pytest.mark.parametrize("shape", [(120, 30), (60, 150)])
def test_lasso_by_products_of_features_changes_nothing(monkeypatch, shape):
    """With and without the matrix of products: the same penalty and features, weights and errors to rounding."""
    rng = np.random.default_rng(6)
    y = rng.permutation(np.repeat([1, 0], [shape[0] // 3, shape[0] - shape[0] // 3]))
    X = rng.normal(size=shape)
    X[:, :5] += 0.7 * y[:, None]
    found = LassoSelector(folds=5).fit(X, y)
    monkeypatch.setattr(lasso, "_FEATURES_A_PATIENT_TO_CROSS", 0)
    splits = StratifiedKFold(5, shuffle=True, random_state=0)
    shortest = 1e-2 if shape[0] < shape[1] else 1e-3
    plain = LassoCV(eps=shortest, alphas=100, cv=splits, max_iter=5000, precompute=False).fit(X, y)
    other = LassoSelector(folds=5).fit(X, y)
    for one in (found, other):
        # Two ways to the same numbers: their last bits depend on the machine's vector instructions.
        assert one.alpha_ == pytest.approx(plain.alpha_, rel=1e-9)
        np.testing.assert_allclose(one.mse_path_, plain.mse_path_, rtol=1e-8)
    assert found.support_.tolist() == other.support_.tolist()
    np.testing.assert_allclose(found.coef_, other.coef_, atol=1e-9)


def test_lasso_is_deterministic(cohort):
    """The same seed gives the same weights to the last bit."""
    first, second = (LassoSelector(folds=5, random_state=1).fit(*cohort) for _ in range(2))
    assert first.coef_.tolist() == second.coef_.tolist()
    assert first.path().equals(second.path())


def test_lasso_folds_shrink_with_the_rarer_class():
    """Four patients with HCC allow four folds, and the notes say so."""
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [4, 30])
    selector = LassoSelector(folds=10).fit(rng.normal(size=(34, 3)) + y[:, None], y)
    assert selector.folds_ == 4
    assert "4 folds instead of 10" in selector.notes_[0]


def test_lasso_without_signal_may_select_nothing():
    """Where no penalty beats the mean, no column is left, the intercept is the prevalence, and the notes say so."""
    rng = np.random.default_rng(5)
    y = np.repeat([1, 0], [10, 30])
    selector = LassoSelector(folds=5, lambda_rule="1se").fit(rng.normal(size=(40, 3)), y)
    assert selector.n_selected_ == 0
    assert selector.transform(np.zeros((2, 3))).shape == (2, 0)
    assert selector.intercept_ == pytest.approx(0.25, rel=1e-12) and not selector.coef_.any()
    assert selector.notes_[-1].startswith("No feature was selected")


@pytest.mark.parametrize("selector", [MannWhitneySelector(), SpearmanSelector(), LassoSelector(folds=3)])
class TestEverySelector:
    """What holds for all three."""

    def test_constant_features_go(self, selector, cohort):
        """A constant feature is dropped and named, also when its last bits differ."""
        X, y = cohort
        X = X.assign(same=0.1 + 0.2, nearly=np.where(y == 1, 0.1 + 0.2, 0.3))
        fitted = clone(selector).fit(X, y)
        assert fitted.constant_ == ["same", "nearly"]
        assert not set(fitted.get_feature_names_out()) & {"same", "nearly"}
        assert "2 constant features" in fitted.notes_[0]

    def test_only_constant_features(self, selector, cohort):
        """A table of constants leaves no column, without a NaN or a warning."""
        _, y = cohort
        fitted = clone(selector).set_output(transform="pandas").fit(pd.DataFrame({"same": 1.0}, index=y.index), y)
        out = fitted.transform(pd.DataFrame({"same": [1.0]}, index=["P0001"]))
        assert out.shape == (1, 0)
        assert fitted.n_selected_ == 0
        assert fitted.notes_[-1].startswith("No feature was selected")

    def test_missing_value_names_its_column(self, selector, cohort):
        """NaN is refused with the column's name, in fit and in transform."""
        X, y = cohort
        fitted = clone(selector).fit(X, y)
        X = X.copy()
        X.loc["P0003", "c"] = np.nan
        with pytest.raises(DataError, match="column c"):
            clone(selector).fit(X, y)
        with pytest.raises(DataError, match="column c"):
            fitted.transform(X)

    def test_set_output_and_pipeline(self, selector, cohort):
        """In a pipeline that returns pandas the columns keep their names and patients."""
        X, y = cohort
        pipeline = make_pipeline(StandardScaler(), clone(selector)).set_output(transform="pandas")
        out = pipeline.fit(X, y).transform(X)
        assert out.index.equals(X.index)
        assert out.columns.tolist() == pipeline.get_feature_names_out().tolist()
        assert "b" in out.columns or "c" in out.columns

    def test_one_class_is_refused(self, selector, cohort):
        """Without patients of both classes there is nothing to select by."""
        X, y = cohort
        with pytest.raises(DataError, match="with and without HCC"):
            clone(selector).fit(X, y * 0)

    def test_other_patients_are_refused(self, selector, cohort):
        """An outcome in another order of patients is not matched by position."""
        X, y = cohort
        with pytest.raises(DataError, match="another index"):
            clone(selector).fit(X, y[::-1])


@pytest.mark.parametrize(
    ("selector", "word"),
    [
        (MannWhitneySelector(p_threshold=0), "p_threshold"),
        (SpearmanSelector(threshold=1.5), "threshold"),
        (LassoSelector(folds=1), "folds"),
        (LassoSelector(lambda_rule="best"), "lambda_rule"),
    ],
)
def test_settings_are_checked_in_fit(selector, word, cohort):
    """A setting out of range is refused by name, in fit and not before."""
    with pytest.raises(ModelError, match=word):
        selector.fit(*cohort)
