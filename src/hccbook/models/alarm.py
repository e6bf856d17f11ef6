"""ALARM: aMAP, a radiomics score and a deep-learning score in one logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from imblearn.over_sampling import BorderlineSMOTE
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.features.selection import LassoSelector, MannWhitneySelector, SpearmanSelector
from hccbook.models.development import (
    CLINICAL,
    allowed_columns,
    check_development,
    logistic_score,
    probability,
    selection_counts,
    standardise,
)
from hccbook.models.linear_score import LinearScore
from hccbook.models.three_scores import ThreeScoreModel

_BLOCKS = ("radiomics", "deep")
_DEEP = ".deep_"
_NEIGHBOURS = 5
_DANGER_NEIGHBOURS = 10


class AlarmModel(ThreeScoreModel):
    """ALARM model of the 3 to 12 months' risk of HCC.

    On the development cohort alone: z-score; Borderline-SMOTE 1 (5 neighbours to interpolate with, 10 to find
    the patients in danger); Mann-Whitney, Spearman and LASSO, for radiomics and deep features apart; each
    block's score is its LASSO's linear predictor; a logistic regression on the standardised aMAP, radiomics
    score and deep-learning score gives the probability.

    The probability is that of the cohort which the last regression sees: after SMOTE about half of it has HCC,
    so the probability lies above the frequency in real patients.

    Parameters
    ----------
    smote : {"before_selection", "before_model", "off"}
        Where synthetic HCC patients enter: before the features are selected (on z-scores of all features and
        aMAP together), before the last regression only (on the three scores), or nowhere. The paper leaves the
        order open. Before selection, synthetic patients share folds with those they were made from, so that the
        LASSO's cross-validated error is too small.
    p_threshold : float
        Mann-Whitney p below which a feature stays.
    spearman_threshold : float
        Absolute Spearman correlation above which one of two features goes.
    lasso_folds : int
        Folds that choose the LASSO penalty.
    lambda_rule : {"min", "1se"}
        Penalty with the least cross-validated error, or the largest within one standard error of it.
    random_state : int
        Seed of SMOTE and of the folds.
    left_out : sequence of str
        Features that no step sees, such as those of `hccbook.features.selection.unreliable_features`.

    Attributes
    ----------
    radiomics_score_, deep_score_ : LinearScore
        The two image scores; constant 0 where no feature of the block was selected.
    combination_ : LinearScore
        Logit of the probability, of columns amap, radiomics, deep.
    coef_ : numpy.ndarray, shape (1, 3)
        Weights of the standardised amap, radiomics and deep.
    intercept_ : numpy.ndarray, shape (1,)
        Intercept of the last regression.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    augmented_ : pandas.DataFrame
        Development cohort as the last regression saw it, synthetic patients included (S0001, ...): columns amap,
        radiomics, deep, alarm (probability), y, synthetic. Not kept in the model file.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; steps extracted, allowed (where some are left out), varying, mann_whitney,
        spearman, lasso.
    lasso_paths_ : dict of str to pandas.DataFrame
        By block, columns alpha, mse, se, selected; empty where the block did not reach the LASSO.
    lasso_alphas_ : dict of str to float
        By block, the penalty used; absent where the block did not reach the LASSO.
    selectors_ : dict of str to dict of str to estimator
        By block and step (mann_whitney, spearman, lasso), the fitted selector; absent where no feature was left.
        Not kept in the model file.
    notes_ : list of str
        What a reader should know about the fit.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection, Model construction and validation; Supplementary A6,
    A8 (not public). Han et al. 2005, Borderline-SMOTE.
    """

    _file_name = "alarm"

    def __init__(
        self,
        smote: Literal["before_selection", "before_model", "off"] = "before_selection",
        p_threshold: float = 0.05,
        spearman_threshold: float = 0.9,
        lasso_folds: int = 10,
        lambda_rule: Literal["min", "1se"] = "min",
        random_state: int = 0,
        left_out: Sequence[str] = (),
    ) -> None:
        self.smote = smote
        self.p_threshold = p_threshold
        self.spearman_threshold = spearman_threshold
        self.lasso_folds = lasso_folds
        self.lambda_rule = lambda_rule
        self.random_state = random_state
        self.left_out = left_out

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> AlarmModel:
        """Learn the scores and the model on a development cohort.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_features + 1)
            Columns ``<phase>.<organ>.<name>`` and ``amap``; deep features are those with ``.deep_`` in their name.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, ``amap`` is absent, or a class has fewer than two patients.
        """
        if self.smote not in ("before_selection", "before_model", "off"):
            raise ModelError(
                "smote", "must be 'before_selection', 'before_model' or 'off'", repr(self.smote), "Choose one of them."
            )
        X, outcome = check_development(X, y)
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.array([0, 1])
        self.notes_: list[str] = []
        allowed = allowed_columns(X.columns, self.left_out)
        if len(allowed) < X.shape[1]:
            self.notes_.append(f"{X.shape[1] - len(allowed)} features left out before any step.")
        z, means, scales, constant = standardise(X[allowed])
        if constant:
            self.notes_.append(f"{len(constant)} constant columns dropped, the first {constant[0]}.")
        y_selection = outcome
        if self.smote == "before_selection":
            z, y_selection = self._augment(z, outcome)
        counts: list[tuple[str, str, int]] = []
        self.lasso_paths_: dict[str, pd.DataFrame] = {}
        self.lasso_alphas_: dict[str, float] = {}
        self.selectors_: dict[str, dict[str, object]] = {block: {} for block in _BLOCKS}
        columns = X.columns[X.columns != CLINICAL]
        deep = columns.str.contains(_DEEP, regex=False)
        for block, extracted in zip(_BLOCKS, (columns[~deep], columns[deep]), strict=True):
            counts.append((block, "extracted", len(extracted)))
            if self.left_out:
                counts.append((block, "allowed", len(set(extracted) & set(allowed))))
            varying = [name for name in extracted if name in means.index]
            setattr(self, f"{block}_score_", self._block_score(block, z[varying], y_selection, means, scales, counts))
        self.selection_counts_ = selection_counts(counts)

        real = self._covariates(X)
        synthetic, y_model = real.iloc[:0], y_selection
        if self.smote == "before_selection":
            synthetic = self._covariates(_synthetic_rows(z, X, means, scales))
        elif self.smote == "before_model":
            z, score_means, score_scales, _ = standardise(real)
            z, y_model = self._augment(z, outcome)
            synthetic = _synthetic_rows(z, real, score_means, score_scales)
        scores = pd.concat([real, synthetic]) if len(synthetic) else real
        self.combination_ = logistic_score(scores, y_model, reference=real)
        self._expose_weights()
        self.augmented_ = scores.assign(
            alarm=probability(self.combination_.evaluate(scores)),
            y=y_model,
            synthetic=np.arange(len(scores)) >= len(real),
        )
        return self

    def _augment(self, z: pd.DataFrame, outcome: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Borderline-SMOTE 1 until both classes are equal; real patients first; what it did goes to the notes."""
        cases = int(outcome.sum())
        rarest = min(cases, len(outcome) - cases)
        if rarest < 2:
            raise ModelError(
                "outcome",
                "must have 2 patients or more in each class for SMOTE",
                rarest,
                "Add patients or set smote='off'.",
            )
        neighbours = min(_NEIGHBOURS, rarest - 1)
        around = min(_DANGER_NEIGHBOURS, len(z) - 1)
        if (neighbours, around) != (_NEIGHBOURS, _DANGER_NEIGHBOURS):
            self.notes_.append(
                f"SMOTE used {neighbours} and {around} neighbours instead of {_NEIGHBOURS} and {_DANGER_NEIGHBOURS}: "
                f"the rarer class has {rarest} patients."
            )
        smote = BorderlineSMOTE(
            kind="borderline-1", k_neighbors=neighbours, m_neighbors=around, random_state=self.random_state
        )
        values, augmented = smote.fit_resample(z.to_numpy(), outcome)
        added = len(values) - len(z)
        if added == 0:
            why = (
                "the classes are equal already"
                if 2 * cases == len(outcome)
                else "no patient of the rarer class is in danger"
            )
            self.notes_.append(f"SMOTE added nobody: {why}.")
        else:
            self.notes_.append(f"SMOTE added {added} synthetic patients to {len(z)}.")
        index = z.index.astype(object).append(
            pd.Index([f"S{number:04d}" for number in range(1, added + 1)], dtype=object)
        )
        return pd.DataFrame(values, index=index.rename(z.index.name), columns=z.columns), augmented

    def _block_score(
        self,
        block: str,
        z: pd.DataFrame,
        outcome: np.ndarray,
        means: pd.Series,
        scales: pd.Series,
        counts: list[tuple[str, str, int]],
    ) -> LinearScore:
        steps = {
            "mann_whitney": MannWhitneySelector(self.p_threshold),
            "spearman": SpearmanSelector(self.spearman_threshold),
            "lasso": LassoSelector(self.lasso_folds, self.lambda_rule, self.random_state),
        }
        left = z
        counts.append((block, "varying", left.shape[1]))
        for step, selector in steps.items():
            if left.shape[1]:
                selector.set_output(transform="pandas").fit(left, outcome)
                self.selectors_[block][step] = selector
                self.notes_.extend(f"{block}, {step}: {note}" for note in selector.notes_)
                if step == "lasso":
                    self.lasso_paths_[block] = selector.path()
                    self.lasso_alphas_[block] = selector.alpha_
                    weights = selector.coef_[selector.support_]
                left = selector.transform(left)
            counts.append((block, step, left.shape[1]))
        names = left.columns
        if not len(names):
            self.notes_.append(f"{block}: no feature was selected; the score is 0 for every patient.")
            return LinearScore.of((), (), (), (), 0.0)
        return LinearScore.of(names, means[names], scales[names], weights, selector.intercept_)

    def _covariates(self, X: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                CLINICAL: X[CLINICAL].to_numpy(dtype=float),
                "radiomics": self.radiomics_score_.evaluate(X),
                "deep": self.deep_score_.evaluate(X),
            },
            index=X.index,
        )

    def scores(self, X: pd.DataFrame) -> pd.DataFrame:
        """Scores of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features and ``amap``; other columns are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 4)
            Columns amap, radiomics, deep (scores) and alarm (probability); higher means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        check_is_fitted(self, "combination_")
        if CLINICAL not in X.columns:
            raise ModelError("features", f"must have a column {CLINICAL!r}", "none", "Add it with hccbook.scores.amap.")
        covariates = self._covariates(X)
        return covariates.assign(alarm=probability(self.combination_.evaluate(covariates)))

    def selection_tables(self) -> dict[str, pd.DataFrame]:
        """What each step of the selection saw and did, for figures; of the fit itself, not of the model file.

        Returns
        -------
        dict of str to pandas.DataFrame
            ``screening``: columns block, feature, p, kept (Mann-Whitney), correlated_with (the feature that Spearman's
            step kept instead; empty for none). ``lasso_error``: block, penalty, error, lower, upper, chosen.
            ``lasso_path``: block, feature, penalty, coefficient. Blocks without a feature left have no rows.
        """
        screening, error, path = [], [], []
        for block, steps in self.selectors_.items():
            if "mann_whitney" in steps:
                pvalues = steps["mann_whitney"].pvalues_
                removed = steps["spearman"].removed_by_ if "spearman" in steps else {}
                kept = pd.Series(steps["mann_whitney"].support_, index=pvalues.index)
                table = pd.DataFrame({"feature": pvalues.index, "p": pvalues.to_numpy(), "kept": kept.to_numpy()})
                screening.append(table.assign(block=block, correlated_with=[removed.get(n, "") for n in pvalues.index]))
            if "lasso" in steps and len(steps["lasso"].alphas_):
                lasso = steps["lasso"]
                found = lasso.path().rename(columns={"alpha": "penalty", "mse": "error"})
                found = found.assign(lower=found["error"] - found["se"], upper=found["error"] + found["se"])
                error.append(found.assign(block=block, chosen=lasso.alpha_))
                long = pd.DataFrame(lasso.coef_path_, index=lasso.path_names_, columns=lasso.alphas_).stack()
                long = long.rename_axis(["feature", "penalty"]).rename("coefficient").reset_index()
                path.append(long.assign(block=block))
        columns = {
            "screening": ["block", "feature", "p", "kept", "correlated_with"],
            "lasso_error": ["block", "penalty", "error", "lower", "upper", "chosen"],
            "lasso_path": ["block", "feature", "penalty", "coefficient"],
        }
        made = {"screening": screening, "lasso_error": error, "lasso_path": path}
        return {
            name: pd.concat(made[name])[own] if made[name] else pd.DataFrame(columns=own)
            for name, own in columns.items()
        }


def _synthetic_rows(z: pd.DataFrame, real: pd.DataFrame, means: pd.Series, scales: pd.Series) -> pd.DataFrame:
    """Rows of `z` after the real patients, in the units of `real`; a column that is constant there stays so."""
    rows = z.iloc[len(real) :] * scales + means
    values = np.tile(real.iloc[0].to_numpy(dtype=float), (len(rows), 1))
    values[:, real.columns.get_indexer(rows.columns)] = rows.to_numpy()
    return pd.DataFrame(values, index=rows.index, columns=real.columns)
