"""ALARM in a leakage-free order: every step that looks at the outcome is repeated inside the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression

from hccbook.errors import ModelError
from hccbook.features.lasso import (
    LAMBDA_RULES,
    N_PENALTIES,
    choose_penalty,
    cross_validated,
    early_stops_noted,
    lasso_at,
    lasso_weights,
    shortest_penalty,
    stratified_folds,
)
from hccbook.features.selection import (
    MannWhitneySelector,
    SpearmanSelector,
    check_choice,
    check_rarest_class,
    rarest_class,
    select_in_steps,
)
from hccbook.models.development import (
    CLINICAL,
    check_development,
    columns_of_blocks,
    logistic_score,
    probability,
    selection_counts,
    standardise,
)
from hccbook.models.linear_score import NO_SCORE, LinearScore
from hccbook.models.oversampling import NEIGHBOURS, oversample
from hccbook.models.score_model import ScoreModel, covariates_of


class _Chosen(NamedTuple):
    """Features of one block that the filters left in one part of the patients, and what the LASSO learns from."""

    z: pd.DataFrame
    means: pd.Series
    scales: pd.Series
    design: np.ndarray
    target: np.ndarray
    counts: list[tuple[str, int]]


class _Search(NamedTuple):
    """Penalties tried in folds, their errors by fold, the one chosen (infinite for none), and held-out scores at it."""

    penalties: np.ndarray
    errors: np.ndarray
    penalty: float
    scores: np.ndarray


class _Learnt(NamedTuple):
    """Both image scores and their combination, learnt on one part of the patients.

    ``scores`` are those of the part's own patients, each from folds that left the patient out.
    """

    image_scores: dict[str, LinearScore]
    combination: LinearScore
    scores: pd.DataFrame


class NestedAlarmModel(ScoreModel):
    """ALARM with nested cross-validation: the same three covariates, learnt without leakage.

    One step, *learning*, is what `AlarmModel` does, with its order changed:

    1. Inner folds. On the training part of each: z-score, Mann-Whitney and Spearman on real patients,
       Borderline-SMOTE 1, LASSO along a path of penalties. The part held out, real patients only, gives the error
       of each penalty, and each patient's score from a fit that did not see the patient.
    2. The penalty with the least error (or one standard error above it), and the same chain once more on all
       patients with that penalty: the image score.
    3. A logistic regression of the outcome on aMAP and the scores of step 1, real patients only, so at the share of
       HCC that the cohort has.

    `fit` learns on the whole cohort. It also learns anew on the training part of each outer fold and predicts the
    part held out: these out-of-fold probabilities recalibrate the model, and cut-offs are to be chosen on them.

    Parameters
    ----------
    smote : bool
        Whether the LASSO of each fold sees synthetic patients; the filters and all errors never do.
    p_threshold, spearman_threshold, lambda_rule
        As in `AlarmModel`.
    lasso_folds, folds : int
        Inner and outer folds; fewer where a class has fewer patients.
    recalibration : {"platt", "intercept", "off"}
        Intercept and slope of the out-of-fold logits, the intercept alone, or nothing. The slope is that of a
        logistic regression on Platt's targets, (HCC + 1) / (HCC + 2) and 1 / (others + 2) instead of 1 and 0, which
        a few patients can't make steep; the intercept makes the mean risk the share of HCC in either case.
    standardise : bool
        Whether features are standardised, by the training part of each fold; off where they come standardised.
    random_state : int
        Seed of SMOTE and of the folds.

    Attributes
    ----------
    radiomics_score_, deep_score_ : LinearScore
        The two image scores, 0 for the average patient; constant 0 where no feature of the block was selected.
    combination_ : LinearScore
        Recalibrated logit of the probability, of columns amap, radiomics, deep.
    recalibration_ : tuple of float
        Intercept and slope that `combination_` holds already; (0, 1) where there was none.
    out_of_fold_ : pandas.DataFrame
        Development cohort, real patients only, as models that did not see them predict them: columns amap,
        radiomics, deep, alarm (recalibrated probability), y, fold. For these patients it is honest, `scores` is not.
        Not kept in the model file.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; steps extracted, varying, mann_whitney, spearman, lasso, on the whole cohort.
    lasso_paths_ : dict of str to pandas.DataFrame
        By block, columns alpha, error, se, selected. The error is that of patients held out, over that of a model
        without features, so that 1 is worth nothing; empty where the filters left no feature.
    lasso_alphas_ : dict of str to float
        By block, the penalty used; absent where no feature was selected.
    coef_, intercept_, classes_, notes_
        As in `ScoreModel`; every fallback is noted.

    Notes
    -----
    Held-out patients are weighted so that the share of HCC is that which the LASSO saw; without that, the error
    would measure the shift of the mean that SMOTE causes.

    What entered the table before `fit` is out of reach: deep features that a network learnt on outcomes of the same
    cohort have seen the patients whom the folds hold out, and their out-of-fold scores are too good.

    References
    ----------
    ALARM, Methods, for the steps; Varma and Simon 2006, BMC Bioinformatics 7:91, for nesting;
    Wolpert 1992, Neural Netw 5:241, for regressions on out-of-fold scores; Platt 1999, Advances in Large
    Margin Classifiers, 61, for recalibration.
    """

    _file_name, _probability = "nested_alarm", "alarm"
    _image_scores: ClassVar = {"radiomics": "radiomics_score_", "deep": "deep_score_"}
    _saved = (
        "radiomics_score", "deep_score", "combination", "recalibration", "feature_names", "selection_counts",
        "lasso_paths", "lasso_alphas", "notes",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - an estimator has its settings
        self,
        smote: bool = True,
        p_threshold: float = 0.05,
        spearman_threshold: float = 0.9,
        lasso_folds: int = 10,
        lambda_rule: Literal["min", "1se"] = "min",
        folds: int = 5,
        recalibration: Literal["platt", "intercept", "off"] = "platt",
        standardise: bool = True,
        random_state: int = 0,
    ) -> None:
        self.smote = smote
        self.p_threshold = p_threshold
        self.spearman_threshold = spearman_threshold
        self.lasso_folds = lasso_folds
        self.lambda_rule = lambda_rule
        self.folds = folds
        self.recalibration = recalibration
        self.standardise = standardise
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> NestedAlarmModel:
        """Learn the scores, the model and its recalibration on a development cohort.

        Parameters
        ----------
        X, y
            As in `AlarmModel.fit`.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, ``amap`` is absent, or a class has fewer than three patients.
        """
        self._check_settings()
        outcome = check_development(X, y)
        check_rarest_class(outcome, 3, ", so that two are left in every fold")
        self._start(X.columns)
        self.notes_: list[str] = []
        self._in_folds: Counter[str] = Counter()
        counts: list[tuple[str, str, int]] = []
        self.lasso_paths_: dict[str, pd.DataFrame] = {}
        self.lasso_alphas_: dict[str, float] = {}
        learnt = self._learn(X, outcome, self.notes_.append, counts)
        self.selection_counts_ = selection_counts(counts)
        self.radiomics_score_, self.deep_score_ = learnt.image_scores.values()
        self._note_weights(learnt, outcome)

        held, logits = self._predict_held_out(X, outcome)
        self.recalibration_ = self._recalibrate(logits, outcome)
        intercept, slope = self.recalibration_
        plain = learnt.combination
        weights = tuple(slope * weight for weight in plain.coefficients)
        self.combination_ = replace(plain, coefficients=weights, intercept=intercept + slope * plain.intercept)
        self.out_of_fold_ = held.assign(alarm=probability(intercept + slope * logits), y=outcome)[
            [CLINICAL, *self._image_scores, "alarm", "y", "fold"]
        ]
        self.notes_ += [f"{note} (times inside the folds: {times})" for note, times in sorted(self._in_folds.items())]
        del self._in_folds
        return self

    def _check_settings(self) -> None:
        check_choice("lambda_rule", self.lambda_rule, LAMBDA_RULES)
        check_choice("recalibration", self.recalibration, ("platt", "intercept", "off"))
        for name in ("lasso_folds", "folds"):
            if getattr(self, name) < 2:
                raise ModelError(name, "must be 2 or more", getattr(self, name), "Give 2 or more folds.")

    def _in_fold(self, note: str) -> None:
        self._in_folds[note] += 1

    # --- learning ---------------------------------------------------------------------------------------------------

    def _learn(
        self,
        X: pd.DataFrame,
        outcome: np.ndarray,
        note: Callable[[str], object],
        counts: list[tuple[str, str, int]] | None = None,
    ) -> _Learnt:
        """Image scores, and their combination fitted on out-of-fold scores, from these patients alone."""
        splits = list(stratified_folds(self.lasso_folds, outcome, self.random_state, note).split(X, outcome))
        image_scores = {}
        scores = {CLINICAL: X[CLINICAL].to_numpy(dtype=float)}
        for block, extracted in columns_of_blocks(X.columns).items():
            chosen = self._choose(block, X[extracted], outcome, note)
            search = self._search(block, X[extracted], outcome, chosen, splits)
            with _noted_convergence(block, note):
                image_scores[block] = _image_score(chosen, search.penalty)
            names = image_scores[block].names
            if counts is not None:
                self._record(block, chosen, search, len(names))
                steps = [("extracted", len(extracted)), *chosen.counts, ("lasso", len(names))]
                counts += [(block, step, left) for step, left in steps]
            # A table without the block is said once, not again in every fold.
            if not names and (len(extracted) or counts is not None):
                note(f"{block}: no feature was selected; the score is 0 for every patient.")
            scores[block] = search.scores if names else np.zeros(len(X))
        table = pd.DataFrame(scores, index=X.index)
        return _Learnt(image_scores, logistic_score(table, outcome), table)

    def _choose(self, block: str, X: pd.DataFrame, outcome: np.ndarray, note: Callable[[str], object]) -> _Chosen:
        """z-scores of the features that pass the filters on these patients, and what SMOTE makes of them."""
        z, means, scales, constant = standardise(X)
        if constant:
            note(f"{block}: constant columns dropped, the first {constant[0]}.")
        if not self.standardise:
            z, means, scales = X[z.columns], 0.0 * means, 0.0 * scales + 1.0
        filters = {
            "mann_whitney": MannWhitneySelector(self.p_threshold),
            "spearman": SpearmanSelector(self.spearman_threshold),
        }
        selection = select_in_steps(z, outcome, filters)
        z = selection.features
        design, target = z.to_numpy(dtype=float), outcome
        if self.smote and z.shape[1]:
            design, target = self._augment(block, design, outcome, note)
        return _Chosen(z, means[z.columns], scales[z.columns], design, target, selection.counts)

    def _augment(
        self, block: str, design: np.ndarray, outcome: np.ndarray, note: Callable[[str], object]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What Borderline-SMOTE makes of these patients, real ones first."""
        rarest = rarest_class(outcome)
        if rarest < 2:
            note(f"{block}: no SMOTE, the rarer class has {rarest} patient.")
            return design, outcome
        augmented = oversample(design, outcome, self.random_state)
        if augmented.neighbours != NEIGHBOURS:
            note(f"{block}: SMOTE with fewer neighbours than {NEIGHBOURS[0]} and {NEIGHBOURS[1]}.")
        if not augmented.added and 2 * rarest != len(outcome):
            note(f"{block}: SMOTE added nobody, no patient of the rarer class is in danger.")
        return augmented.values, augmented.outcome

    def _search(
        self,
        block: str,
        X: pd.DataFrame,
        outcome: np.ndarray,
        whole: _Chosen,
        splits: list[tuple[np.ndarray, np.ndarray]],
    ) -> _Search:
        """Penalty chosen by the folds, infinite where none is worth it, and each patient's held-out score at it."""
        nothing = _Search(np.empty(0), np.empty((0, len(splits))), float("inf"), np.zeros(len(X)))
        if not whole.z.shape[1]:
            return nothing
        penalties = _penalties(whole)
        scores = np.zeros((len(X), len(penalties)))
        errors = np.ones((len(penalties), len(splits)))
        for fold, (train, held) in enumerate(splits):
            part = self._choose(block, X.iloc[train], outcome[train], self._in_fold)
            if not part.z.shape[1]:
                self._in_fold(f"{block}: no feature passed the filters.")
                continue
            with _noted_convergence(block, self._in_fold):
                weights = lasso_weights(part.design, part.target, penalties)
            z = (X.iloc[held][part.z.columns].to_numpy(dtype=float) - part.means.to_numpy()) / part.scales.to_numpy()
            scores[held] = z @ weights
            predicted = scores[held] + part.target.mean() - part.design.mean(axis=0) @ weights
            errors[:, fold] = _relative_errors(outcome[held], predicted, float(part.target.mean()))
        if errors.mean(axis=1).min() >= 1:
            return nothing._replace(penalties=penalties, errors=errors)
        at = choose_penalty(errors, self.lambda_rule)
        return _Search(penalties, errors, float(penalties[at]), scores[:, at])

    def _record(self, block: str, chosen: _Chosen, search: _Search, selected: int) -> None:
        """Keep how the penalty of the whole cohort's score was chosen."""
        if selected:
            self.lasso_alphas_[block] = search.penalty
        if not len(search.penalties):
            return
        with _noted_convergence(block, self.notes_.append):
            weights = lasso_weights(chosen.design, chosen.target, search.penalties)
        error, se = cross_validated(search.errors)
        self.lasso_paths_[block] = pd.DataFrame(
            {"alpha": search.penalties, "error": error, "se": se, "selected": (weights != 0).sum(axis=0)}
        )

    def _note_weights(self, learnt: _Learnt, outcome: np.ndarray) -> None:
        for name, weight in zip(learnt.combination.names, learnt.combination.coefficients, strict=True):
            if name != CLINICAL and weight < 0:
                self.notes_.append(
                    f"{name}: out of fold the score ranks patients the wrong way; its weight is negative."
                )
        logit = learnt.combination.evaluate(learnt.scores)
        if logit[outcome == 1].min() > logit[outcome == 0].max():
            self.notes_.append("The scores separate the classes: only the L2 penalty holds the weights finite.")

    # --- out of fold ------------------------------------------------------------------------------------------------

    def _predict_held_out(self, X: pd.DataFrame, outcome: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Covariates, outer fold and logit of every patient, from a model learnt on the other folds."""
        values = np.zeros((len(X), 1 + len(self._image_scores)))
        logits, numbers = np.zeros(len(X)), np.zeros(len(X), dtype=int)
        splits = stratified_folds(self.folds, outcome, self.random_state, self.notes_.append)
        for number, (train, held) in enumerate(splits.split(X, outcome)):
            learnt = self._learn(X.iloc[train], outcome[train], self._in_fold)
            covariates = covariates_of(X.iloc[held], learnt.image_scores)
            values[held], numbers[held] = covariates.to_numpy(), number
            logits[held] = learnt.combination.evaluate(covariates)
        return pd.DataFrame(values, index=X.index, columns=[CLINICAL, *self._image_scores]).assign(fold=numbers), logits

    def _recalibrate(self, logits: np.ndarray, outcome: np.ndarray) -> tuple[float, float]:
        """Intercept and slope of the out-of-fold logits; their mean risk is then the share of HCC."""
        if self.recalibration == "off":
            return 0.0, 1.0
        slope = 1.0
        if self.recalibration == "platt":
            if np.ptp(logits) <= 1e-12 * max(1.0, float(np.abs(logits).max())):
                self.notes_.append("Recalibration of the intercept alone: the out-of-fold risks are all equal.")
            elif logits[outcome == 1].mean() <= logits[outcome == 0].mean():
                self.notes_.append(
                    "Recalibration of the intercept alone: out-of-fold risks are no higher in patients with HCC, and "
                    "a slope would turn them round."
                )
            else:
                slope = _platt_slope(logits, outcome)
                if logits[outcome == 1].min() >= logits[outcome == 0].max():
                    self.notes_.append(
                        "The out-of-fold risks separate the classes: only Platt's targets hold the slope finite."
                    )
        scaled = slope * logits
        far = float(np.abs(scaled).max() + abs(np.log(outcome.mean() / (1 - outcome.mean()))) + 1)

        def surplus(shift: float) -> float:
            return float((probability(shift + scaled) - outcome).sum())

        return float(brentq(surplus, -far, far, xtol=1e-13)), slope


def _penalties(chosen: _Chosen) -> np.ndarray:
    """Penalties from the least that keeps no feature down, falling; shorter where features outnumber patients."""
    design, target = chosen.design - chosen.design.mean(axis=0), chosen.target - chosen.target.mean()
    greatest = float(np.abs(design.T @ target).max() / len(target))
    # Where the means of both classes agree in every feature the greatest is 0, and a LASSO with penalty 0 is none.
    return max(greatest, np.finfo(float).tiny) * np.geomspace(1, shortest_penalty(design), N_PENALTIES)


def _image_score(chosen: _Chosen, penalty: float) -> LinearScore:
    """LASSO at one penalty, without its intercept: SMOTE moves that, and by another amount in every fold."""
    if not np.isfinite(penalty):
        return NO_SCORE
    model = lasso_at(penalty, chosen.design, chosen.target)
    kept = model.coef_ != 0
    return LinearScore.of(chosen.z.columns[kept], chosen.means[kept], chosen.scales[kept], model.coef_[kept], 0.0)


def _noted_convergence(block: str, note: Callable[[str], object]) -> AbstractContextManager[None]:
    """Note, once, that descents stopped early."""
    return early_stops_noted(lambda times: note(f"{block}: a LASSO fit stopped before it converged."))


def _relative_errors(outcome: np.ndarray, predicted: np.ndarray, share: float) -> np.ndarray:
    """Squared error by penalty at a share of HCC, over that of predicting the share for everybody."""
    squared = (outcome[:, None] - predicted) ** 2
    error = share * squared[outcome == 1].mean(axis=0) + (1 - share) * squared[outcome == 0].mean(axis=0)
    return error / (share * (1 - share))


def _platt_slope(logits: np.ndarray, outcome: np.ndarray) -> float:
    """Slope of a logistic regression on Platt's targets, which lie a little inside 0 and 1."""
    cases = int(outcome.sum())
    target = np.where(outcome == 1, (cases + 1) / (cases + 2), 1 / (len(outcome) - cases + 2))
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    # A target between 0 and 1 is a patient of either class, with these weights.
    model.fit(np.tile(logits, 2)[:, None], np.repeat([1, 0], len(logits)), np.concatenate([target, 1 - target]))
    return float(model.coef_[0, 0])
