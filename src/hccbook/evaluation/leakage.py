"""What leakage buys: one switch a leak, on cohorts whose features know nothing of the outcome.

In such a cohort every AUC should be 0.5, and sensitivity + specificity should be 1; whatever a leak adds to the
leakage-free result of the same patients is optimism.

References
----------
Ambroise and McLachlan 2002, PNAS 99:6562 (selection before the split); Blagus and Lusa 2015, BMC Bioinformatics
16:363 (SMOTE before the split); Kapoor and Narayanan 2023, Patterns 4:100804.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import AucEstimate, auc_delong, roc_points
from hccbook.evaluation.outcomes import LEVEL, check_binary
from hccbook.features.lasso import LassoSelector
from hccbook.features.selection import MannWhitneySelector, SpearmanSelector, select_in_steps
from hccbook.models import NestedAlarmModel
from hccbook.models.development import CLINICAL, standardise
from hccbook.models.oversampling import oversample, synthetic_patients

LEAKS = ("selection", "smote", "thresholds", "scaling")
"""Switches: what is done with the validation patients in hand, before or beside the fit."""

NO_LEAK, ALL_LEAKS = "none", "all"

EXPERIMENTS = MappingProxyType({NO_LEAK: (), **{leak: (leak,) for leak in LEAKS}, ALL_LEAKS: LEAKS})
"""Leaks of each experiment: none, one at a time, all together."""

CHANCE = MappingProxyType({"auc": 0.5, "youden": 0.0})
"""True value of each measure where the features know nothing: AUC, and sensitivity + specificity - 1."""


@dataclass(frozen=True)
class LeakExperiment:
    """A model fitted with some leaks, and what its validation then says.

    Attributes
    ----------
    model : NestedAlarmModel
        Fitted on the development part.
    risk, outcome : pandas.Series
        Probability of HCC of the validation patients (and of synthetic ones, where SMOTE leaks); 1 for HCC.
    auc : AucEstimate
        In validation, with DeLong's 95 % interval.
    cutoff, sensitivity, specificity : float
        Probability at or above which a patient is called; in validation, at this cut-off.
    notes : tuple of str
        What a reader should know, the model's notes among it.
    """

    model: NestedAlarmModel
    risk: pd.Series
    outcome: pd.Series
    auc: AucEstimate
    cutoff: float
    sensitivity: float
    specificity: float
    notes: tuple[str, ...]


_FEATURES_A_BLOCK = 6
_Fit = tuple[NestedAlarmModel, pd.Series, pd.Series, tuple[str, ...]]
"""Model, risk and outcome of the validation patients, notes."""


def null_cohort(
    seed: int, n_patients: int = 200, n_hcc: int = 40, n_features: int = 500, correlation: float = 0.7
) -> tuple[pd.DataFrame, pd.Series]:
    """Patients whose features know nothing of the outcome.

    Features are normal and come in blocks, as radiomics do (one texture, many filters): within a block any two are
    correlated, between blocks none. Blocks of six are about as many as the radiomics of the demo's 124 patients have:
    features whose ranks correlate above 0.7 with a first one of theirs form 576 groups of 3,651. aMAP is noise too.

    Parameters
    ----------
    seed : int
        Seed of all values.
    n_patients, n_hcc, n_features : int
        Patients, those of them with HCC, and image features.
    correlation : float
        Correlation of two features of one block, 0 or more, below 1.

    Returns
    -------
    features : pandas.DataFrame, shape (n_patients, n_features + 1)
        Columns ``venous.liver.noise_0001`` and on, then ``amap``; index ``N0001`` and on.
    outcome : pandas.Series of int
        1 for HCC, 0 otherwise, in random order.

    Raises
    ------
    DataError
        If a size or the correlation is out of range.
    """
    if not 0 < n_hcc < n_patients:
        raise DataError("n_hcc", "must be above 0, below n_patients", f"{n_hcc} of {n_patients}", "Give both classes.")
    if n_features < 1:
        raise DataError("n_features", "must be 1 or more", n_features, "Give at least one feature.")
    if not 0 <= correlation < 1:
        raise DataError("correlation", "must be 0 or more, below 1", correlation, "Give 0.7.")
    rng = np.random.default_rng(seed)
    blocks = np.arange(n_features) // _FEATURES_A_BLOCK
    shared = rng.standard_normal((n_patients, blocks[-1] + 1))[:, blocks]
    apart = rng.standard_normal((n_patients, n_features))
    values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * apart
    patients = pd.Index([f"N{number:04d}" for number in range(1, n_patients + 1)], name="patient")
    names = [f"venous.liver.noise_{number:04d}" for number in range(1, n_features + 1)]
    amap = 58 + 6 * rng.standard_normal(n_patients)
    features = pd.DataFrame(np.column_stack([values, amap]), index=patients, columns=[*names, CLINICAL])
    outcome = rng.permutation(np.repeat([1, 0], [n_hcc, n_patients - n_hcc]))
    return features, pd.Series(outcome, index=patients, name="hcc")


def split_cohort(y: pd.Series, share: float = 0.5, seed: int = 0) -> pd.Series:
    """Which patients develop the model: a share of each class, at random.

    Parameters
    ----------
    y : pandas.Series
        1 for HCC, 0 otherwise.
    share : float
        Share of the development part, between 0 and 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    pandas.Series of bool
        Index of `y`.
    """
    chosen, _ = train_test_split(np.arange(len(y)), train_size=share, stratify=y, random_state=seed)
    return pd.Series(np.isin(np.arange(len(y)), chosen), index=y.index, name="development")


def leak_experiment(
    X: pd.DataFrame,
    y: pd.Series,
    development: pd.Series,
    leaks: Iterable[str] = (),
    model: NestedAlarmModel | None = None,
) -> LeakExperiment:
    """Fit on the development part and validate on the rest, with the leaks that are switched on.

    Each switch lets the validation patients into one step, and leaves all others as they were:

    - ``selection``: Mann-Whitney, Spearman and LASSO choose the features on all patients; inside the folds only the
      LASSO is left, to weigh them.
    - ``smote``: all patients are oversampled together, then split; synthetic patients lie in both parts, between
      real ones of either. They are counted as patients, as whoever makes this mistake does.
    - ``thresholds``: the cut-off is the best of the validation patients, not of the development part's
      out-of-fold predictions.
    - ``scaling``: features are standardised once, by the mean and SD of all patients.

    Parameters
    ----------
    X : pandas.DataFrame, shape (n_patients, n_features + 1)
        Columns ``<phase>.<organ>.<name>`` and ``amap``.
    y : pandas.Series
        1 for HCC, 0 otherwise; index of `X`.
    development : pandas.Series of bool
        Which patients develop the model; index of `X`.
    leaks : iterable of str
        Out of `LEAKS`; none for the leakage-free result.
    model : NestedAlarmModel, optional
        Settings of the fit; the defaults where not given.

    Returns
    -------
    LeakExperiment

    Raises
    ------
    DataError
        If a leak is unknown, the patients do not match, a value is missing, or a class is absent from a part.
    ModelError
        As `NestedAlarmModel.fit`.
    """
    chosen = _check_leaks(leaks)
    return _assess(_fit(X, y, development, chosen, model or NestedAlarmModel()), chosen)


def leak_table(
    seeds: Iterable[int],
    sizes: Mapping[str, float] = MappingProxyType({}),
    share: float = 0.5,
    experiments: Mapping[str, Sequence[str]] = EXPERIMENTS,
    model: NestedAlarmModel | None = None,
) -> pd.DataFrame:
    """Experiments on null cohorts, a cohort a seed, all experiments on the same patients and split.

    Parameters
    ----------
    seeds : iterable of int
        Seeds of the cohorts, and of their splits.
    sizes : mapping of str to number
        Arguments of `null_cohort` behind the seed.
    share : float
        Share of the development part.
    experiments : mapping of str to sequence of str
        Leaks of each experiment.
    model : NestedAlarmModel, optional
        As in `leak_experiment`.

    Returns
    -------
    pandas.DataFrame
        Columns seed, leak (name of the experiment), n, events, selected (features of the model), auc, lower, upper,
        cutoff, sensitivity, specificity, youden (sensitivity + specificity - 1).
    """
    rows = []
    for seed in seeds:
        X, y = null_cohort(seed, **sizes)
        development = split_cohort(y, share, seed)
        fits: dict[tuple[str, ...], _Fit] = {}
        for name, leaks in experiments.items():
            chosen = _check_leaks(leaks)
            # The cut-off is chosen after the fit, which is the same with either choice.
            of_fit = tuple(leak for leak in chosen if leak != "thresholds")
            if of_fit not in fits:
                fits[of_fit] = _fit(X, y, development, of_fit, model or NestedAlarmModel())
            result = _assess(fits[of_fit], chosen)
            counts = (len(result.outcome), int(result.outcome.sum()), len(result.model.radiomics_score_.names))
            rates = (result.sensitivity, result.specificity, result.sensitivity + result.specificity - 1)
            rows.append((seed, name, *counts, *result.auc[:3], result.cutoff, *rates))
    columns = ["seed", "leak", "n", "events", "selected", "auc", "lower", "upper", "cutoff"]
    return pd.DataFrame(rows, columns=[*columns, "sensitivity", "specificity", "youden"])


def optimism_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each experiment over the seeds, and its optimism: the mean difference to no leak, seed by seed.

    Parameters
    ----------
    table : pandas.DataFrame
        From `leak_table`, with the experiment ``none`` and two or more seeds.

    Returns
    -------
    pandas.DataFrame
        Columns leak, measure (``auc``, ``youden``), seeds, mean, se, covered (share of the AUC's intervals that hold
        0.5; NaN for the other measure), optimism, optimism_se, lower, upper (95 %, Student's t over the seeds).

    Raises
    ------
    DataError
        If there is no experiment without leak, an experiment lacks a seed, or there is one seed only.
    """
    seeds = sorted(table["seed"].unique())
    if NO_LEAK not in set(table["leak"]) or len(seeds) < 2:
        rule = f"must hold the experiment {NO_LEAK!r} and two seeds or more"
        found = f"{', '.join(table['leak'].unique())}; {len(seeds)} seeds"
        raise DataError("leak table", rule, found, "Make it with leak_table.")
    half_width = float(t.isf((1 - LEVEL) / 2, len(seeds) - 1))
    root = np.sqrt(len(seeds))
    covered = ((table["lower"] <= CHANCE["auc"]) & (table["upper"] >= CHANCE["auc"])).groupby(table["leak"]).mean()
    rows = []
    for measure in CHANCE:
        wide = table.pivot(index="seed", columns="leak", values=measure)
        if wide.isna().any(axis=None):
            rule = "must hold every experiment of every seed"
            raise DataError("leak table", rule, "gaps", "Make it with leak_table.")
        for leak in table["leak"].unique():
            gain = wide[leak] - wide[NO_LEAK]
            mean, se = float(wide[leak].mean()), float(wide[leak].std(ddof=1) / root)
            optimism, optimism_se = float(gain.mean()), float(gain.std(ddof=1) / root)
            limits = (optimism - half_width * optimism_se, optimism + half_width * optimism_se)
            share = covered[leak] if measure == "auc" else np.nan
            rows.append((leak, measure, len(seeds), mean, se, share, optimism, optimism_se, *limits))
    columns = ["leak", "measure", "seeds", "mean", "se", "covered", "optimism", "optimism_se", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def _check_leaks(leaks: Iterable[str]) -> tuple[str, ...]:
    given = (leaks,) if isinstance(leaks, str) else tuple(leaks)
    unknown = [leak for leak in given if leak not in LEAKS]
    if unknown:
        raise DataError("leaks", f"must be out of {', '.join(LEAKS)}", repr(unknown[0]), "Correct the name.")
    return tuple(leak for leak in LEAKS if leak in given)


def _fit(
    X: pd.DataFrame, y: pd.Series, development: pd.Series, leaks: tuple[str, ...], model: NestedAlarmModel
) -> _Fit:
    for what, given in (("outcome", y), ("development", development)):
        if not given.index.equals(X.index):
            raise DataError(what, "must have the features' patients in their order", "another index", "Align them.")
    learner = clone(model)
    notes: list[str] = []
    if "smote" in leaks:
        X, y, development = _oversampled_together(X, y, development, learner, notes)
    if "selection" in leaks:
        X = X[[*_selected_on_all(X, y, learner, notes), CLINICAL]]
        learner.set_params(p_threshold=1.0, spearman_threshold=1.0)
    if "scaling" in leaks:
        z, *_ = standardise(X.drop(columns=CLINICAL))
        X = z.assign(**{CLINICAL: X[CLINICAL]})
        learner.set_params(standardise=False)
    inside = development.to_numpy(dtype=bool)
    learner.fit(X[inside], y[inside])
    risk = pd.Series(learner.predict_proba(X[~inside])[:, 1], index=X.index[~inside], name="risk")
    outcome = pd.Series(check_binary(y[~inside], place="validation outcome"), index=risk.index, name="hcc")
    return learner, risk, outcome, (*notes, *learner.notes_)


def _oversampled_together(
    X: pd.DataFrame, y: pd.Series, development: pd.Series, model: NestedAlarmModel, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Real and synthetic patients, with as many synthetic ones in the development part as balance it."""
    z, means, scales, _ = standardise(X)
    outcome = check_binary(y)
    augmented = oversample(z.to_numpy(), outcome, model.random_state)
    if not augmented.added:
        notes.append("SMOTE before the split added nobody.")
        return X, y, development
    # A column that is constant in the real patients is so in the synthetic ones.
    synthetic = synthetic_patients(augmented.values[len(z) :], X, means, scales)
    patients = X.index.append(synthetic.index)
    inside = development.to_numpy(dtype=bool)
    in_development = abs(int((1 - 2 * outcome[inside]).sum()))
    place = np.random.default_rng(model.random_state).permutation(np.arange(augmented.added) < in_development)
    values = np.concatenate([X.to_numpy(dtype=float), synthetic.to_numpy()])
    return (
        pd.DataFrame(values, index=patients, columns=X.columns),
        pd.Series(augmented.outcome, index=patients, name=y.name),
        pd.Series(np.concatenate([inside, place]), index=patients, name=development.name),
    )


def _selected_on_all(X: pd.DataFrame, y: pd.Series, model: NestedAlarmModel, notes: list[str]) -> list[str]:
    """Features that the three steps leave when they see every patient."""
    z, *_ = standardise(X.drop(columns=CLINICAL))
    steps = {
        "mann_whitney": MannWhitneySelector(model.p_threshold),
        "spearman": SpearmanSelector(model.spearman_threshold),
        "lasso": LassoSelector(model.lasso_folds, model.lambda_rule, model.random_state),
    }
    selected = list(select_in_steps(z, y.to_numpy(), steps).features)
    if not selected:
        notes.append("Selection before the split kept no feature.")
    return selected


def _assess(fit: _Fit, leaks: tuple[str, ...]) -> LeakExperiment:
    model, risk, outcome, notes = fit
    held_out = model.out_of_fold_
    cutoff = _best_cutoff(outcome, risk) if "thresholds" in leaks else _best_cutoff(held_out["y"], held_out["alarm"])
    called, hcc = risk >= cutoff, outcome == 1
    rates = (float(called[hcc].mean()), float((~called[~hcc]).mean()))
    return LeakExperiment(model, risk, outcome, auc_delong(outcome, risk), cutoff, *rates, notes)


def _best_cutoff(y: pd.Series, risk: pd.Series) -> float:
    """Risk at which sensitivity + specificity is greatest; of equal ones the lowest, which calls more patients."""
    points = roc_points(y, risk).iloc[1:]
    youden = (points["tpr"] - points["fpr"]).to_numpy()
    return float(points["cutoff"].to_numpy()[np.flatnonzero(youden >= youden.max() - 1e-12)[-1]])
