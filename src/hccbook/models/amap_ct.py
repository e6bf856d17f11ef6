"""aMAP-CT: a CT image score of liver and spleen, and aMAP, in one logistic regression; and the models nested in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.features.selection import LassoSelector
from hccbook.models.development import (
    CLINICAL,
    allowed_columns,
    check_development,
    logistic_score,
    phase_organ_name,
    probability,
    selection_counts,
    standardise,
)
from hccbook.models.linear_score import LinearScore
from hccbook.models.model_file import read_model, write_model
from hccbook.settings import ORGANS

SPLEEN_VOLUME = "spleen_volume_ml"
"""Column of the spleen's volume, mL, as the label maps give it."""

_LISTS = ("organs", "covariates", "left_out")


class FamilyMember(NamedTuple):
    """What one model of the family takes beside aMAP.

    Attributes
    ----------
    organs : tuple of str
        Organs whose features make its CT image score.
    covariates : tuple of str
        Columns that enter the last regression as they are.
    """

    organs: tuple[str, ...]
    covariates: tuple[str, ...] = ()


FAMILY: Mapping[str, FamilyMember] = MappingProxyType(
    {
        "amap": FamilyMember(()),
        "amap_liver": FamilyMember(("liver",)),
        "amap_spleen": FamilyMember(("spleen",)),
        "amap_ct": FamilyMember(ORGANS),
        "amap_volume": FamilyMember((), (SPLEEN_VOLUME,)),
        "amap_ct_volume": FamilyMember(ORGANS, (SPLEEN_VOLUME,)),
    }
)
"""Models that aMAP-CT is compared with, aMAP-CT among them (aMAP-CT, Fig. 1; Supplementary Tables 5 and 8)."""


class AmapCtModel(ClassifierMixin, BaseEstimator):
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
    coef_ : numpy.ndarray, shape (1, 2 + n_covariates)
        Weights of the standardised CT image score, aMAP and covariates.
    intercept_ : numpy.ndarray, shape (1,)
        Intercept of the aMAP-CT score.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; blocks are the organs; steps extracted, allowed (where some are left out),
        varying, lasso.
    lasso_path_ : pandas.DataFrame
        Columns alpha, mse, se, selected; empty where there was no feature.
    lasso_alpha_ : float or None
        Penalty used; None where there was no feature.
    lasso_weights_ : pandas.DataFrame
        Columns feature, penalty, coefficient: weights along the path, of the features that are ever chosen.
    notes_ : list of str
        What a reader should know about the fit.

    Notes
    -----
    With raw aMAP around 58 the printed formula ``0.52 x CT image score + 1.07 x aMAP score - 4.26`` would give
    about 58, so that aMAP must have been standardised: an assumption, as is the CT image score's scale.

    References
    ----------
    aMAP-CT, Methods, Data and modeling; Results, Model construction.
    """

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
        X, outcome = check_development(X, y)
        self._check_covariates(X)
        self._fit_image(X, outcome)
        self._fit_combination(X, outcome)
        return self

    def _check_covariates(self, X: pd.DataFrame) -> None:
        for name in self.covariates:
            if name not in X.columns:
                raise ModelError("features", f"must have a column {name!r}", "none", "Add it, or leave it out.")

    def _fit_image(self, X: pd.DataFrame, outcome: np.ndarray) -> None:
        chosen = self._columns_of_organs(X)
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.array([0, 1])
        self.notes_: list[str] = []
        self.image_score_ = self.image_logistic_ = LinearScore.of((), (), (), (), 0.0)
        self.lasso_path_ = pd.DataFrame({"alpha": [], "mse": [], "se": [], "selected": []}).astype({"selected": int})
        self.lasso_alpha_: float | None = None
        self.lasso_weights_ = _along_path((), (), ())
        used = {name for names in chosen.values() for name in names}
        columns = allowed_columns([name for name in X.columns if name in used], self.left_out)
        if len(columns) < len(used):
            self.notes_.append(f"{len(used) - len(columns)} features left out before any step.")
        varying, kept = (), ()
        if columns:
            z, means, scales, constant = standardise(X[columns])
            varying = z.columns
            if constant:
                self.notes_.append(f"{len(constant)} constant columns dropped, the first {constant[0]}.")
            kept = self._fit_image_score(z, outcome, means, scales)
        rows = []
        for organ, names in chosen.items():
            allowed = (("allowed", columns),) if self.left_out else ()
            for step, left in (("extracted", names), *allowed, ("varying", varying), ("lasso", kept)):
                rows.append((organ, step, len(set(names) & set(left))))
        self.selection_counts_ = selection_counts(rows)

    def _fit_combination(self, X: pd.DataFrame, outcome: np.ndarray) -> None:
        self.combination_ = logistic_score(self._entering(X), outcome)
        self._expose_weights()

    def _take_image(self, other: AmapCtModel) -> None:
        """The image score of a model with the same organs and settings, so that the LASSO runs once."""
        for name in (
            "image_score_", "image_logistic_", "lasso_path_", "lasso_alpha_", "lasso_weights_", "selection_counts_",
            "classes_",
        ):  # fmt: skip
            setattr(self, name, getattr(other, name))
        self.notes_ = list(other.notes_)

    def _columns_of_organs(self, X: pd.DataFrame) -> dict[str, list[str]]:
        unknown = [organ for organ in self.organs if organ not in ORGANS]
        if isinstance(self.organs, str) or unknown or len(set(self.organs)) != len(self.organs):
            raise ModelError(
                "organs", f"must be different ones of {', '.join(ORGANS)}", repr(self.organs), "Give a tuple of names."
            )
        by_organ: dict[str, list[str]] = {organ: [] for organ in self.organs}
        for name in X.columns[~X.columns.isin([CLINICAL, *self.covariates])]:
            organ = phase_organ_name(name)[1]
            if organ in by_organ:
                by_organ[organ].append(name)
        empty = [organ for organ, names in by_organ.items() if not names]
        if empty:
            raise ModelError(
                "features",
                f"must have columns <phase>.{empty[0]}.<name>",
                "none",
                f"Extract them, or leave {empty[0]} out.",
            )
        return by_organ

    def _fit_image_score(
        self, z: pd.DataFrame, outcome: np.ndarray, means: pd.Series, scales: pd.Series
    ) -> tuple[str, ...]:
        if not z.shape[1]:
            self.notes_.append("CT image score: no feature varies; the score is 0 for every patient.")
            return ()
        lasso = LassoSelector(self.lasso_folds, self.lambda_rule, self.random_state).set_output(transform="pandas")
        selected = lasso.fit(z, outcome).transform(z)
        self.notes_.extend(f"lasso: {note}" for note in lasso.notes_)
        self.lasso_path_, self.lasso_alpha_ = lasso.path(), lasso.alpha_
        self.lasso_weights_ = _along_path(lasso.path_names_, lasso.alphas_, lasso.coef_path_)
        names = tuple(selected.columns)
        if not names:
            self.notes_.append("CT image score: no feature was selected; the score is 0 for every patient.")
            return ()
        regression = logistic_score(selected, outcome)
        weights = np.array(regression.coefficients)
        own = LinearScore.of(names, means[list(names)], scales[list(names)], weights, regression.intercept)
        logit = own.evaluate(z * scales + means)
        centre, spread = float(logit.mean()), float(logit.std())
        self.image_logistic_ = own
        self.image_score_ = LinearScore.of(
            names, own.means, own.scales, weights / spread, (own.intercept - centre) / spread
        )
        return names

    def _entering(self, X: pd.DataFrame) -> pd.DataFrame:
        entering = {"ct_image": self.image_score_.evaluate(X), CLINICAL: X[CLINICAL].to_numpy(dtype=float)}
        return pd.DataFrame(entering | {name: X[name].to_numpy(dtype=float) for name in self.covariates}, index=X.index)

    def _expose_weights(self) -> None:
        self.coef_ = np.array([self.combination_.coefficients])
        self.intercept_ = np.array([self.combination_.intercept])

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """aMAP-CT score: the linear predictor (logit), shape (n_patients,); higher means a higher risk."""
        check_is_fitted(self, "combination_")
        if CLINICAL not in X.columns:
            raise ModelError("features", f"must have a column {CLINICAL!r}", "none", "Add it with hccbook.scores.amap.")
        self._check_covariates(X)
        return self.combination_.evaluate(self._entering(X))

    def scores(self, X: pd.DataFrame) -> pd.DataFrame:
        """Scores of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features and ``amap``; other columns are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 3)
            Columns amap, ct_image (CT image score) and amap_ct (probability); higher means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        logit = self.decision_function(X)
        return self._entering(X)[[CLINICAL, "ct_image"]].assign(amap_ct=probability(logit))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probability of no HCC and of HCC, shape (n_patients, 2); see `scores` for what is refused."""
        risk = probability(self.decision_function(X))
        return np.column_stack([1 - risk, risk])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability is 0.5 or more, shape (n_patients,); the cut-off of the paper is set elsewhere."""
        return (self.decision_function(X) >= 0).astype(int)

    def formula(self, digits: int = 2) -> str:
        """The aMAP-CT score in the paper's form; aMAP is standardised by the development cohort."""
        check_is_fitted(self, "combination_")

        def signed(value: float, what: str = "") -> str:
            return f"{'-' if value < 0 else '+'} {abs(value):.{digits}f}{what}"

        image, clinical, *others = self.coef_[0]
        beside = "".join(
            f"{signed(weight, f' x {name}')} " for name, weight in zip(self.covariates, others, strict=True)
        )
        return (
            f"aMAP-CT score = {image:.{digits}f} x CT image score "
            f"{signed(clinical, ' x aMAP score')} {beside}{signed(self.intercept_[0])}"
        )

    def to_json(self, file: str | Path) -> Path:
        """Write the model, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file to write.
        """
        return write_model(file, "amap_ct", self._content())

    def _content(self) -> dict[str, Any]:
        check_is_fitted(self, "combination_")
        listed = {name: list(getattr(self, name)) for name in _LISTS}
        return {
            "parameters": self.get_params() | listed,
            "image_score": self.image_score_.to_dict(),
            "image_logistic": self.image_logistic_.to_dict(),
            "combination": self.combination_.to_dict(),
            "feature_names": self.feature_names_in_.tolist(),
            "selection_counts": self.selection_counts_.to_dict(orient="list"),
            "lasso_path": self.lasso_path_.to_dict(orient="list"),
            "lasso_alpha": self.lasso_alpha_,
            "lasso_weights": self._path_weights(),
            "notes": self.notes_,
        }

    def _path_weights(self) -> dict[str, list]:
        """Weights along the path as a feature's row of weights, the penalties once."""
        table = self.lasso_weights_
        features = list(pd.unique(table["feature"]))
        steps = len(table) // max(len(features), 1)
        weights = table["coefficient"].to_numpy(dtype=float).reshape(len(features), steps)
        return {"features": features, "penalties": table["penalty"].tolist()[:steps], "weights": weights.tolist()}

    @classmethod
    def from_json(cls, file: str | Path) -> AmapCtModel:
        """Model that `to_json` wrote: the same scores to the last bit.

        Parameters
        ----------
        file : path-like
            JSON file.

        Raises
        ------
        ModelError
            If the file is missing or holds something else.
        """
        with _whole(file):
            return cls._of_content(read_model(file, "amap_ct"))

    @classmethod
    def _of_content(cls, content: Mapping[str, Any]) -> AmapCtModel:
        tuples = {name: tuple(content["parameters"].get(name, ())) for name in _LISTS}
        model = cls(**{**content["parameters"], **tuples})
        model.image_score_ = LinearScore.from_dict(content["image_score"])
        model.image_logistic_ = LinearScore.from_dict(content["image_logistic"])
        model.combination_ = LinearScore.from_dict(content["combination"])
        model.feature_names_in_ = np.array(content["feature_names"], dtype=object)
        model.n_features_in_ = len(model.feature_names_in_)
        model.selection_counts_ = pd.DataFrame(content["selection_counts"], columns=["block", "step", "features"])
        model.lasso_path_ = pd.DataFrame(content["lasso_path"])
        model.lasso_alpha_ = content["lasso_alpha"]
        # Files of earlier versions have no weights along the path.
        along = content.get("lasso_weights", {"features": (), "penalties": (), "weights": ()})
        model.lasso_weights_ = _along_path(along["features"], along["penalties"], along["weights"])
        model.notes_ = content["notes"]
        model.classes_ = np.array([0, 1])
        model._expose_weights()
        return model


class AmapCtFamily(BaseEstimator):
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
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a member is unknown or there twice, or as `AmapCtModel`.
        """
        unknown = [name for name in self.members if name not in FAMILY]
        if isinstance(self.members, str) or unknown or len(set(self.members)) != len(self.members) or not self.members:
            raise ModelError(
                "members",
                f"must be different ones of {', '.join(FAMILY)}",
                repr(self.members),
                "Give a tuple of names.",
            )
        X, outcome = check_development(X, y)
        extra = {name for member in FAMILY.values() for name in member.covariates} & set(X.columns)
        images: dict[tuple[str, ...], AmapCtModel] = {}
        self.models_: dict[str, AmapCtModel] = {}
        for name in self.members:
            organs, covariates = FAMILY[name]
            model = AmapCtModel(
                organs, self.lasso_folds, self.lambda_rule, self.random_state, covariates, self.left_out
            )
            own = X.drop(columns=sorted(extra - set(covariates)))
            if organs not in images:
                images[organs] = model.fit(own, outcome)
            else:
                model._check_covariates(own)
                model._take_image(images[organs])
                model.feature_names_in_, model.n_features_in_ = own.columns.to_numpy(dtype=object), own.shape[1]
                model._fit_combination(own, outcome)
            self.models_[name] = model
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
            0 to 1; a higher value means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        check_is_fitted(self, "models_")
        return pd.DataFrame({name: model.predict_proba(X)[:, 1] for name, model in self.models_.items()}, index=X.index)

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

    def to_json(self, file: str | Path) -> Path:
        """Write all members, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file to write.
        """
        check_is_fitted(self, "models_")
        parameters = self.get_params() | {"members": list(self.members), "left_out": list(self.left_out)}
        members = {name: model._content() for name, model in self.models_.items()}
        return write_model(file, "amap_ct_family", {"parameters": parameters, "members": members})

    @classmethod
    def from_json(cls, file: str | Path) -> AmapCtFamily:
        """Family that `to_json` wrote: the same probabilities to the last bit.

        Parameters
        ----------
        file : path-like
            JSON file.

        Raises
        ------
        ModelError
            If the file is missing or holds something else.
        """
        with _whole(file):
            content = read_model(file, "amap_ct_family")
            tuples = {name: tuple(content["parameters"].get(name, ())) for name in ("members", "left_out")}
            family = cls(**{**content["parameters"], **tuples})
            family.models_ = {name: AmapCtModel._of_content(content["members"][name]) for name in family.members}
            return family


def _along_path(features: Sequence[str], penalties: Sequence[float], weights: ArrayLike) -> pd.DataFrame:
    """Long table of the weights, shape (n_features, n_penalties), along a LASSO path."""
    return pd.DataFrame(
        {
            "feature": np.repeat(np.array(features, dtype=object), len(penalties)),
            "penalty": np.tile(np.array(penalties, dtype=float), len(features)),
            "coefficient": np.array(weights, dtype=float).ravel(),
        }
    )


@contextlib.contextmanager
def _whole(file: str | Path) -> Iterator[None]:
    """Turn what a file lacks, or has of the wrong kind, into an error that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            Path(file).name, "must hold a whole model", f"{type(error).__name__}: {error}", "Fit the model again."
        ) from error
