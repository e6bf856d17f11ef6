"""Borderline-SMOTE as ALARM sets it: synthetic patients until both classes are equal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from imblearn.over_sampling import BorderlineSMOTE

from hccbook.features.selection import rarest_class

NEIGHBOURS = (5, 10)
"""Neighbours of the rarer class to interpolate with, and patients around one that say whether it is in danger."""


class Oversampled(NamedTuple):
    """Real patients, then synthetic ones.

    Attributes
    ----------
    values : numpy.ndarray, shape (n_patients + added, n_features)
    outcome : numpy.ndarray of int, shape (n_patients + added,)
    added : int
        Synthetic patients; 0 where the classes are equal, or nobody of the rarer one is in danger.
    neighbours : tuple of int
        `NEIGHBOURS`, or fewer where there are not so many patients.
    """

    values: np.ndarray
    outcome: np.ndarray
    added: int
    neighbours: tuple[int, int]


def oversample(values: np.ndarray, outcome: np.ndarray, random_state: int) -> Oversampled:
    """Borderline-SMOTE 1 until both classes are equal.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_patients, n_features)
        Standardised features.
    outcome : numpy.ndarray of int, shape (n_patients,)
        1 for HCC, 0 otherwise; two patients or more of each.
    random_state : int
        Seed.

    References
    ----------
    Han et al. 2005, Borderline-SMOTE; ALARM, Methods.
    """
    interpolate, around = min(NEIGHBOURS[0], rarest_class(outcome) - 1), min(NEIGHBOURS[1], len(values) - 1)
    smote = BorderlineSMOTE(kind="borderline-1", k_neighbors=interpolate, m_neighbors=around, random_state=random_state)
    augmented, y = smote.fit_resample(values, outcome)
    return Oversampled(augmented, y, len(augmented) - len(values), (interpolate, around))


def synthetic_patients(z: np.ndarray, real: pd.DataFrame, means: pd.Series, scales: pd.Series) -> pd.DataFrame:
    """Synthetic patients in the units of the real ones.

    Parameters
    ----------
    z : numpy.ndarray, shape (n_synthetic, n_varying)
        Standardised columns.
    real : pandas.DataFrame, shape (n_patients, n_columns)
        Real patients; a column that is constant in them stays so.
    means, scales : pandas.Series, each of shape (n_varying,)
        Of the columns that vary.

    Returns
    -------
    pandas.DataFrame, shape (n_synthetic, n_columns)
        Index S0001, ...
    """
    values = np.tile(real.iloc[0].to_numpy(dtype=float), (len(z), 1))
    values[:, real.columns.get_indexer(means.index)] = z * scales.to_numpy() + means.to_numpy()
    names = pd.Index([f"S{number:04d}" for number in range(1, len(z) + 1)], dtype=object, name=real.index.name)
    return pd.DataFrame(values, index=names, columns=real.columns)
