"""Features that carry nothing: drawn, not taken from an image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hccbook.errors import DataError


def draw_null_features(measured: pd.DataFrame, patients: pd.Index, seed: int) -> pd.DataFrame:
    r"""Features of patients who have no image, independent of everything that is known of them.

    Parameters
    ----------
    measured : pandas.DataFrame, shape (n_measured, n_features)
        Features as an image gave them, in any units; two patients or more.
    patients : pandas.Index, length n_patients
        Keys of the patients drawn.
    seed : int
        Seed of the draw. A patient's values depend on it and on the patients before, and on nothing else.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, n_features)
        Columns and units of `measured`, 32-bit floats; index `patients`. A feature that is the same in all measured
        patients is the same in all that are drawn.

    Raises
    ------
    DataError
        If fewer than two patients are measured, or a value is missing.

    Notes
    -----
    With mean :math:`m` and deviations :math:`d_j = x_j - m` of the :math:`n` measured patients, a drawn one has

    .. math:: m + \frac{1}{\sqrt{n - 1}} \sum_j g_j d_j, \qquad g_j \sim N(0, 1),

    which is normal with the mean and exactly the sample covariance of the measured features. So drawn patients vary in
    at most :math:`n - 1` directions, however many there are, and features that are skewed or never negative come out
    normal.
    """
    values = measured.to_numpy(dtype=float)
    if len(values) < 2:
        raise DataError(
            "measured features", "must be of 2 patients or more", len(values), "Look at the failures table."
        )
    missing = ~np.isfinite(values).all(axis=0)
    if missing.any():
        column = f"measured features, column {measured.columns[missing][0]}"
        raise DataError(column, "must hold finite numbers", "a missing value", "Leave the feature or the patient out.")
    mean = values.mean(axis=0)
    deviations = (values - mean) / np.sqrt(len(values) - 1)
    deviations[:, np.ptp(values, axis=0) == 0] = 0.0
    weights = np.random.default_rng(seed).standard_normal((len(patients), len(values)))
    drawn = (mean + weights @ deviations).astype(np.float32)
    return pd.DataFrame(drawn, index=patients, columns=measured.columns)
