"""ALARM: aMAP, a radiomics score and a deep-learning score in one logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.features.lasso import LassoSelector, error_along_path
from hccbook.features.selection import (
    MannWhitneySelector,
    SpearmanSelector,
    check_choice,
    check_rarest_class,
    rarest_class,
    select_in_steps,
)
from hccbook.models.development import (
    Standardised,
    allowed_columns,
    check_development,
    columns_of_blocks,
    logistic_score,
    probability,
    selection_counts,
    standardise,
    standardise_allowed,
)
from hccbook.models.linear_score import NO_SCORE, LinearScore
from hccbook.models.oversampling import NEIGHBOURS, Oversampled, oversample, synthetic_patients
from hccbook.models.score_model import ScoreModel

SELECTION_COLUMNS = {
    "screening": ("block", "feature", "p", "kept", "correlated_with"),
    "lasso_error": ("block", "penalty", "error", "lower", "upper", "chosen"),
    "lasso_path": ("block", "feature", "penalty", "coefficient"),
}
"""Columns of `AlarmModel.selection_tables`, by table."""


class AlarmModel(ScoreModel):
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
    coef_, intercept_, classes_, notes_
        As in `ScoreModel`.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection, Model construction and validation; Supplementary A6,
    A8 (not public). Han et al. 2005, Borderline-SMOTE.
    """

    _file_name = _probability = "alarm"
    _image_scores: ClassVar = {"radiomics": "radiomics_score_", "deep": "deep_score_"}
    _saved = (
        "radiomics_score", "deep_score", "combination", "feature_names", "selection_counts", "lasso_paths",
        "lasso_alphas", "notes",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - an estimator has its settings
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
        check_choice("smote", self.smote, ("before_selection", "before_model", "off"))
        outcome = check_development(X, y)
        self._start(X.columns)
        self.notes_: list[str] = []
        standardised = standardise_allowed(X, self.left_out, self.notes_)
        seen, y_seen = standardised.z, outcome
        synthetic = X.iloc[:0]
        if self.smote == "before_selection":
            augmented = self._oversample(seen, outcome)
            seen, y_seen = pd.DataFrame(augmented.values, columns=seen.columns), augmented.outcome
            synthetic = synthetic_patients(augmented.values[len(X) :], X, standardised.means, standardised.scales)
        self._fit_image_scores(X, standardised._replace(z=seen), y_seen)

        real = self._covariates(X)
        synthetic = self._covariates(synthetic)
        if self.smote == "before_model":
            z, means, scales, _ = standardise(real)
            augmented = self._oversample(z, outcome)
            y_seen = augmented.outcome
            synthetic = synthetic_patients(augmented.values[len(X) :], real, means, scales)
        scores = pd.concat([real, synthetic]) if len(synthetic) else real
        self.combination_ = logistic_score(scores, y_seen, reference=real)
        self.augmented_ = scores.assign(
            alarm=probability(self.combination_.evaluate(scores)),
            y=y_seen,
            synthetic=np.arange(len(scores)) >= len(real),
        )
        return self

    def _oversample(self, z: pd.DataFrame, outcome: np.ndarray) -> Oversampled:
        """What Borderline-SMOTE makes of these patients; what it did goes to the notes."""
        check_rarest_class(outcome, 2, " for SMOTE", "Add patients or set smote='off'.")
        rarest = rarest_class(outcome)
        augmented = oversample(z.to_numpy(), outcome, self.random_state)
        if augmented.neighbours != NEIGHBOURS:
            used, usual = (" and ".join(map(str, pair)) for pair in (augmented.neighbours, NEIGHBOURS))
            note = f"SMOTE used {used} neighbours instead of {usual}: the rarer class has {rarest} patients."
            self.notes_.append(note)
        if augmented.added:
            self.notes_.append(f"SMOTE added {augmented.added} synthetic patients to {len(z)}.")
        else:
            equal = 2 * rarest == len(outcome)
            why = "the classes are equal already" if equal else "no patient of the rarer class is in danger"
            self.notes_.append(f"SMOTE added nobody: {why}.")
        return augmented

    def _fit_image_scores(self, X: pd.DataFrame, seen: Standardised, outcome: np.ndarray) -> None:
        """Radiomics and deep-learning score from the patients whose z-scores are seen, synthetic ones among them."""
        self.lasso_paths_: dict[str, pd.DataFrame] = {}
        self.lasso_alphas_: dict[str, float] = {}
        self.selectors_: dict[str, dict[str, object]] = {}
        counts: list[tuple[str, str, int]] = []
        for block, extracted in columns_of_blocks(X.columns).items():
            counts.append((block, "extracted", len(extracted)))
            if self.left_out:
                counts.append((block, "allowed", len(allowed_columns(extracted, self.left_out))))
            varying = [name for name in extracted if name in seen.means.index]
            score, steps = self._fit_block(block, seen._replace(z=seen.z[varying]), outcome)
            setattr(self, self._image_scores[block], score)
            counts += [(block, step, features) for step, features in steps]
        self.selection_counts_ = selection_counts(counts)

    def _fit_block(
        self, block: str, seen: Standardised, outcome: np.ndarray
    ) -> tuple[LinearScore, list[tuple[str, int]]]:
        """Score of one block, and the features that each step left."""
        lasso = LassoSelector(self.lasso_folds, self.lambda_rule, self.random_state)
        steps = {
            "mann_whitney": MannWhitneySelector(self.p_threshold),
            "spearman": SpearmanSelector(self.spearman_threshold),
            "lasso": lasso,
        }
        selection = select_in_steps(seen.z, outcome, steps)
        self.selectors_[block] = selection.steps
        self.notes_ += [f"{block}, {note}" for note in selection.notes]
        if "lasso" in selection.steps:
            self.lasso_paths_[block], self.lasso_alphas_[block] = lasso.path(), lasso.alpha_
        names = selection.features.columns
        if not len(names):
            self.notes_.append(f"{block}: no feature was selected; the score is 0 for every patient.")
            return NO_SCORE, selection.counts
        weights = lasso.coef_[lasso.support_]
        score = LinearScore.of(names, seen.means[names], seen.scales[names], weights, lasso.intercept_)
        return score, selection.counts

    def selection_tables(self) -> dict[str, pd.DataFrame]:
        """What each step of the selection saw and did, for figures; of the fit itself, not of the model file.

        Returns
        -------
        dict of str to pandas.DataFrame
            Columns of `SELECTION_COLUMNS`. ``screening``: Mann-Whitney's p, whether it kept the feature, and the
            feature that Spearman's step kept instead of it (empty for none). ``lasso_error`` and ``lasso_path``: by
            penalty. Blocks without a feature left have no rows.
        """
        parts: dict[str, list[pd.DataFrame]] = {name: [] for name in SELECTION_COLUMNS}
        for block, steps in self.selectors_.items():
            if "mann_whitney" in steps:
                p_values = steps["mann_whitney"].pvalues_
                removed_by = steps["spearman"].removed_by_ if "spearman" in steps else {}
                screening = pd.DataFrame(
                    {
                        "feature": p_values.index,
                        "p": p_values.to_numpy(),
                        "kept": steps["mann_whitney"].support_,
                        "correlated_with": [removed_by.get(name, "") for name in p_values.index],
                    }
                )
                parts["screening"].append(screening.assign(block=block))
            lasso = steps.get("lasso")
            if lasso is not None and len(lasso.alphas_):
                parts["lasso_error"].append(error_along_path(lasso.path()).assign(block=block, chosen=lasso.alpha_))
                parts["lasso_path"].append(lasso.path_weights().assign(block=block))
        return {
            name: pd.concat(parts[name])[list(columns)] if parts[name] else pd.DataFrame(columns=list(columns))
            for name, columns in SELECTION_COLUMNS.items()
        }
