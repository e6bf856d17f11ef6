"""What ALARM and its leakage-free form share: a logistic regression on aMAP and two image scores, kept as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from hccbook.models.linear_score import LinearScore
from hccbook.models.model_file import read_model, write_model


class ThreeScoreModel(ClassifierMixin, BaseEstimator):
    """Prediction and file of a model with ``radiomics_score_``, ``deep_score_`` and ``combination_``.

    A model that has learned more adds it with `_own_content` and takes it back with `_restore`.
    """

    _file_name: ClassVar[str]

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probability of no HCC and of HCC, shape (n_patients, 2); see `scores` for what is refused."""
        alarm = self.scores(X)["alarm"].to_numpy()
        return np.column_stack([1 - alarm, alarm])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability is 0.5 or more, shape (n_patients,); the cut-offs in use are set elsewhere."""
        return (self.scores(X)["alarm"].to_numpy() >= 0.5).astype(int)

    def formula(self, digits: int = 3) -> str:
        """The radiomics score, the deep-learning score and the logit of the model, a line each."""
        check_is_fitted(self, "combination_")
        return "\n".join(
            (
                self.radiomics_score_.formula("radiomics score", digits),
                self.deep_score_.formula("deep learning score", digits),
                self.combination_.formula("logit(ALARM)", digits),
            )
        )

    def to_json(self, file: str | Path) -> Path:
        """Write the model, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file to write.
        """
        check_is_fitted(self, "combination_")
        content = {
            "parameters": self.get_params(),
            "radiomics_score": self.radiomics_score_.to_dict(),
            "deep_score": self.deep_score_.to_dict(),
            "combination": self.combination_.to_dict(),
            **self._own_content(),
            "feature_names": self.feature_names_in_.tolist(),
            "selection_counts": self.selection_counts_.to_dict(orient="list"),
            "lasso_paths": {block: path.to_dict(orient="list") for block, path in self.lasso_paths_.items()},
            "lasso_alphas": self.lasso_alphas_,
            "notes": self.notes_,
        }
        return write_model(file, self._file_name, content)

    @classmethod
    def from_json(cls, file: str | Path) -> Self:
        """Model that `to_json` wrote: the same scores to the last bit, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file.

        Raises
        ------
        ModelError
            If the file is missing or holds something else.
        """
        content = read_model(file, cls._file_name)
        # JSON knows lists only.
        listed = {name: tuple(value) for name, value in content["parameters"].items() if isinstance(value, list)}
        model = cls(**content["parameters"] | listed)
        model.radiomics_score_ = LinearScore.from_dict(content["radiomics_score"])
        model.deep_score_ = LinearScore.from_dict(content["deep_score"])
        model.combination_ = LinearScore.from_dict(content["combination"])
        model._restore(content)
        model.feature_names_in_ = np.array(content["feature_names"], dtype=object)
        model.n_features_in_ = len(model.feature_names_in_)
        model.selection_counts_ = pd.DataFrame(content["selection_counts"])
        model.lasso_paths_ = {block: pd.DataFrame(path) for block, path in content["lasso_paths"].items()}
        model.lasso_alphas_ = content["lasso_alphas"]
        model.notes_ = content["notes"]
        model.classes_ = np.array([0, 1])
        model._expose_weights()
        return model

    def _own_content(self) -> dict[str, object]:
        return {}

    def _restore(self, content: dict[str, object]) -> None:
        """Take back what `_own_content` added; here nothing."""

    def _expose_weights(self) -> None:
        self.coef_ = np.array([self.combination_.coefficients])
        self.intercept_ = np.array([self.combination_.intercept])
