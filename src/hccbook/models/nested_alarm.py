"""ALARM in a leakage-free order: every step that looks at the outcome is repeated inside the folds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from imblearn.over_sampling import BorderlineSMOTE
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LogisticRegression, lasso_path
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.features.selection import MannWhitneySelector, SpearmanSelector
from hccbook.models.development import (
    CLINICAL,
    check_development,
    logistic_score,
    probability,
    selection_counts,
    standardise,
)
from hccbook.models.linear_score import LinearScore
from hccbook.models.three_scores import ThreeScoreModel

BLOCKS = ("radiomics", "deep")
"""Feature blocks, each with a score of its own; deep features have ``.deep_`` in their name."""

MIN_CASES = 3
"""Fewest patients of a class that leave two of them in every training part of the folds."""

_DEEP = ".deep_"
_NEIGHBOURS = 5
_DANGER_NEIGHBOURS = 10
_PENALTIES = 100
_MAX_SWEEPS = 5000
_FINAL_TOLERANCE = 1e-8


@dataclass(frozen=True)
class _Chosen:
    """Features of one block that the filters left in one part of the patients, and what the LASSO learns from."""

    z: pd.DataFrame
    means: pd.Series
    scales: pd.Series
    design: np.ndarray
    target: np.ndarray
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Learnt:
    """Both image scores and their combination, learnt on one part of the patients.

    ``scores`` are those of the part's own patients, each from folds that left the patient out.
    """

    image_scores: dict[str, LinearScore]
    combination: LinearScore
    scores: pd.DataFrame

    def covariates(self, X: pd.DataFrame) -> pd.DataFrame:
        columns = {CLINICAL: X[CLINICAL].to_numpy(dtype=float)}
        columns |= {block: score.evaluate(X) for block, score in self.image_scores.items()}
        return pd.DataFrame(columns, index=X.index)


class NestedAlarmModel(ThreeScoreModel):
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
    p_threshold : float
        Mann-Whitney p below which a feature stays.
    spearman_threshold : float
        Absolute Spearman correlation above which one of two features goes.
    lasso_folds : int
        Inner folds; fewer where a class has fewer patients.
    lambda_rule : {"min", "1se"}
        Penalty with the least cross-validated error, or the largest within one standard error of it.
    folds : int
        Outer folds; fewer where a class has fewer patients.
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
    coef_ : numpy.ndarray, shape (1, 3)
        Weights of the standardised amap, radiomics and deep.
    intercept_ : numpy.ndarray, shape (1,)
        Intercept of the combination.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    out_of_fold_ : pandas.DataFrame
        Development cohort, real patients only, as models that did not see them predict them: columns amap,
        radiomics, deep, alarm (recalibrated probability), y, fold. Not kept in the model file.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; steps extracted, varying, mann_whitney, spearman, lasso, on the whole cohort.
    lasso_paths_ : dict of str to pandas.DataFrame
        By block, columns alpha, error, se, selected. The error is that of patients held out, over that of a model
        without features, so that 1 is worth nothing; empty where the filters left no feature.
    lasso_alphas_ : dict of str to float
        By block, the penalty used; absent where no feature was selected.
    notes_ : list of str
        What a reader should know about the fit, every fallback among it.

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

    _file_name = "nested_alarm"

    def __init__(
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
        X : pandas.DataFrame, shape (n_patients, n_features + 1)
            Columns ``<phase>.<organ>.<name>`` and ``amap``; deep features are those with ``.deep_`` in their name.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, ``amap`` is absent, or a class has fewer than three patients.
        """
        self._check_settings()
        X, outcome = check_development(X, y)
        rarest = int(min(outcome.sum(), len(outcome) - outcome.sum()))
        if rarest < MIN_CASES:
            raise ModelError(
                "outcome",
                f"must have {MIN_CASES} patients or more in each class, so that two are left in every fold",
                rarest,
                "Add patients.",
            )
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.array([0, 1])
        self.notes_: list[str] = []
        self._in_folds: Counter[str] = Counter()
        counts: list[tuple[str, str, int]] = []
        self.lasso_paths_: dict[str, pd.DataFrame] = {}
        self.lasso_alphas_: dict[str, float] = {}
        learnt = self._learn(X, outcome, self.notes_.append, counts)
        self.selection_counts_ = selection_counts(counts)
        self.radiomics_score_, self.deep_score_ = (learnt.image_scores[block] for block in BLOCKS)
        self._note_weights(learnt, outcome)

        held, logits = self._predict_held_out(X, outcome)
        self.recalibration_ = self._recalibrate(logits, outcome)
        intercept, slope = self.recalibration_
        plain = learnt.combination
        self.combination_ = LinearScore.of(
            plain.names,
            plain.means,
            plain.scales,
            [slope * weight for weight in plain.coefficients],
            intercept + slope * plain.intercept,
        )
        self._expose_weights()
        self.out_of_fold_ = held.assign(alarm=probability(intercept + slope * logits), y=outcome)[
            [CLINICAL, *BLOCKS, "alarm", "y", "fold"]
        ]
        self.notes_ += [f"{note} (times inside the folds: {times})" for note, times in sorted(self._in_folds.items())]
        del self._in_folds
        return self

    def _check_settings(self) -> None:
        for name, allowed in (("lambda_rule", ("min", "1se")), ("recalibration", ("platt", "intercept", "off"))):
            value = getattr(self, name)
            if value not in allowed:
                rule = f"must be one of {', '.join(map(repr, allowed))}"
                raise ModelError(name, rule, repr(value), "Choose one of them.")
        for name in ("lasso_folds", "folds"):
            if getattr(self, name) < 2:
                raise ModelError(name, "must be 2 or more", getattr(self, name), "Give 2 or more folds.")

    def _splits(self, folds: int, outcome: np.ndarray, note: Callable[[str], object]) -> StratifiedKFold:
        rarest = int(min(outcome.sum(), len(outcome) - outcome.sum()))
        if rarest < folds:
            note(f"{rarest} folds instead of {folds}: the rarer class has {rarest} patients.")
        return StratifiedKFold(min(folds, rarest), shuffle=True, random_state=self.random_state)

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
        columns = X.columns[X.columns != CLINICAL]
        deep = columns.str.contains(_DEEP, regex=False)
        splits = list(self._splits(self.lasso_folds, outcome, note).split(X, outcome))
        image_scores = {}
        scores = {CLINICAL: X[CLINICAL].to_numpy(dtype=float)}
        for block, extracted in zip(BLOCKS, (columns[~deep], columns[deep]), strict=True):
            chosen = self._choose(block, X[extracted], outcome, note)
            penalty, scores[block] = self._cross_validate(block, X[extracted], outcome, chosen, splits, counts)
            with _noted_convergence(block, note):
                image_scores[block] = _image_score(chosen, penalty)
            if not image_scores[block].names:
                # A table without the block is said once, not again in every fold.
                if len(extracted) or counts is not None:
                    note(f"{block}: no feature was selected; the score is 0 for every patient.")
                scores[block] = np.zeros(len(X))
            if counts is not None:
                if image_scores[block].names:
                    self.lasso_alphas_[block] = penalty
                steps = [("extracted", len(extracted)), *chosen.counts, ("lasso", len(image_scores[block].names))]
                counts += [(block, step, left) for step, left in steps]
        table = pd.DataFrame(scores, index=X.index)
        return _Learnt(image_scores, logistic_score(table, outcome), table)

    def _choose(self, block: str, X: pd.DataFrame, outcome: np.ndarray, note: Callable[[str], object]) -> _Chosen:
        """z-scores of the features that pass the filters on these patients, and what SMOTE makes of them."""
        z, means, scales, constant = standardise(X)
        if constant:
            note(f"{block}: constant columns dropped, the first {constant[0]}.")
        if not self.standardise:
            z, means, scales = X[z.columns], 0.0 * means, 0.0 * scales + 1.0
        counts = [("varying", z.shape[1])]
        for step, selector in (
            ("mann_whitney", MannWhitneySelector(self.p_threshold)),
            ("spearman", SpearmanSelector(self.spearman_threshold)),
        ):
            if z.shape[1]:
                z = z.loc[:, selector.fit(z, outcome).get_support()]
            counts.append((step, z.shape[1]))
        design, target = z.to_numpy(dtype=float), outcome
        if self.smote and z.shape[1]:
            design, target = self._augment(block, design, outcome, note)
        return _Chosen(z, means[z.columns], scales[z.columns], design, target, tuple(counts))

    def _augment(
        self, block: str, design: np.ndarray, outcome: np.ndarray, note: Callable[[str], object]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Borderline-SMOTE 1 until both classes are equal; real patients first."""
        cases = int(outcome.sum())
        rarest = min(cases, len(outcome) - cases)
        if rarest < 2:
            note(f"{block}: no SMOTE, the rarer class has {rarest} patient.")
            return design, outcome
        neighbours, around = min(_NEIGHBOURS, rarest - 1), min(_DANGER_NEIGHBOURS, len(design) - 1)
        if (neighbours, around) != (_NEIGHBOURS, _DANGER_NEIGHBOURS):
            note(f"{block}: SMOTE with fewer neighbours than {_NEIGHBOURS} and {_DANGER_NEIGHBOURS}.")
        smote = BorderlineSMOTE(
            kind="borderline-1", k_neighbors=neighbours, m_neighbors=around, random_state=self.random_state
        )
        values, augmented = smote.fit_resample(design, outcome)
        if len(values) == len(design) and 2 * cases != len(outcome):
            note(f"{block}: SMOTE added nobody, no patient of the rarer class is in danger.")
        return values, augmented

    def _cross_validate(
        self,
        block: str,
        X: pd.DataFrame,
        outcome: np.ndarray,
        whole: _Chosen,
        splits: list[tuple[np.ndarray, np.ndarray]],
        counts: list[tuple[str, str, int]] | None,
    ) -> tuple[float, np.ndarray]:
        """Penalty chosen by the folds, infinite where none is worth it, and each patient's held-out score at it."""
        if not whole.z.shape[1]:
            return float("inf"), np.zeros(len(X))
        penalties = _penalties(whole)
        scores = np.zeros((len(X), len(penalties)))
        errors = np.ones((len(penalties), len(splits)))
        for fold, (train, held) in enumerate(splits):
            part = self._choose(block, X.iloc[train], outcome[train], self._in_fold)
            if not part.z.shape[1]:
                self._in_fold(f"{block}: no feature passed the filters.")
                continue
            with _noted_convergence(block, self._in_fold):
                weights = _path(part, penalties)
            z = (X.iloc[held][part.z.columns].to_numpy(dtype=float) - part.means.to_numpy()) / part.scales.to_numpy()
            scores[held] = z @ weights
            predicted = scores[held] + part.target.mean() - part.design.mean(axis=0) @ weights
            errors[:, fold] = _relative_errors(outcome[held], predicted, float(part.target.mean()))
        error = errors.mean(axis=1)
        se = errors.std(axis=1, ddof=1) / np.sqrt(len(splits))
        if counts is not None:
            with _noted_convergence(block, self.notes_.append):
                weights = _path(whole, penalties)
            self.lasso_paths_[block] = pd.DataFrame(
                {"alpha": penalties, "error": error, "se": se, "selected": (weights != 0).sum(axis=0)}
            )
        least = int(np.argmin(error))
        if error[least] >= 1:
            return float("inf"), np.zeros(len(X))
        within = int(np.flatnonzero(error <= error[least] + se[least])[0])
        at = least if self.lambda_rule == "min" else within
        return float(penalties[at]), scores[:, at]

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
        values, logits, numbers = np.zeros((len(X), 1 + len(BLOCKS))), np.zeros(len(X)), np.zeros(len(X), dtype=int)
        splits = self._splits(self.folds, outcome, self.notes_.append)
        for number, (train, held) in enumerate(splits.split(X, outcome)):
            learnt = self._learn(X.iloc[train], outcome[train], self._in_fold)
            covariates = learnt.covariates(X.iloc[held])
            values[held], numbers[held] = covariates.to_numpy(), number
            logits[held] = learnt.combination.evaluate(covariates)
        return pd.DataFrame(values, index=X.index, columns=[CLINICAL, *BLOCKS]).assign(fold=numbers), logits

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

    # --- prediction -------------------------------------------------------------------------------------------------

    def scores(self, X: pd.DataFrame) -> pd.DataFrame:
        """Scores of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features and ``amap``; other columns are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 4)
            Columns amap, radiomics, deep (scores) and alarm (probability); higher means a higher risk. For patients
            of the development cohort `out_of_fold_` is honest, this is not.

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
        image_scores = {"radiomics": self.radiomics_score_, "deep": self.deep_score_}
        covariates = _Learnt(image_scores, self.combination_, pd.DataFrame()).covariates(X)
        return covariates.assign(alarm=probability(self.combination_.evaluate(covariates)))

    def _own_content(self) -> dict[str, object]:
        return {"recalibration": list(self.recalibration_)}

    def _restore(self, content: dict[str, object]) -> None:
        self.recalibration_ = tuple(content["recalibration"])


def _penalties(chosen: _Chosen) -> np.ndarray:
    """Penalties from the least that keeps no feature down, falling; shorter where features outnumber patients."""
    design, target = chosen.design - chosen.design.mean(axis=0), chosen.target - chosen.target.mean()
    greatest = float(np.abs(design.T @ target).max() / len(target))
    shortest = 1e-2 if design.shape[0] < design.shape[1] else 1e-3
    # Where the means of both classes agree in every feature the greatest is 0, and a LASSO with penalty 0 is none.
    return max(greatest, np.finfo(float).tiny) * np.geomspace(1, shortest, _PENALTIES)


def _path(chosen: _Chosen, penalties: np.ndarray) -> np.ndarray:
    """Weights by feature and penalty."""
    _, weights, _ = lasso_path(
        np.asfortranarray(chosen.design - chosen.design.mean(axis=0)),
        np.ascontiguousarray(chosen.target - chosen.target.mean()),
        alphas=penalties,
        max_iter=_MAX_SWEEPS,
        # Checked when the filters were fitted; here it would be checked again for every penalty.
        check_input=False,
    )
    return weights


def _image_score(chosen: _Chosen, penalty: float) -> LinearScore:
    """LASSO at one penalty, without its intercept: SMOTE moves that, and by another amount in every fold."""
    if not np.isfinite(penalty):
        return LinearScore.of((), (), (), (), 0.0)
    model = Lasso(penalty, tol=_FINAL_TOLERANCE, max_iter=20 * _MAX_SWEEPS).fit(chosen.design, chosen.target)
    kept = model.coef_ != 0
    return LinearScore.of(chosen.z.columns[kept], chosen.means[kept], chosen.scales[kept], model.coef_[kept], 0.0)


@contextmanager
def _noted_convergence(block: str, note: Callable[[str], object]) -> Iterator[None]:
    """Turn the warning that a descent stopped early into a note; other warnings go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield
    for one in caught:
        if not issubclass(one.category, ConvergenceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        note(f"{block}: a LASSO fit stopped before it converged.")


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
