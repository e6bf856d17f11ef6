"""aMAP-CT: a CT image score of liver and spleen, and aMAP, in one logistic regression; and the models nested in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.features.lasso import PATH_COLUMNS, LassoSelector, weights_along_path
from hccbook.features.selection import select_in_steps
from hccbook.models.development import (
    CLINICAL,
    Standardised,
    allowed_columns,
    check_development,
    logistic_score,
    phase_organ_name,
    selection_counts,
    standardise_allowed,
)
from hccbook.models.linear_score import NO_SCORE, LinearScore
from hccbook.models.score_model import JsonModel, ScoreModel, settings_of
from hccbook.settings import ORGANS

SPLEEN_VOLUME = "spleen_volume_ml"
"""Column of the spleen's volume, mL, as the label maps give it."""


class _Member(NamedTuple):
    """What a model takes beside aMAP: organs of its CT image score, and columns of the last regression."""

    organs: tuple[str, ...]
    covariates: tuple[str, ...] = ()


FAMILY: Mapping[str, _Member] = MappingProxyType(
    {
        "amap": _Member(()),
        "amap_liver": _Member(("liver",)),
        "amap_spleen": _Member(("spleen",)),
        "amap_ct": _Member(ORGANS),
        "amap_volume": _Member((), (SPLEEN_VOLUME,)),
        "amap_ct_volume": _Member(ORGANS, (SPLEEN_VOLUME,)),
    }
)
"""Models that aMAP-CT is compared with, aMAP-CT among them (aMAP-CT, Fig. 1; Supplementary Tables 5 and 8)."""


class AmapCtModel(ScoreModel):
    """aMAP-CT model of the three-year risk of HCC.

    On the development cohort alone: z-score; LASSO over all image features of the chosen organs; a logistic
    regression on the selected ones, whose standardised linear predictor is the CT image score; a second
    logistic regression on CT image score and standardised aMAP, whose linear predictor is the aMAP-CT score.
    No class weights.

    Parameters
    ----------
    organs : sequence of str
        Organs whose features enter: liver and spleen, one of them, or none (aMAP alone).
    lasso_folds : int
        Folds that choose the LASSO penalty.
    lambda_rule : {"min", "1se"}
        Penalty with the least cross-validated error, or the largest within one standard error of it.
    random_state : int
        Seed of the folds.
    covariates : sequence of str
        Columns beside ``amap`` that enter the last regression, standardised, such as the spleen's volume.
    left_out : sequence of str
        Features that the LASSO does not see, such as those of `hccbook.features.selection.unreliable_features`.

    Attributes
    ----------
    image_score_ : LinearScore
        CT image score, mean 0 and SD 1 in the development cohort; constant 0 where no feature was selected.
    image_logistic_ : LinearScore
        The first regression before standardising: logit of the probability from the image alone.
    combination_ : LinearScore
        aMAP-CT score, of columns ct_image and amap, and the covariates.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; blocks are the organs; steps extracted, allowed (where some are left out),
        varying, lasso.
    lasso_path_ : pandas.DataFrame
        Columns alpha, mse, se, selected; empty where there was no feature.
    lasso_alpha_ : float or None
        Penalty used; None where there was no feature.
    lasso_weights_ : pandas.DataFrame
        Columns feature, penalty, coefficient: weights along the path, of the features that are ever chosen.
    coef_, intercept_, classes_, notes_
        As in `ScoreModel`.

    Notes
    -----
    With raw aMAP around 58 the printed formula ``0.52 x CT image score + 1.07 x aMAP score - 4.26`` would give
    about 58, so that aMAP must have been standardised: an assumption, as is the CT image score's scale.

    References
    ----------
    aMAP-CT, Methods, Data and modeling; Results, Model construction.
    """

    _file_name = _probability = "amap_ct"
    _image_scores: ClassVar = {"ct_image": "image_score_"}
    _saved = (
        "image_score", "image_logistic", "combination", "feature_names", "selection_counts", "lasso_path",
        "lasso_alpha", "lasso_weights", "notes",
    )  # fmt: skip

    def __init__(
        self,
        organs: Sequence[str] = ORGANS,
        lasso_folds: int = 3,
        lambda_rule: Literal["min", "1se"] = "min",
        random_state: int = 0,
        covariates: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> None:
        self.organs = organs
        self.lasso_folds = lasso_folds
        self.lambda_rule = lambda_rule
        self.random_state = random_state
        self.covariates = covariates
        self.left_out = left_out

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> AmapCtModel:
        """Learn the scores and the model on a development cohort.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_features + 1)
            Columns ``<phase>.<organ>.<name>``, ``amap`` and the covariates; features of other organs are ignored.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, ``amap``, a covariate or an organ's features are absent, or a class has
            fewer than two patients.
        """
        outcome = check_development(X, y)
        self._check_covariates(X)
        self._fit_image(X, outcome)
        self._fit_combination(X, outcome)
        return self

    def _check_covariates(self, X: pd.DataFrame) -> None:
        for name in self.covariates:
            if name not in X.columns:
                raise ModelError("features", f"must have a column {name!r}", "none", "Add it, or leave it out.")

    def _fit_image(self, X: pd.DataFrame, outcome: np.ndarray) -> None:
        of_organs = self._columns_of_organs(X)
        self.notes_: list[str] = []
        self.image_score_ = self.image_logistic_ = NO_SCORE
        self.lasso_path_ = pd.DataFrame(columns=list(PATH_COLUMNS), dtype=float)
        self.lasso_alpha_: float | None = None
        self.lasso_weights_ = weights_along_path((), (), ())
        used = {name for names in of_organs.values() for name in names}
        columns = [name for name in X.columns if name in used]
        steps = {"extracted": columns}
        if self.left_out:
            steps["allowed"] = allowed_columns(columns, self.left_out)
        standardised = standardise_allowed(X[columns], self.left_out, self.notes_)
        steps["varying"] = standardised.z.columns
        steps["lasso"] = self._fit_image_score(standardised, outcome) if columns else ()
        self.selection_counts_ = selection_counts(
            [
                (organ, step, len(set(names).intersection(left)))
                for organ, names in of_organs.items()
                for step, left in steps.items()
            ]
        )

    def _fit_combination(self, X: pd.DataFrame, outcome: np.ndarray) -> None:
        self._start(X.columns)
        self.combination_ = logistic_score(self._covariates(X), outcome)

    def _fit_beside(self, other: AmapCtModel, X: pd.DataFrame, outcome: np.ndarray) -> AmapCtModel:
        """Fit with the image score of a model of the same organs, settings and patients: its LASSO runs once."""
        vars(self).update({name: value for name, value in vars(other).items() if name.endswith("_")})
        self._fit_combination(X, outcome)
        return self

    def _columns_of_organs(self, X: pd.DataFrame) -> dict[str, list[str]]:
        _check_names("organs", self.organs, ORGANS)
        by_organ: dict[str, list[str]] = {organ: [] for organ in self.organs}
        for name in X.columns[~X.columns.isin([CLINICAL, *self.covariates])]:
            organ = phase_organ_name(name)[1]
            if organ in by_organ:
                by_organ[organ].append(name)
        empty = [organ for organ, names in by_organ.items() if not names]
        if empty:
            rule = f"must have columns <phase>.{empty[0]}.<name>"
            raise ModelError("features", rule, "none", f"Extract them, or leave {empty[0]} out.")
        return by_organ

    def _fit_image_score(self, standardised: Standardised, outcome: np.ndarray) -> tuple[str, ...]:
        """Image score; returns the features that it takes."""
        z, means, scales, _ = standardised
        if not z.shape[1]:
            self.notes_.append("CT image score: no feature varies; the score is 0 for every patient.")
            return ()
        lasso = LassoSelector(self.lasso_folds, self.lambda_rule, self.random_state)
        selection = select_in_steps(z, outcome, {"lasso": lasso})
        self.notes_ += selection.notes
        self.lasso_path_, self.lasso_alpha_, self.lasso_weights_ = lasso.path(), lasso.alpha_, lasso.path_weights()
        names = list(selection.features.columns)
        if not names:
            self.notes_.append("CT image score: no feature was selected; the score is 0 for every patient.")
            return ()
        regression = logistic_score(selection.features, outcome)
        weights = np.array(regression.coefficients)
        self.image_logistic_ = LinearScore.of(names, means[names], scales[names], weights, regression.intercept)
        logit = self.image_logistic_.evaluate(z * scales + means)
        centre, spread = float(logit.mean()), float(logit.std())
        self.image_score_ = replace(
            self.image_logistic_,
            coefficients=tuple((weights / spread).tolist()),
            intercept=(regression.intercept - centre) / spread,
        )
        return self.image_score_.names

    def _covariates(self, X: pd.DataFrame) -> pd.DataFrame:
        self._check_covariates(X)
        scores = super()._covariates(X)[["ct_image", CLINICAL]]
        return scores.assign(**{name: X[name].to_numpy(dtype=float) for name in self.covariates})

    def formula(self, digits: int = 2) -> str:
        """The aMAP-CT score in the paper's form; aMAP is standardised by the development cohort."""
        check_is_fitted(self, "combination_")

        def signed(value: float, what: str = "") -> str:
            return f"{'-' if value < 0 else '+'} {abs(value):.{digits}f}{what}"

        image, clinical, *others = self.coef_[0]
        covariates = zip(self.covariates, others, strict=True)
        beside = "".join(f"{signed(weight, f' x {name}')} " for name, weight in covariates)
        return (
            f"aMAP-CT score = {image:.{digits}f} x CT image score "
            f"{signed(clinical, ' x aMAP score')} {beside}{signed(self.intercept_[0])}"
        )

    @classmethod
    def _of_content(cls, content: Mapping[str, Any]) -> Self:
        # Files of earlier versions have no weights along the path.
        none = {"lasso_weights": {"features": (), "penalties": (), "weights": ()}}
        return super()._of_content(none | content)


class AmapCtFamily(JsonModel):
    """aMAP-CT and the models nested in it, fitted on one development cohort.

    Each member is an `AmapCtModel`; members with the same organs share one LASSO. The member ``amap`` is a logistic
    regression on aMAP alone: it gives aMAP a probability, which calibration, decision curves and reclassification
    need, and ranks patients as aMAP itself does, or the other way round where a small cohort turns its sign.

    Parameters
    ----------
    members : sequence of str
        Names out of `FAMILY`.
    lasso_folds, lambda_rule, random_state, left_out
        As in `AmapCtModel`, the same for all members.

    Attributes
    ----------
    models_ : dict of str to AmapCtModel
        By member.

    References
    ----------
    aMAP-CT, Results, Discrimination; Discussion (overfitting of the model without the spleen; spleen volume).
    """

    _file_name = "amap_ct_family"

    def __init__(
        self,
        members: Sequence[str] = tuple(FAMILY),
        lasso_folds: int = 3,
        lambda_rule: Literal["min", "1se"] = "min",
        random_state: int = 0,
        left_out: Sequence[str] = (),
    ) -> None:
        self.members = members
        self.lasso_folds = lasso_folds
        self.lambda_rule = lambda_rule
        self.random_state = random_state
        self.left_out = left_out

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> AmapCtFamily:
        """Learn every member on a development cohort.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Columns ``<phase>.<organ>.<name>``, ``amap``, and ``spleen_volume_ml`` where a member takes it.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError, ModelError
            As `AmapCtModel.fit`, or if a member is unknown or there twice.
        """
        _check_names("members", self.members, FAMILY)
        if not self.members:
            raise ModelError("members", "must be one or more", "none", f"Give some of {', '.join(FAMILY)}.")
        outcome = check_development(X, y)
        extra = {name for member in FAMILY.values() for name in member.covariates} & set(X.columns)
        first: dict[tuple[str, ...], AmapCtModel] = {}
        self.models_: dict[str, AmapCtModel] = {}
        for name in self.members:
            organs, covariates = FAMILY[name]
            model = AmapCtModel(
                organs, self.lasso_folds, self.lambda_rule, self.random_state, covariates, self.left_out
            )
            own = X.drop(columns=sorted(extra - set(covariates)))
            if organs in first:
                self.models_[name] = model._fit_beside(first[organs], own, outcome)
            else:
                self.models_[name] = first[organs] = model.fit(own, outcome)
        return self

    def probabilities(self, X: pd.DataFrame) -> pd.DataFrame:
        """Probability of HCC from every member.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features, ``amap`` and the covariates.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, n_members)
            0 to 1; a higher value means a higher risk. What is refused, `ScoreModel.scores` says.
        """
        check_is_fitted(self, "models_")
        return pd.DataFrame({name: model.predict_proba(X)[:, 1] for name, model in self.models_.items()}, index=X.index)

    @property
    def image_features(self) -> tuple[str, ...]:
        """Image features that any member's score is made of."""
        return tuple(dict.fromkeys(name for model in self.models_.values() for name in model.image_features))

    def weights(self) -> pd.DataFrame:
        """Weights of every member's last regression.

        Returns
        -------
        pandas.DataFrame
            Columns model, term (ct_image, amap, covariates, intercept), weight (of the standardised term: log odds a
            standard deviation), features (in the CT image score).
        """
        check_is_fitted(self, "models_")
        rows = [
            (name, term, weight, len(model.image_score_.names))
            for name, model in self.models_.items()
            for term, weight in (
                *zip(model.combination_.names, model.combination_.coefficients, strict=True),
                ("intercept", model.combination_.intercept),
            )
            # Without features the CT image score is 0 for everybody, and its weight says nothing.
            if term != "ct_image" or model.image_score_.names
        ]
        return pd.DataFrame(rows, columns=["model", "term", "weight", "features"])

    def _content(self) -> dict[str, Any]:
        check_is_fitted(self, "models_")
        members = {name: model._content() for name, model in self.models_.items()}
        return {"parameters": self.get_params(), "members": members}

    @classmethod
    def _of_content(cls, content: Mapping[str, Any]) -> Self:
        family = cls(**settings_of(cls, content["parameters"]))
        _check_names("members", family.members, FAMILY)
        family.models_ = {name: AmapCtModel._of_content(content["members"][name]) for name in family.members}
        return family


def _check_names(setting: str, names: Sequence[str], known: Collection[str]) -> None:
    if isinstance(names, str) or not set(names) <= set(known) or len(set(names)) < len(names):
        rule = f"must be different ones of {', '.join(known)}"
        raise ModelError(setting, rule, repr(names), "Give a tuple of names.")
