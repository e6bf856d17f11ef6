"""A score that is a weighted sum of standardised values, with its own names, units and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from hccbook.errors import ModelError
from hccbook.features.selection import check_features

_Floats = Sequence[float]


@dataclass(frozen=True)
class LinearScore:
    """``intercept + sum of coefficient * (value - mean) / scale``.

    Parameters
    ----------
    names : tuple of str
        Values that enter, by column name; empty for a constant score.
    means, scales : tuple of float
        Mean and standard deviation of each value in the development cohort.
    coefficients : tuple of float
        Weight of each standardised value.
    intercept : float
        Score of a patient whose values are all at the mean.

    Raises
    ------
    ModelError
        If the tuples differ in length or a scale is not positive.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", allow_inf_nan=False)  # where it is read from a file

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.means), len(self.scales), len(self.coefficients)}
        if len(lengths) != 1:
            raise ModelError("linear score", "must have one mean, scale and coefficient a name", lengths, "Refit it.")
        if any(not scale > 0 for scale in self.scales):
            raise ModelError("linear score", "must have positive scales", min(self.scales), "Drop constant values.")

    @classmethod
    def of(
        cls, names: Sequence[str], means: _Floats, scales: _Floats, coefficients: _Floats, intercept: float
    ) -> LinearScore:
        """Score from arrays; plain floats are kept."""
        numbers = (tuple(map(float, values)) for values in (means, scales, coefficients))
        return cls(tuple(map(str, names)), *numbers, float(intercept))

    def evaluate(self, X: pd.DataFrame) -> np.ndarray:
        """Score of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table that has all of `names`; other columns are ignored.

        Returns
        -------
        numpy.ndarray, shape (n_patients,)
            A higher value means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        absent = [name for name in self.names if name not in X.columns]
        if absent:
            rule = f"must be in the table ({len(self.names)} columns make this score)"
            hint = "Extract the features with the settings, phases and organs that the model was fitted on."
            raise ModelError(f"column {absent[0]}", rule, f"{len(absent)} absent", hint)
        used = X[list(self.names)]
        check_features(used, "score")
        standardised = (used.to_numpy(dtype=float) - np.array(self.means)) / np.array(self.scales)
        # A sum over columns in their order: a matrix product may differ in its last bit with the number of rows.
        total = np.full(len(used), self.intercept)
        for column, coefficient in enumerate(self.coefficients):
            total += coefficient * standardised[:, column]
        return total

    def importance(self) -> pd.DataFrame:
        """Columns feature, coefficient; the largest absolute weight first."""
        table = pd.DataFrame({"feature": list(self.names), "coefficient": np.array(self.coefficients, dtype=float)})
        order = np.argsort(-table["coefficient"].abs().to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def formula(self, name: str = "score", digits: int = 3) -> str:
        """The score as text after `name` and an equals sign; z(...) is the standardised value."""
        text = f"{name} = {self.intercept:.{digits}f}"
        for feature, weight in zip(self.names, self.coefficients, strict=True):
            text += f" {'-' if weight < 0 else '+'} {abs(weight):.{digits}f} x z({feature})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


NO_SCORE = LinearScore((), (), (), (), 0.0)
"""Score of a model without features: 0 for every patient."""
