"""aMAP-2 and aMAP-2 Plus refitted: longitudinal discriminant analysis of repeated aMAP and AFP.

The published scores have no public formula: their data and weights are not public either. What is here has the same
structure and is learnt anew from whatever patients it is given, so that it is a refit, says so in its name, and
refuses the published ones.

References
----------
Fan et al. 2023, J Hepatol 79:933 (aMAP-2, aMAP-2 Plus). Hughes et al. 2018, Biom J 60:307 (of whose three densities
the marginal one is taken); Komárek et al. 2010, Stat Med 29:3267.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import DataError, ModelError
from hccbook.features.selection import check_choice, check_outcome
from hccbook.models.development import probability
from hccbook.models.mixed_model import WIDTH, MixedModel, Sums, log_density

MARKERS = ("amap", "afp")
"""Repeated markers, by column; AFP enters as its decimal logarithm."""

_CELL_FREE_DNA = "cfdna"  # column of the signature

_PUBLISHED = ("aMAP-2", "aMAP-2 Plus")  # names that a refit must not carry
_MIN_AFP = 0.5  # stands in for lesser values, ug/L, before the logarithm; assays detect little below it
_WINDOW_MONTHS = 24.0
_MIN_PATIENTS = 3  # of a group: with fewer, a spread between patients is a guess
_MONTHS_A_YEAR = 12.0


class TooFewPatientsError(ModelError):
    """Patients from whom no refit can be learnt: an outcome to report, where other errors are mistakes to correct."""


def check_refit_name(name: str) -> str:
    """The name of a refit, if it says that it is one.

    Raises
    ------
    ModelError
        If it is the name of a published score whose formula is not public, with or without other words but "refit".
    """
    letters = re.sub(r"[^a-z0-9]", "", str(name).lower())
    published = re.sub(r"[^a-z0-9]", "", _PUBLISHED[0].lower())
    if (published in letters and "refit" not in letters) or not letters:
        rule = "must say that the score is refitted, since the published one has no public formula"
        raise ModelError("name", rule, repr(name), f"Call it {_PUBLISHED[0]} refit or {_PUBLISHED[1]} refit.")
    return str(name)


@dataclass(frozen=True)
class GroupModel:
    """What one outcome group's markers look like over time.

    Attributes
    ----------
    mean : numpy.ndarray, shape (4,)
        Intercept (at the landmark) and slope (a year) of aMAP, then of log10 AFP.
    covariance : numpy.ndarray, shape (4, 4)
        Of the same between patients.
    residual_sd : numpy.ndarray, shape (2,)
        Within a patient about their own line, of aMAP and log10 AFP; independent of each other and over time.
    cell_free_dna : tuple of float or None
        Mean and SD of the cell-free-DNA signature; None where it does not enter.
    """

    mean: np.ndarray
    covariance: np.ndarray
    residual_sd: np.ndarray
    cell_free_dna: tuple[float, float] | None = None


class Amap2Refit(BaseEstimator):
    """Longitudinal discriminant analysis of repeated aMAP and AFP: the structure of aMAP-2, refitted.

    In each outcome group a mixed model says how the markers run: y = (b0 + b1 t) + noise, a line for each patient and
    marker, whose intercepts and slopes are normal between patients. Bayes' rule then gives the probability of the
    outcome from a patient's own measurements: P(g | y) = p_g f_g(y) / sum over groups of p_k f_k(y), f_g being the
    density of the measurements, whatever the patient's line.

    Measurements are those of the 24 months up to the landmark, enrolment; later ones are never looked at.

    It is no published score: aMAP-2's parameters are not public, and `name` must say that this is a refit.

    Parameters
    ----------
    covariance : {"group", "pooled"}
        Whether each group has covariances of its own, or they share them, which asks less of a small group.
    cell_free_dna : bool
        Whether a cell-free-DNA signature (column ``cfdna``, the last value up to the landmark) enters as one more
        marker, normal in each group and independent of the others within it: the structure of aMAP-2 Plus. A patient
        without it is judged by the others.
    name : str
        What the score is called.

    Attributes
    ----------
    groups_ : dict of int to GroupModel
        By outcome, 0 and 1.
    prior_ : float
        Probability of the outcome before any measurement: the share in the patients of `fit`.
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
        self, covariance: Literal["group", "pooled"] = "group", cell_free_dna: bool = False, name: str = "aMAP-2 refit"
    ) -> None:
        self.covariance = covariance
        self.cell_free_dna = cell_free_dna
        self.name = name

    def fit(self, visits: pd.DataFrame, y: pd.Series) -> Amap2Refit:
        """Learn both groups' models.

        Parameters
        ----------
        visits : pandas.DataFrame, shape (n_visits, n_columns)
            One row per visit, in any order: columns patient, months (from enrolment, negative before), amap, afp
            (ug/L), and cfdna where it enters. Values may be missing; visits of patients who are not in `y` are ignored.
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
        check_refit_name(self.name)
        check_choice("covariance", self.covariance, ("group", "pooled"))
        if not isinstance(y, pd.Series):
            raise DataError("outcome", "must be a Series by patient", type(y).__name__, "Give clinical['hcc'].")
        if y.index.has_duplicates:
            twice = y.index[y.index.duplicated()][0]
            raise DataError("outcome", "must have each patient once", f"{twice} twice", "Drop the repeated rows.")
        outcome = check_outcome(y, y)
        used = self._used(visits)
        sums = _sums(used, y.index)
        known = sums.count.sum(axis=1) > 0
        self.notes_: list[str] = []
        if not known.all():
            self.notes_.append(f"{int((~known).sum())} patients have no measurement up to the landmark; left out.")
        spread = _spread(used[used["patient"].isin(y.index)])
        chosen = {group: sums.of(known & (outcome == group)) for group in (0, 1)}
        for group, part in chosen.items():
            _check_group(group, part)
        dna = self._fit_cell_free_dna(used, y, outcome) if self.cell_free_dna else {}
        self.groups_: dict[int, GroupModel] = {}
        for members in [(0, 1)] if self.covariance == "pooled" else [(0,), (1,)]:
            mixed = MixedModel([chosen[group] for group in members], MARKERS)
            means, covariance, sd, notes = mixed.fit(spread)
            who = "both groups" if len(members) > 1 else _group_title(members[0])
            self.notes_ += [f"{who}: {note}." for note in notes]
            for group, mean in zip(members, means, strict=True):
                self.groups_[group] = GroupModel(mean, covariance, sd, dna.get(group))
        self.prior_ = float(outcome[known].mean())
        return self

    def _used(self, visits: pd.DataFrame) -> pd.DataFrame:
        """Visits of the window up to the landmark, with years from it and log10 AFP."""
        if not isinstance(visits, pd.DataFrame):
            raise ModelError("visits", "must be a DataFrame, one row per visit", type(visits).__name__, "Make a table.")
        needed = ("patient", "months", *MARKERS, *((_CELL_FREE_DNA,) if self.cell_free_dna else ()))
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
        table = table[table["months"].between(-_WINDOW_MONTHS, 0)]
        values = table[list(needed[2:])]
        if np.isinf(values.to_numpy(dtype=float)).any() or (table["afp"] < 0).any():
            raise DataError("visits", "must hold finite values, AFP 0 or more", "others", "Give AFP in ug/L.")
        return table.assign(years=table["months"] / _MONTHS_A_YEAR, afp=np.log10(np.maximum(table["afp"], _MIN_AFP)))

    def _fit_cell_free_dna(self, used: pd.DataFrame, y: pd.Series, outcome: np.ndarray) -> dict[int, tuple]:
        values = _last_cell_free_dna(used, y.index)
        parts = {group: values[(outcome == group) & np.isfinite(values)] for group in (0, 1)}
        for group, part in parts.items():
            if len(part) < _MIN_PATIENTS or np.ptp(part) == 0:
                rule = f"must be known of {_MIN_PATIENTS} patients or more, and vary between them"
                found = f"{len(part)} values, {len(np.unique(part))} of them different"
                where = f"{_CELL_FREE_DNA}, {_group_title(group)}"
                raise TooFewPatientsError(where, rule, found, "Fit without cell_free_dna.")
        sds = {group: float(part.std(ddof=1)) for group, part in parts.items()}
        if self.covariance == "pooled":
            degrees = {group: len(part) - 1 for group, part in parts.items()}
            variance = sum(degrees[group] * sds[group] ** 2 for group in parts) / sum(degrees.values())
            sds = dict.fromkeys(parts, float(np.sqrt(variance)))
        return {group: (float(part.mean()), sds[group]) for group, part in parts.items()}

    def _log_densities(self, used: pd.DataFrame, keys: pd.Index) -> pd.DataFrame:
        """Logarithm of f_g by patient and group, columns 0 and 1; NaN for a patient without any measurement."""
        sums = _sums(used, keys)
        measured = sums.count.sum(axis=1) > 0
        dna = _last_cell_free_dna(used, keys) if self.cell_free_dna else np.full(len(keys), np.nan)
        logs = {}
        for group, model in self.groups_.items():
            log = log_density(sums, model.mean, model.covariance, model.residual_sd).log
            if model.cell_free_dna is not None:
                mean, sd = model.cell_free_dna
                log = log + np.where(np.isfinite(dna), norm.logpdf(dna, mean, sd), 0.0)
            logs[group] = np.where(measured | np.isfinite(dna), log, np.nan)
        return pd.DataFrame(logs, index=keys)

    def scores(self, visits: pd.DataFrame, patients: Sequence | None = None) -> pd.DataFrame:
        """Score of every patient from the measurements up to the landmark.

        Parameters
        ----------
        visits : pandas.DataFrame, shape (n_visits, n_columns)
            As in `fit`.
        patients : sequence, optional
            Keys of the patients wanted; those of `visits` in the order of their first visit where not given.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 2)
            Index patient; the score under its name in lower case (``amap_2_refit``), a probability, higher meaning a
            higher risk, NaN for a patient without any measurement; and measurements, how many it comes from.

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
        logs = self._log_densities(used, keys)
        odds = logs[1] - logs[0] + np.log(self.prior_ / (1 - self.prior_))
        columns = [*MARKERS, *((_CELL_FREE_DNA,) if self.cell_free_dna else ())]
        counts = used[columns].notna().sum(axis=1).groupby(used["patient"]).sum()
        slug = re.sub(r"[^a-z0-9]+", "_", self.name.lower().replace("amap", "amap ")).strip("_")
        return pd.DataFrame({slug: probability(odds), "measurements": counts.reindex(keys, fill_value=0).astype(int)})


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
                rule = "must be known of patients with and without HCC"
                found = f"{events} with and {len(known) - events} without"
                raise TooFewPatientsError("outcome", rule, found, "Leave the score out.")
            fitted = clone(model).fit(visits, known)
        except TooFewPatientsError as error:
            sentence = f"not learnt: {error.place} {error.rule}, but found {error.found}"
            reasons.append((model.name, sentence, len(scores)))
        else:
            scores[model.name] = fitted.scores(visits, patients).iloc[:, 0].to_numpy()
    return scores, pd.DataFrame(reasons, columns=["model", "reason", "patients"])


def _group_title(group: int) -> str:
    return "with HCC" if group else "without HCC"


def _sums(used: pd.DataFrame, patients: pd.Index) -> Sums:
    """Sums by patient and marker, in the order of `patients`."""
    values = used[list(MARKERS)].to_numpy(dtype=float)
    return Sums.over(patients.get_indexer(used["patient"]), used["years"].to_numpy(), values, len(patients))


def _spread(used: pd.DataFrame) -> np.ndarray:
    spread = used[list(MARKERS)].std(ddof=1).to_numpy(dtype=float)
    for name, value in zip(MARKERS, spread, strict=True):
        if not value > 0:
            raise TooFewPatientsError(f"visits, {name}", "must vary", f"SD {value:g}", "Give repeated measurements.")
    return spread


def _check_group(group: int, part: Sums) -> None:
    who = f"visits, {_group_title(group)}"
    if len(part.total) < _MIN_PATIENTS:
        rule = f"must have {_MIN_PATIENTS} patients or more with measurements"
        raise TooFewPatientsError(who, rule, len(part.total), "Pool cohorts, or leave the longitudinal score out.")
    for marker, name in enumerate(MARKERS):
        # A line needs two times; a spread about it, and between patients, more measurements than that.
        whole = part.squares[:, marker].sum(axis=0)
        if np.linalg.det(whole) <= 1e-9 or part.count[:, marker].sum() <= len(part.total) + WIDTH:
            found = f"{int(part.count[:, marker].sum())} measurements of {len(part.total)} patients"
            hint = "Give more visits, or leave the longitudinal score out."
            raise TooFewPatientsError(f"{who}, {name}", "must be measured repeatedly, at different times", found, hint)


def _last_cell_free_dna(used: pd.DataFrame, patients: pd.Index) -> np.ndarray:
    measured = used.dropna(subset=_CELL_FREE_DNA).sort_values("months", kind="stable")
    return measured.groupby("patient")[_CELL_FREE_DNA].last().reindex(patients).to_numpy(dtype=float)
