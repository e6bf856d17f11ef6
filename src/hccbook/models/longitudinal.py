"""aMAP-2 and aMAP-2 Plus refitted: longitudinal discriminant analysis of repeated aMAP and AFP.

The published scores have no public formula: their data and weights are not public either. What is here has the same
structure and is learnt anew from whatever patients it is given, so that it is a refit, says so in its name, and
refuses the published ones.

References
----------
Fan et al. 2023, J Hepatol 79:933 (aMAP-2, aMAP-2 Plus). Hughes et al. 2018, Biom J 60:307 (the three densities);
Komárek et al. 2010, Stat Med 29:3267.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import DataError, ModelError
from hccbook.features.selection import check_outcome
from hccbook.models.model_file import read_model, write_model

MARKERS = ("amap", "afp")
"""Repeated markers, by column; AFP enters as its decimal logarithm."""

CELL_FREE_DNA = "cfdna"
"""Column of the cell-free-DNA signature."""

DENSITIES = ("marginal", "conditional", "random_effects")
"""Densities that Bayes' rule can take."""

MIN_AFP = 0.5
"""AFP, ug/L, that stands in for lesser values before the logarithm; assays detect little below it."""

PUBLISHED_NAMES = ("aMAP-2", "aMAP-2 Plus")
"""Names that a refit must not carry."""

_MIN_PATIENTS = 3  # of a group: with fewer, a spread between patients is a guess
_MIN_RELATIVE_SD = 0.01
_MIN_SHARE_OF_SD = 1e-3
_STEEPEST = 1e-4
_MONTHS_A_YEAR = 12.0
_WIDTH = 2  # intercept and slope


class TooFewPatientsError(ModelError):
    """Patients from whom no refit can be learnt: an outcome to report, where other errors are mistakes to correct."""


def check_refit_name(name: str) -> str:
    """The name of a refit, if it says that it is one.

    Parameters
    ----------
    name : str
        What the score is to be called.

    Raises
    ------
    ModelError
        If it is the name of a published score whose formula is not public, with or without other words but "refit".
    """
    letters = re.sub(r"[^a-z0-9]", "", str(name).lower())
    published = re.sub(r"[^a-z0-9]", "", PUBLISHED_NAMES[0].lower())
    if (published in letters and "refit" not in letters) or not letters:
        raise ModelError(
            "name",
            "must say that the score is refitted, since the published one has no public formula",
            repr(name),
            f"Call it {PUBLISHED_NAMES[0]} refit or {PUBLISHED_NAMES[1]} refit.",
        )
    return str(name)


@dataclass(frozen=True)
class GroupModel:
    """What one outcome group's markers look like over time.

    Attributes
    ----------
    patients : int
        Patients that it was learnt from.
    mean : numpy.ndarray, shape (4,)
        Intercept (at the landmark) and slope (a year) of aMAP, then of log10 AFP.
    covariance : numpy.ndarray, shape (4, 4)
        Of the same between patients.
    residual_sd : numpy.ndarray, shape (2,)
        Within a patient about their own line, of aMAP and log10 AFP; independent of each other and over time.
    cell_free_dna : tuple of float or None
        Mean and SD of the cell-free-DNA signature; None where it does not enter.
    """

    patients: int
    mean: np.ndarray
    covariance: np.ndarray
    residual_sd: np.ndarray
    cell_free_dna: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "patients": self.patients,
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "residual_sd": self.residual_sd.tolist(),
            "cell_free_dna": None if self.cell_free_dna is None else list(self.cell_free_dna),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GroupModel:
        """Inverse of `to_dict`."""
        arrays = {name: np.array(content[name], dtype=float) for name in ("mean", "covariance", "residual_sd")}
        dna = content["cell_free_dna"]
        return cls(patients=int(content["patients"]), cell_free_dna=None if dna is None else tuple(dna), **arrays)


class _Sums(NamedTuple):
    """Sums over each patient's measurements, all that a normal mixed model needs.

    ``squares`` (n, k, 2, 2), ``products`` (n, k, 2), ``total`` (n, k) and ``count`` (n, k): Z'Z, Z'y, y'y and the
    number of measurements, Z being (1, t), by patient and marker.
    """

    squares: np.ndarray
    products: np.ndarray
    total: np.ndarray
    count: np.ndarray

    def of(self, chosen: np.ndarray) -> _Sums:
        return _Sums(*(part[chosen] for part in self))


class _Fit(NamedTuple):
    """Log densities by patient, and what their slopes are made of."""

    marginal: np.ndarray
    conditional: np.ndarray
    effects: np.ndarray
    information: np.ndarray
    pull: np.ndarray
    left: np.ndarray
    leverage: np.ndarray


def _blocks(parts: np.ndarray) -> np.ndarray:
    """Block diagonal matrices, (n, k, 2, 2) to (n, 2 k, 2 k)."""
    n, k = parts.shape[:2]
    whole = np.zeros((n, k * _WIDTH, k * _WIDTH))
    for marker in range(k):
        at = slice(marker * _WIDTH, (marker + 1) * _WIDTH)
        whole[:, at, at] = parts[:, marker]
    return whole


def _densities(sums: _Sums, mean: np.ndarray, covariance: np.ndarray, sd: np.ndarray) -> _Fit:
    """Log densities of each patient's measurements, in the size of the random effects, whatever their number."""
    k = len(sd)
    own = mean.reshape(k, _WIDTH)
    variance = sd**2
    precision = _blocks(sums.squares / variance[:, None, None])
    off = sums.products - np.einsum("nkab,kb->nka", sums.squares, own)
    rest = (
        sums.total
        - 2 * np.einsum("nka,ka->nk", sums.products, own)
        + np.einsum("nkab,ka,kb->nk", sums.squares, own, own)
    )
    weighted = (off / variance[:, None]).reshape(len(off), -1)
    mixed = np.eye(k * _WIDTH) + precision @ covariance
    # V = R + Z D Z' is never built: (I + Z'R^-1 Z D) is as small as the random effects, and D may be singular.
    pull = np.linalg.solve(mixed, weighted[..., None])[..., 0]
    information = np.linalg.solve(mixed, precision)
    effects = pull @ covariance
    by_marker = effects.reshape(-1, k, _WIDTH)
    left = (
        rest
        - 2 * np.einsum("nka,nka->nk", by_marker, off)
        + np.einsum("nkab,nka,nkb->nk", sums.squares, by_marker, by_marker)
    )
    noise = (sums.count * np.log(2 * np.pi * variance)).sum(axis=1)
    quadratic = (rest / variance).sum(axis=1) - (weighted * effects).sum(axis=1)
    marginal = -0.5 * (noise + np.linalg.slogdet(mixed)[1] + quadratic)
    conditional = -0.5 * (noise + (left / variance).sum(axis=1))
    leverage = np.einsum("nab,ba->na", information, covariance).reshape(-1, k, _WIDTH).sum(axis=2)
    return _Fit(marginal, conditional, effects, information, pull, left, leverage)


def _best_mean(sums: _Sums, covariance: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Generalised least squares: the mean line that the covariances make most likely."""
    variance = sd**2
    precision = _blocks(sums.squares / variance[:, None, None])
    mixed = np.eye(len(covariance)) + precision @ covariance
    weighted = (sums.products / variance[:, None]).reshape(len(sums.total), -1)
    information = np.linalg.solve(mixed, precision).sum(axis=0)
    return np.linalg.solve(information, np.linalg.solve(mixed, weighted[..., None])[..., 0].sum(axis=0))


class _MixedModel:
    """Maximum likelihood of the mixed model in one group, or in several that share their covariances.

    The covariance is S L L' S, S holding each marker's residual SD and L lower triangular: as in a profiled
    likelihood, but with a residual SD a marker. The mean follows from the rest.
    """

    def __init__(self, groups: Sequence[_Sums], joint: bool) -> None:
        self._groups = groups
        self._k = groups[0].total.shape[1]
        size = self._k * _WIDTH
        marker = np.repeat(np.arange(self._k), _WIDTH)
        lower = np.tri(size, dtype=bool)
        self._free = lower if joint else lower & (marker[:, None] == marker[None, :])
        self._diagonal = np.eye(size, dtype=bool)[self._free]
        self._marker = marker
        self._measurements = sum(int(sums.count.sum()) for sums in groups)

    def _unpack(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sd = np.exp(values[: self._k])
        factor = np.zeros(self._free.shape)
        factor[self._free] = values[self._k :]
        scaled = sd[self._marker, None] * factor
        return sd, factor, scaled @ scaled.T

    def _cost(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log-likelihood a measurement, and its gradient."""
        sd, factor, covariance = self._unpack(values)
        likelihood, by_sd, by_covariance = 0.0, np.zeros(self._k), np.zeros(covariance.shape)
        for sums in self._groups:
            found = _densities(sums, _best_mean(sums, covariance, sd), covariance, sd)
            likelihood += found.marginal.sum()
            by_covariance += 0.5 * (found.pull.T @ found.pull - found.information.sum(axis=0))
            by_sd += (found.left / sd**2 - sums.count + found.leverage).sum(axis=0)
        scale = sd[self._marker]
        by_factor = 2 * (scale[:, None] * by_covariance * scale[None, :]) @ factor
        along = 2 * (by_covariance * covariance).sum(axis=1)
        by_sd += np.bincount(self._marker, along, self._k)
        gradient = np.concatenate([by_sd, by_factor[self._free]])
        return -likelihood / self._measurements, -gradient / self._measurements

    def fit(self, spread: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, list[str]]:
        """Means by group, covariance, residual SDs, notes; `spread` is each marker's SD over all measurements."""
        start = np.concatenate([np.log(0.5 * spread), np.where(self._diagonal, 1.0, 0.0)])
        bounds = [(np.log(_MIN_SHARE_OF_SD * each), np.log(10 * each)) for each in spread]
        bounds += [(_MIN_RELATIVE_SD, None) if diagonal else (None, None) for diagonal in self._diagonal]
        found = minimize(
            self._cost,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-8},
        )
        sd, factor, covariance = self._unpack(found.x)
        notes = []
        inside = found.x > np.array([-np.inf if low is None else low for low, _ in bounds]) + 1e-9
        if np.abs(found.jac[inside]).max(initial=0.0) > _STEEPEST:
            notes.append(f"the likelihood's maximum was not reached ({str(found.message).lower()})")
        for position in np.flatnonzero(np.diag(factor) <= 1.0001 * _MIN_RELATIVE_SD):
            what = ("level", "slope")[position % _WIDTH]
            notes.append(
                f"the {what} of {MARKERS[position // _WIDTH]} does not vary freely between patients; its SD is held"
            )
        for marker in np.flatnonzero(sd <= 1.0001 * _MIN_SHARE_OF_SD * spread):
            notes.append(f"{MARKERS[marker]} follows each patient's line exactly; its residual SD is held")
        return [_best_mean(sums, covariance, sd) for sums in self._groups], covariance, sd, notes


class Amap2Refit(ClassifierMixin, BaseEstimator):
    """Longitudinal discriminant analysis of repeated aMAP and AFP: the structure of aMAP-2, refitted.

    In each outcome group a mixed model says how the markers run: y = (b0 + b1 t) + noise, a line for each patient and
    marker, whose intercepts and slopes are normal between patients. Bayes' rule then gives the probability of the
    outcome from a patient's own measurements: P(g | y) = p_g f_g(y) / sum over groups of p_k f_k(y).

    It is no published score: aMAP-2's parameters are not public, and `name` must say that this is a refit.

    Parameters
    ----------
    density : {"marginal", "conditional", "random_effects"}
        f_g: of the measurements, whatever the patient's line; of the measurements about the line that is most likely
        in the group; of that line itself.
    random_effects : {"joint", "independent"}
        Whether intercepts and slopes of both markers are correlated, or only those of the same marker. Residuals of
        the two markers are independent in both.
    covariance : {"group", "pooled"}
        Whether each group has covariances of its own, or they share them, which asks less of a small group.
    landmark : float
        Month, counted from enrolment, up to which measurements are used, in `fit` and in prediction; later ones are
        never looked at.
    window : float
        Months before the landmark from which measurements are used.
    cell_free_dna : bool
        Whether a cell-free-DNA signature (column ``cfdna``, the last value up to the landmark) enters as one more
        marker, normal in each group and independent of the others within it: the structure of aMAP-2 Plus. A patient
        without it is judged by the others.
    prior : float, optional
        Probability of the outcome before any measurement; the share in the patients of `fit` where not given.
    name : str
        What the score is called.

    Attributes
    ----------
    groups_ : dict of int to GroupModel
        By outcome, 0 and 1.
    prior_ : float
        Probability of the outcome before any measurement.
    log_likelihood_ : dict of int to float
        Of the repeated markers, by outcome.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    notes_ : list of str
        What a reader should know about the fit.

    Notes
    -----
    Maximum likelihood, not REML. A random effect's SD, given those before it, is held at or above 1 % of the marker's
    residual SD, so that its density exists.

    References
    ----------
    Fan et al. 2023, J Hepatol 79:933; Hughes et al. 2018, Biom J 60:307. aMAP-CT, Table 4.
    """

    def __init__(
        self,
        density: Literal["marginal", "conditional", "random_effects"] = "marginal",
        random_effects: Literal["joint", "independent"] = "joint",
        covariance: Literal["group", "pooled"] = "group",
        landmark: float = 0.0,
        window: float = 24.0,
        cell_free_dna: bool = False,
        prior: float | None = None,
        name: str = "aMAP-2 refit",
    ) -> None:
        self.density = density
        self.random_effects = random_effects
        self.covariance = covariance
        self.landmark = landmark
        self.window = window
        self.cell_free_dna = cell_free_dna
        self.prior = prior
        self.name = name

    def fit(self, visits: pd.DataFrame, y: pd.Series) -> Amap2Refit:
        """Learn both groups' models.

        Parameters
        ----------
        visits : pandas.DataFrame, shape (n_visits, n_columns)
            A row a visit, in any order: columns patient, months (from enrolment, negative before), amap, afp (ug/L),
            and cfdna where it enters. Values may be missing; visits of patients who are not in `y` are ignored.
        y : pandas.Series, shape (n_patients,)
            Outcome by patient, 1 for HCC, 0 otherwise.

        Raises
        ------
        ModelError
            If a setting or the name is wrong, or a column is absent.
        TooFewPatientsError
            If a group has fewer than three patients with measurements or too few of them, fewer than three with
            cell-free DNA where it enters, or a marker does not vary.
        DataError
            If a time is missing, AFP is negative, a patient of `y` comes twice, or the outcome has one class.
        """
        self._check_settings()
        if not isinstance(y, pd.Series):
            raise DataError("outcome", "must be a Series by patient", type(y).__name__, "Give clinical['hcc'].")
        if y.index.has_duplicates:
            twice = y.index[y.index.duplicated()][0]
            raise DataError("outcome", "must have each patient once", f"{twice} twice", "Drop the repeated rows.")
        outcome = check_outcome(y, len(y))
        used = self._used(visits)
        sums = _sums(used, y.index)
        known = sums.count.sum(axis=1) > 0
        self.classes_ = np.array([0, 1])
        self.notes_: list[str] = []
        if not known.all():
            self.notes_.append(f"{int((~known).sum())} patients have no measurement up to the landmark; left out.")
        spread = _spread(used[used["patient"].isin(y.index)])
        chosen = {group: sums.of(known & (outcome == group)) for group in (0, 1)}
        for group, part in chosen.items():
            _check_group(group, part)
        dna = self._fit_cell_free_dna(used, y, outcome) if self.cell_free_dna else {}
        joint = self.random_effects == "joint"
        together = [(0, 1)] if self.covariance == "pooled" else [(0,), (1,)]
        learnt: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for members in together:
            means, covariance, sd, notes = _MixedModel([chosen[group] for group in members], joint).fit(spread)
            who = "both groups" if len(members) > 1 else _group_title(members[0])
            self.notes_ += [f"{who}: {note}." for note in notes]
            if self.density == "random_effects" and any("freely" in note for note in notes):
                self.notes_.append(f"{who}: a held SD makes the density of the lines narrow; prefer the marginal one.")
            learnt |= {group: (mean, covariance, sd) for group, mean in zip(members, means, strict=True)}
        self.groups_ = {group: GroupModel(len(chosen[group].total), *learnt[group], dna.get(group)) for group in (0, 1)}
        self.log_likelihood_ = {
            group: float(_densities(chosen[group], *learnt[group]).marginal.sum()) for group in (0, 1)
        }
        self.prior_ = float(outcome[known].mean()) if self.prior is None else float(self.prior)
        return self

    def _check_settings(self) -> None:
        check_refit_name(self.name)
        for place, value, allowed in (
            ("density", self.density, DENSITIES),
            ("random_effects", self.random_effects, ("joint", "independent")),
            ("covariance", self.covariance, ("group", "pooled")),
        ):
            if value not in allowed:
                raise ModelError(place, f"must be one of {', '.join(allowed)}", repr(value), "Choose one of them.")
        if not self.window > 0:
            raise ModelError("window", "must be above 0 months", self.window, "Give 24.")
        if self.prior is not None and not 0 < self.prior < 1:
            raise ModelError("prior", "must be above 0 and below 1", self.prior, "Give the share of the outcome.")

    def _used(self, visits: pd.DataFrame) -> pd.DataFrame:
        """Visits from the window up to the landmark, with years from it and log10 AFP."""
        if not isinstance(visits, pd.DataFrame):
            raise ModelError("visits", "must be a DataFrame, a row a visit", type(visits).__name__, "Make a table.")
        needed = ("patient", "months", *MARKERS, *((CELL_FREE_DNA,) if self.cell_free_dna else ()))
        absent = [name for name in needed if name not in visits.columns]
        if absent:
            raise ModelError("visits", f"must have a column {absent[0]!r}", "none", f"Give {', '.join(needed)}.")
        table = visits[list(needed)].copy()
        text = [name for name in needed[1:] if table[name].dtype.kind not in "biuf"]
        if text:
            raise DataError(f"visits, column {text[0]}", "must be numeric", str(table[text[0]].dtype), "Convert it.")
        lost = int((~np.isfinite(table["months"]) | table["patient"].isna()).sum())
        if lost:
            raise DataError("visits", "must have a patient and a month each", f"{lost} without", "Fill them in.")
        # Selected before anything else is looked at: what comes later cannot matter, wrong values included.
        table = table[(table["months"] <= self.landmark) & (table["months"] >= self.landmark - self.window)]
        values = table[list(needed[2:])]
        if np.isinf(values.to_numpy(dtype=float)).any() or (table["afp"] < 0).any():
            raise DataError("visits", "must hold finite values, AFP 0 or more", "others", "Give AFP in ug/L.")
        return table.assign(
            years=(table["months"] - self.landmark) / _MONTHS_A_YEAR,
            afp=np.log10(np.maximum(table["afp"], MIN_AFP)),
        )

    def _fit_cell_free_dna(self, used: pd.DataFrame, y: pd.Series, outcome: np.ndarray) -> dict[int, tuple]:
        values = _last_cell_free_dna(used, y.index)
        parts = {group: values[(outcome == group) & np.isfinite(values)] for group in (0, 1)}
        for group, part in parts.items():
            if len(part) < _MIN_PATIENTS or np.ptp(part) == 0:
                raise TooFewPatientsError(
                    f"{CELL_FREE_DNA}, {_group_title(group)}",
                    f"must be known of {_MIN_PATIENTS} patients or more, and vary between them",
                    f"{len(part)} values, {len(np.unique(part))} of them different",
                    "Fit without cell_free_dna.",
                )
        sds = {group: float(part.std(ddof=1)) for group, part in parts.items()}
        if self.covariance == "pooled":
            degrees = {group: len(part) - 1 for group, part in parts.items()}
            variance = sum(degrees[group] * sds[group] ** 2 for group in parts) / sum(degrees.values())
            sds = dict.fromkeys(parts, float(np.sqrt(variance)))
        return {group: (float(part.mean()), sds[group]) for group, part in parts.items()}

    def log_densities(self, visits: pd.DataFrame, patients: Sequence | None = None) -> pd.DataFrame:
        """Logarithm of f_g for every patient and group.

        Parameters
        ----------
        visits : pandas.DataFrame, shape (n_visits, n_columns)
            As in `fit`; visits after the landmark are never looked at.
        patients : sequence, optional
            Keys of the patients wanted; those of `visits` in the order of their first visit where not given.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 2)
            Index patient, columns 0 and 1; NaN for a patient without any measurement up to the landmark.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a time is missing or AFP is negative.
        """
        check_is_fitted(self, "groups_")
        used = self._used(visits)
        keys = pd.Index(pd.unique(visits["patient"]) if patients is None else patients, name="patient")
        sums = _sums(used, keys)
        dna = _last_cell_free_dna(used, keys) if self.cell_free_dna else np.full(len(keys), np.nan)
        found = {}
        for group, model in self.groups_.items():
            parts = _densities(sums, model.mean, model.covariance, model.residual_sd)
            if self.density == "marginal":
                log = parts.marginal
            elif self.density == "conditional":
                log = parts.conditional
            else:
                log = _log_normal(parts.effects, model.covariance)
            log = np.where(sums.count.sum(axis=1) > 0, log, 0.0)
            if model.cell_free_dna is not None:
                mean, sd = model.cell_free_dna
                log = log + np.where(np.isfinite(dna), norm.logpdf(dna, mean, sd), 0.0)
            found[group] = np.where((sums.count.sum(axis=1) > 0) | np.isfinite(dna), log, np.nan)
        return pd.DataFrame(found, index=keys)

    def scores(self, visits: pd.DataFrame, patients: Sequence | None = None) -> pd.DataFrame:
        """Score of every patient from the measurements up to the landmark.

        Parameters
        ----------
        visits : pandas.DataFrame, shape (n_visits, n_columns)
            As in `fit`.
        patients : sequence, optional
            Keys of the patients wanted; those of `visits` where not given.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 2)
            Index patient; the score under its name in lower case (``amap_2_refit``), a probability, higher meaning a
            higher risk, NaN for a patient without any measurement; and measurements, how many it comes from.

        Raises
        ------
        ModelError, DataError
            As `log_densities`.
        """
        logs = self.log_densities(visits, patients)
        odds = logs[1] - logs[0] + np.log(self.prior_ / (1 - self.prior_))
        # Half of 1 + tanh: no overflow where the densities lie far apart.
        risk = 0.5 * (1.0 + np.tanh(0.5 * odds))
        used = self._used(visits)
        columns = [*MARKERS, *((CELL_FREE_DNA,) if self.cell_free_dna else ())]
        counts = used[columns].notna().sum(axis=1).groupby(used["patient"]).sum()
        slug = re.sub(r"[^a-z0-9]+", "_", self.name.lower().replace("amap", "amap ")).strip("_")
        return pd.DataFrame({slug: risk, "measurements": counts.reindex(logs.index, fill_value=0).astype(int)})

    def predict_proba(self, visits: pd.DataFrame) -> np.ndarray:
        """Probability of no HCC and of HCC, shape (n_patients, 2), patients in the order of their first visit.

        Raises
        ------
        DataError
            If a patient has no measurement up to the landmark; `scores` gives NaN there.
        """
        risk = self.scores(visits).iloc[:, 0]
        if risk.isna().any():
            raise DataError(
                "visits",
                "must have a measurement of every patient up to the landmark",
                f"{int(risk.isna().sum())} patients without",
                "Leave them out, or take scores.",
            )
        return np.column_stack([1 - risk, risk])

    def predict(self, visits: pd.DataFrame) -> np.ndarray:
        """1 where the probability is 0.5 or more, shape (n_patients,); see `predict_proba`."""
        return (self.predict_proba(visits)[:, 1] >= 0.5).astype(int)

    def parameters(self) -> pd.DataFrame:
        """Both groups' lines: columns group, marker, term (level, slope a year), mean, sd (between), residual_sd."""
        check_is_fitted(self, "groups_")
        rows = []
        for group, model in self.groups_.items():
            sd = np.sqrt(np.diag(model.covariance))
            for position in range(len(sd)):
                marker = position // _WIDTH
                rows.append(
                    (
                        _group_title(group),
                        "log10 AFP" if MARKERS[marker] == "afp" else "aMAP",
                        ("level", "slope a year")[position % _WIDTH],
                        model.mean[position],
                        sd[position],
                        model.residual_sd[marker],
                    )
                )
            if model.cell_free_dna is not None:
                rows.append((_group_title(group), "cell-free DNA", "level", *model.cell_free_dna, np.nan))
        return pd.DataFrame(rows, columns=["group", "marker", "term", "mean", "sd", "residual_sd"])

    def to_json(self, file: str | Path) -> Path:
        """Write the model, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file to write.
        """
        check_is_fitted(self, "groups_")
        content = {
            "parameters": self.get_params(),
            "groups": {str(group): model.to_dict() for group, model in self.groups_.items()},
            "log_likelihood": {str(group): value for group, value in self.log_likelihood_.items()},
            "prior": self.prior_,
            "notes": self.notes_,
        }
        return write_model(file, "amap_2_refit", content)

    @classmethod
    def from_json(cls, file: str | Path) -> Amap2Refit:
        """Model that `to_json` wrote: the same scores to the last bit.

        Parameters
        ----------
        file : path-like
            JSON file.

        Raises
        ------
        ModelError
            If the file is missing or holds something else, or its name is that of a published score.
        """
        content = read_model(file, "amap_2_refit")
        model = cls(**content["parameters"])
        model._check_settings()
        model.groups_ = {int(group): GroupModel.from_dict(part) for group, part in content["groups"].items()}
        model.log_likelihood_ = {int(group): value for group, value in content["log_likelihood"].items()}
        model.prior_ = content["prior"]
        model.notes_ = content["notes"]
        model.classes_ = np.array([0, 1])
        return model


def refit_scores(
    refits: Sequence[tuple[Amap2Refit, pd.Series]], visits: pd.DataFrame, patients: Sequence
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of refits learnt from some patients, for all of them; one that cannot be learnt has none, and says why.

    Parameters
    ----------
    refits : sequence of tuple (Amap2Refit, pandas.Series)
        Each refit, not fitted yet, and the outcome by patient that it is to be learnt from: 1 for HCC, 0 otherwise, NaN
        where it is not known, which leaves the patient out.
    visits : pandas.DataFrame, shape (n_visits, n_columns)
        As in `Amap2Refit.fit`.
    patients : sequence
        Keys of the patients wanted.

    Returns
    -------
    scores : pandas.DataFrame, shape (n_patients, n_refits)
        A column a refit under its name: probability of HCC, a higher value meaning a higher risk; NaN for a patient
        without any measurement, and for everybody where the refit could not be learnt.
    missing : pandas.DataFrame
        Columns model, reason (a sentence), patients; a row for each refit that could not be learnt, because the
        outcome has one class or the patients are too few in the sense of `TooFewPatientsError`.

    Raises
    ------
    ModelError
        If two refits have the same name, or as `Amap2Refit.fit`, too few patients apart.
    DataError
        As `Amap2Refit.fit`, an outcome of one class apart.
    """
    names = [model.name for model, _ in refits]
    if len(set(names)) < len(names):
        raise ModelError("refits", "must have different names", ", ".join(names), "Set name.")
    scores = pd.DataFrame(np.nan, index=pd.Index(patients, name="patient"), columns=names)
    reasons = []
    for model, outcome in refits:
        known = outcome.dropna()
        events = int((known == 1).sum())
        try:
            if events in (0, len(known)):
                raise TooFewPatientsError(
                    "outcome",
                    "must be known of patients with and without HCC",
                    f"{events} with and {len(known) - events} without",
                    "Leave the score out.",
                )
            fitted = clone(model).fit(visits, known)
        except TooFewPatientsError as error:
            sentence = f"not learnt: {error.place} {error.rule}, but found {error.found}"
            reasons.append((model.name, sentence, len(scores)))
        else:
            scores[model.name] = fitted.scores(visits, patients).iloc[:, 0].to_numpy()
    return scores, pd.DataFrame(reasons, columns=["model", "reason", "patients"])


def _group_title(group: int) -> str:
    return "with HCC" if group else "without HCC"


def _sums(used: pd.DataFrame, patients: pd.Index) -> _Sums:
    """Sums by patient and marker, in the order of `patients`; 0 where nothing was measured."""
    n, k = len(patients), len(MARKERS)
    squares, products = np.zeros((n, k, _WIDTH, _WIDTH)), np.zeros((n, k, _WIDTH))
    total, count = np.zeros((n, k)), np.zeros((n, k), dtype=int)
    row = patients.get_indexer(used["patient"])
    for marker, name in enumerate(MARKERS):
        values = used[name].to_numpy(dtype=float)
        known = (row >= 0) & np.isfinite(values)
        at, y = row[known], values[known]
        z = np.column_stack([np.ones(len(y)), used["years"].to_numpy()[known]])
        np.add.at(squares[:, marker], at, z[:, :, None] * z[:, None, :])
        np.add.at(products[:, marker], at, z * y[:, None])
        np.add.at(total[:, marker], at, y**2)
        np.add.at(count[:, marker], at, 1)
    return _Sums(squares, products, total, count)


def _spread(used: pd.DataFrame) -> np.ndarray:
    spread = used[list(MARKERS)].std(ddof=1).to_numpy(dtype=float)
    for name, value in zip(MARKERS, spread, strict=True):
        if not value > 0:
            raise TooFewPatientsError(f"visits, {name}", "must vary", f"SD {value:g}", "Give repeated measurements.")
    return spread


def _check_group(group: int, part: _Sums) -> None:
    who = f"visits, {_group_title(group)}"
    if len(part.total) < _MIN_PATIENTS:
        rule = f"must have {_MIN_PATIENTS} patients or more with measurements"
        raise TooFewPatientsError(who, rule, len(part.total), "Pool cohorts, or leave the longitudinal score out.")
    for marker, name in enumerate(MARKERS):
        # A line needs two times; a spread about it, and between patients, more measurements than that.
        whole = part.squares[:, marker].sum(axis=0)
        if np.linalg.det(whole) <= 1e-9 or part.count[:, marker].sum() <= len(part.total) + _WIDTH:
            raise TooFewPatientsError(
                f"{who}, {name}",
                "must be measured repeatedly, at different times",
                f"{int(part.count[:, marker].sum())} measurements of {len(part.total)} patients",
                "Give more visits, or leave the longitudinal score out.",
            )


def _last_cell_free_dna(used: pd.DataFrame, patients: pd.Index) -> np.ndarray:
    measured = used.dropna(subset=CELL_FREE_DNA).sort_values("months", kind="stable")
    return measured.groupby("patient")[CELL_FREE_DNA].last().reindex(patients).to_numpy(dtype=float)


def _log_normal(values: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log density of rows, normal about 0."""
    factor = np.linalg.cholesky(covariance)
    away = np.linalg.solve(factor, values.T)
    size = len(covariance) * np.log(2 * np.pi) + 2 * np.log(np.diag(factor)).sum()
    return -0.5 * (size + np.square(away).sum(axis=0))
