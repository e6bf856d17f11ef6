"""What the right way and the wrong ways to answer a question give; the questions themselves are in ``data/questions/``.

Each function is one calculation: it takes what the question gives, and returns the number of the right way as
``right`` and that of each wrong way under a name that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression

from hccbook import evaluation, scores
from hccbook.audit.intervals import wald_interval
from hccbook.audit.printed import counts_that_print_as, printed_range
from hccbook.evaluation.agreement import icc_table
from hccbook.features.radiomics import ExtractionSettings, extract_features
from hccbook.images import preprocessing
from hccbook.models.oversampling import oversample

Numbers = dict[str, float]
Values = Sequence[float]
Grid = Sequence[Values]


# Cohort and scores


def share_of_a_cohort(events: float, others: float, everybody: float) -> Numbers:
    """Per cent of a cohort with HCC."""
    return {
        "right": 100 * events / (events + others),
        "of_those_without": 100 * events / others,
        "of_all_cohorts": 100 * events / everybody,
    }


def albi(bilirubin: float, albumin: float) -> Numbers:
    """ALBI from bilirubin in umol/L and albumin in g/L."""
    return {
        "right": float(scores.albi(bilirubin, albumin)),
        "natural_logarithm": 0.66 * np.log(bilirubin) - 0.085 * albumin,
        "albumin_in_g_dl": 0.66 * np.log10(bilirubin) - 0.085 * albumin / 10,
    }


def amap(age: float, bilirubin: float, albumin: float, platelets: float) -> Numbers:
    """AMAP of a man; ALBI enters it with the weight 0.48 / 14.77 x 100."""
    right = float(scores.amap(age, True, bilirubin, albumin, platelets))
    return {
        "right": right,
        "bilirubin_in_mg_dl": right - 48 / 14.77 * 0.66 * np.log10(17.1),
        "albumin_in_g_dl": right + 48 / 14.77 * 0.085 * albumin * (1 - 1 / 10),
    }


def ideal_observer(shift: float) -> Numbers:
    """AUC of a score that lies `shift` standard deviations higher in those who develop HCC."""
    return {
        "right": norm.cdf(shift / np.sqrt(2)),
        "other_patients_all_alike": norm.cdf(shift),
        "best_share_rightly_called": norm.cdf(shift / 2),
    }


# Images and masks


def hounsfield_units(stored: float, slope: float, intercept: float) -> Numbers:
    """HU of a stored value."""
    return {
        "right": stored * slope + intercept,
        "not_rescaled": stored,
        "slope_left_out": stored + intercept,
        "intercept_first": (stored + intercept) * slope,
    }


def windowed(hu: float, width: float, level: float) -> Numbers:
    """What is left of an intensity within a window."""
    return {
        "right": float(preprocessing.window([hu], width, level)[0]),
        "width_as_upper_limit": min(hu, width),
        "width_on_each_side": min(hu, level + width),
    }


def grey_levels(low: float, high: float, bin_width: float) -> Numbers:
    """Grey levels between two intensities."""
    levels = preprocessing.discretise([low, high], bin_width)
    return {
        "right": int(np.ptp(levels)) + 1,
        "range_over_width": (high - low) / bin_width,
        "width_taken_for_their_number": bin_width,
    }


def volume_ml(voxels: float, pixel_mm: float, slice_mm: float) -> Numbers:
    """Volume of a mask."""
    return {
        "right": voxels * pixel_mm**2 * slice_mm / 1000,
        "spacing_ignored": voxels / 1000,
        "pixel_taken_for_the_slice": voxels * pixel_mm**3 / 1000,
    }


def dice(drawn: float, network: float, both: float) -> Numbers:
    """Dice of two masks, from their voxels."""
    return {
        "right": 2 * both / (drawn + network),
        "jaccard": both / (drawn + network - both),
        "share_of_the_drawn_mask": both / drawn,
        "share_of_the_network_s": both / network,
    }


def mean_dice(drawn: Values, network: Values, both: Values) -> Numbers:
    """Mean Dice of organs of different size."""
    first, second, common = (np.asarray(part) for part in (drawn, network, both))
    return {
        "right": float((2 * common / (first + second)).mean()),
        "voxels_pooled": 2 * common.sum() / (first + second).sum(),
    }


def surface_distance(near_mm: float, near: int, far_mm: Values) -> Numbers:
    """HD95 of distances between two surfaces."""
    distances = np.array([near_mm] * near + list(far_mm))
    return {"right": float(np.percentile(distances, 95)), "largest": distances.max(), "mean": distances.mean()}


def sphericity(rows: int, slices: int, pixel_mm: float, slice_mm: float) -> Numbers:
    """Sphericity of a block of voxels, by PyRadiomics, which starts faster than the book's own engine."""
    mask = sitk.GetImageFromArray(np.ones((slices, rows, rows), np.uint8))
    settings, measured = ExtractionSettings(feature_classes=("shape",)), {}
    for name, spacing in (("right", (pixel_mm, pixel_mm, slice_mm)), ("spacing_ignored", (1.0, 1.0, 1.0))):
        mask.SetSpacing(spacing)
        image = sitk.Cast(mask, sitk.sitkFloat64)
        features = extract_features(image, mask, settings, engine="pyradiomics")
        measured[name] = float(features["original_shape_Sphericity"])
    return measured | {"as_a_ball": 1.0}


def eroded_volume(radius_mm: float, depth_mm: float) -> Numbers:
    """Share of a ball's volume that an erosion takes."""
    left = 1 - depth_mm / radius_mm
    return {"right": 1 - left**3, "of_the_radius": 1 - left, "of_the_area": 1 - left**2}


# Radiomics


def number_of_features(filters: int) -> Numbers:
    """Features of an image and its filtered ones: 107, and 93 of each, which share the 14 of the shape."""
    return {"right": 107 + 93 * filters, "shape_at_every_filter": 107 * (1 + filters), "no_shape": 93 * (1 + filters)}


def deep_features(phases: int, organs: int, pooled: int, deeper: int) -> Numbers:
    """Deep features of all phases and organs."""
    return {
        "right": phases * organs * pooled,
        "one_organ": phases * pooled,
        "of_a_deeper_network": phases * organs * deeper,
    }


def false_discoveries(features: int, phases: int, level: float) -> Numbers:
    """Features of noise with a p below `level`."""
    return {"right": features * phases * level, "of_one_phase": features * level, "as_if_corrected": level}


def entropy(hu: Grid, bin_width: float) -> Numbers:
    """First-order entropy of an image."""
    levels = preprocessing.discretise(hu, bin_width)
    share = np.unique(levels, return_counts=True)[1] / levels.size
    raw = np.unique(hu, return_counts=True)[1] / np.size(hu)
    return {
        "right": float(-(share * np.log2(share)).sum()),
        "natural_logarithm": float(-(share * np.log(share)).sum()),
        "not_binned": float(-(raw * np.log2(raw)).sum()),
    }


def contrast(hu: Grid, bin_width: float) -> Numbers:
    """GLCM contrast to the right."""
    step = np.diff(preprocessing.discretise(hu, bin_width), axis=1)
    return {
        "right": float((step**2).mean()),
        "not_squared": float(np.abs(step).mean()),
        "not_binned": float((np.diff(hu, axis=1) ** 2).mean()),
    }


def zone_percentage(hu: Grid, bin_width: float) -> Numbers:
    """Zones of one level by pixels."""
    levels = preprocessing.discretise(hu, bin_width)

    def zones(corners: bool) -> int:
        neighbours = ndimage.generate_binary_structure(2, 2 if corners else 1)
        return sum(ndimage.label(levels == level, neighbours)[1] for level in np.unique(levels))

    return {
        "right": zones(True) / levels.size,
        "corners_left_out": zones(False) / levels.size,
        "levels_counted": np.unique(levels).size / levels.size,
    }


def intraclass_correlation(first: Values, second: Values) -> Numbers:
    """ICC(2,1) of one feature under two masks."""
    single = float(icc_table(np.column_stack([first, second])[..., np.newaxis])["icc"].iloc[0])
    return {
        "right": single,
        "correlation": float(np.corrcoef(first, second)[0, 1]),
        "of_the_mean_of_both": 2 * single / (1 + single),
    }


def called_after_a_shift(risks: Values, cutoff: float, shift: float) -> Numbers:
    """Patients at or above a cut-off when every risk has moved by the same amount."""
    moved = np.asarray(risks) + shift
    order = np.argsort(risks)
    return {
        "right": int((moved >= cutoff).sum()),
        "as_before": int((np.asarray(risks) >= cutoff).sum()),
        "ranks_that_changed": int((np.argsort(moved) != order).sum()),
    }


# Discrimination, and what a result is worth


def auc(hcc: Values, score: Values) -> Numbers:
    """AUC of a score with ties."""
    above, tied = _pairs(hcc, score)
    return {
        "right": evaluation.auc_delong(np.asarray(hcc), score).auc,
        "ties_counted_as_1": above + tied,
        "ties_counted_as_0": above,
    }


def _pairs(hcc: Values, score: Values) -> tuple[float, float]:
    """Shares of pairs in which the patient with HCC scores higher, and in which both score the same."""
    event, values = np.asarray(hcc, dtype=bool), np.asarray(score, dtype=float)
    difference = values[event][:, np.newaxis] - values[~event]
    return float((difference > 0).mean()), float((difference == 0).mean())


def concordance(months: Values, hcc: Values, score: Values) -> Numbers:
    """C-index: of pairs of whom one is known to have had HCC first, how often that one scores higher."""
    time, event, values = np.asarray(months), np.asarray(hcc, dtype=bool), np.asarray(score)

    def of(first: np.ndarray, tie: float) -> float:
        comparable = first[:, np.newaxis] & (time[:, np.newaxis] < time)
        difference = (values[:, np.newaxis] - values)[comparable]
        return float(((difference > 0) + tie * (difference == 0)).mean())

    return {"right": of(event, 0.5), "ties_counted_as_1": of(event, 1.0), "censored_as_hcc": of(event | True, 0.5)}


def positive_predictive_value(sensitivity: float, specificity: float, events: float, others: float) -> Numbers:
    """PPV where `events` of all have HCC."""
    here = evaluation.predictive_values(sensitivity, specificity, events / (events + others))[0]
    source = evaluation.predictive_values(sensitivity, specificity, 0.5)[0]
    return {"right": float(here), "at_the_source_s_prevalence": float(source), "sensitivity": sensitivity}


def negative_predictive_value(prevalence: float) -> Numbers:
    """NPV of a coin toss."""
    right = evaluation.predictive_values(0.5, 0.5, prevalence)[1]
    return {"right": float(right), "specificity": 0.5, "of_all_people": 0.5 * (1 - prevalence)}


def accuracy_of_calling_nobody(events: float, others: float) -> Numbers:
    """Accuracy of a score that calls nobody."""
    return {"right": others / (events + others), "its_sensitivity": 0.0, "its_auc": 0.5}


def two_tests_in_a_row(first: float, second: float) -> Numbers:
    """Sensitivity of two independent tests of which both must be positive."""
    return {"right": first * second, "either_is_enough": 1 - (1 - first) * (1 - second), "the_last_one_s": second}


def people_per_cancer(high: float, low: float) -> Numbers:
    """People of the high-risk group for one HCC in it, from incidences in per cent."""
    return {
        "right": 100 / high,
        "for_one_more_than_in_the_low_group": 100 / (high - low),
        "of_the_low_group": 100 / low,
    }


def share_spared(low: int, high: int, called: int) -> Numbers:
    """Share of people whom a first step spares a CT score, where `low` of them are low in the first step."""
    everybody = low + high
    return {
        "right": low / everybody,
        "all_who_end_low": (everybody - called) / everybody,
        "of_those_who_end_low": low / (everybody - called),
    }


def p_of_two_aucs(hcc: Values, one: Values, other: Values) -> Numbers:
    """P of the difference of two AUCs of the same patients."""
    first, second = (evaluation.auc_delong(np.asarray(hcc), score) for score in (one, other))
    apart = abs(first.auc - second.auc) / np.sqrt(first.variance + second.variance)
    return {
        "right": evaluation.delong_test(np.asarray(hcc), one, other).p,
        "as_if_of_other_patients": 2 * norm.sf(apart),
    }


# Calibration, reclassification and decisions


def risk_without_oversampling(risk: float, events: float, others: float) -> Numbers:
    """Risk in a cohort, of a model that learnt from as many patients with HCC as without."""
    odds = risk / (1 - risk) * events / others
    share = events / (events + others)
    return {"right": odds / (1 + odds), "as_the_model_says": risk, "risk_scaled_instead_of_odds": risk * share / 0.5}


def recalibrated(risk: float, slope: float) -> Numbers:
    """Risk after a calibration slope."""
    right = float(expit(slope * logit(risk)))
    return {"right": right, "slope_times_risk": slope * risk, "as_predicted": risk}


def calibration_error(errors: Values) -> Numbers:
    """E90 of distances between predicted and observed risk."""
    distances = np.abs(errors)
    return {"right": float(np.percentile(distances, 90)), "ici": distances.mean(), "e50": float(np.median(distances))}


def net_benefit(found: float, alarmed: float, patients: float, threshold: float) -> Numbers:
    """Net benefit a hundred patients."""
    odds = threshold / (1 - threshold)
    return {
        "right": 100 * (found - alarmed * odds) / patients,
        "false_alarms_not_weighed": 100 * (found - alarmed) / patients,
        "false_alarms_left_out": 100 * found / patients,
    }


def net_reclassification(up: Values, down: Values, patients: Values) -> Numbers:
    """NRI from those who move up and down, those with HCC first."""
    (events_up, others_up), (events_down, others_down), (events, others) = up, down, patients
    better = (events_up - events_down, others_down - others_up)
    return {
        "right": better[0] / events + better[1] / others,
        "people_pooled": sum(better) / (events + others),
        "up_counted_as_better_for_all": better[0] / events - better[1] / others,
    }


def odds_ratio_per_sd(per_unit: float, sd: float) -> Numbers:
    """Odds ratio of a standard deviation."""
    return {"right": per_unit**sd, "added_up": 1 + (per_unit - 1) * sd, "of_one_unit": per_unit}


def p_of_the_best_cutoffs(seed: int, patients: int, permutations: int) -> Numbers:
    """P of the largest chi-square that X-tile finds in a score of noise."""
    rng = np.random.default_rng(seed)
    score, hcc = rng.normal(size=patients), np.arange(patients) % 4 == 0
    found = evaluation.xtile_permutation(score, hcc.astype(int), permutations=permutations, seed=seed)
    # Three groups have two degrees of freedom, of which the tail is exp(-x / 2).
    return {"right": found.p, "search_not_paid_for": float(np.exp(-found.statistic / 2))}


# Time


def incidence(months: Values, hcc: Values, at: float) -> Numbers:
    """Cumulative incidence with censoring."""
    time, event = np.asarray(months), np.asarray(hcc)
    cases = event[time <= at].sum()
    return {
        "right": float(evaluation.incidence_at(time, event, at)["incidence"].iloc[0]),
        "of_everybody": cases / time.size,
        "of_those_with_a_known_outcome": cases / ((time > at) | (event == 1)).sum(),
    }


def incidence_with_deaths(months: Values, outcome: Values, at: float) -> Numbers:
    """Incidence of HCC (1) where people die without it (2), or leave (0); no two at the same time."""
    order = np.argsort(months)
    time, kind = np.asarray(months)[order], np.asarray(outcome)[order]
    at_risk = np.arange(time.size, 0, -1)
    alive = np.cumprod(1 - (kind > 0) / at_risk)
    before = np.concatenate([[1.0], alive[:-1]])
    seen = time <= at
    return {
        "right": float((before * (kind == 1) / at_risk)[seen].sum()),
        "death_as_censoring": float(evaluation.incidence_at(time, (kind == 1).astype(int), at)["incidence"].iloc[0]),
        "of_everybody": (kind[seen] == 1).sum() / time.size,
    }


def yearly_risk(per_cent: float, years: float) -> Numbers:
    """Risk of one year, in per cent, where it is the same each year."""
    free = 1 - per_cent / 100
    return {
        "right": 100 * (1 - free ** (1 / years)),
        "divided": per_cent / years,
        "rate_taken_for_a_risk": -100 * np.log(free) / years,
    }


def rate_per_100_years(months: Values, hcc: Values) -> Numbers:
    """HCC in a hundred person-years."""
    years, cases = np.asarray(months) / 12, sum(hcc)
    return {
        "right": 100 * cases / years.sum(),
        "by_the_longest_follow_up": 100 * cases / years.max() / years.size,
        "years_of_those_with_hcc": 100 * cases / years[np.asarray(hcc) == 1].sum(),
    }


def risk_by_hazard_ratio(per_cent: float, ratio: float) -> Numbers:
    """Risk in per cent at `ratio` times the hazard."""
    risk = per_cent / 100
    odds = ratio * risk / (1 - risk)
    return {
        "right": 100 * (1 - (1 - risk) ** ratio),
        "risk_times_ratio": per_cent * ratio,
        "odds_times_ratio": 100 * odds / (1 + odds),
    }


def printed_formula(ct_image: float, amap: float, mean: float, sd: float, weights: Values) -> Numbers:
    """Risk in per cent by aMAP-CT's printed formula."""
    image, clinical, constant = weights

    def risk(entered: float) -> float:
        return 100 * float(expit(image * ct_image + clinical * entered + constant))

    return {
        "right": risk((amap - mean) / sd),
        "amap_as_it_is": risk(amap),
        "constant_left_out": 100 * float(expit(image * ct_image + clinical * (amap - mean) / sd)),
    }


# Audit


def counts_behind_a_percentage(per_cent: str, patients: int) -> Numbers:
    """Whole numbers of patients that print as this percentage."""

    def counts(text: str) -> int:
        return len(counts_that_print_as(printed_range(text, "%"), patients))

    whole = f"{float(per_cent):.0f}"
    return {"right": counts(per_cent), "nearest_one": 1, "as_if_rounded_to_a_whole_per_cent": counts(whole)}


def lower_limit(sensitivity: float, events: float, others: float) -> Numbers:
    """Wald's lower limit of a sensitivity."""
    return {
        "right": wald_interval(sensitivity, int(events))[0],
        "of_the_whole_cohort": wald_interval(sensitivity, int(events + others))[0],
        "spread_of_one_patient": wald_interval(sensitivity, 1)[0],
    }


def p_of_a_ratio(ratio: float, lower: float, upper: float) -> Numbers:
    """P of a hazard ratio with its 95 % interval."""
    z = norm.isf(0.025)
    width = (upper - lower) / (2 * z)
    return {
        "right": 2 * norm.sf(np.log(ratio) / (np.log(upper / lower) / (2 * z))),
        "not_on_the_logarithm": 2 * norm.sf((ratio - 1) / width),
        "distance_from_nothing": 2 * norm.sf(ratio / width),
    }


def pooled_mean(means: Values, patients: Values) -> Numbers:
    """Mean of all, from those of the parts."""
    return {
        "right": float(np.average(means, weights=patients)),
        "means_averaged": float(np.mean(means)),
        "weights_exchanged": float(np.average(means, weights=patients[::-1])),
    }


# Leakage


def oversampling_leak(seed: int, cohorts: int, patients: int, hcc: int, features: int) -> Numbers:
    """Mean AUC of a logistic regression on noise, where SMOTE comes after the split or before it."""
    reached: dict[str, list[float]] = {"right": [], "before_the_split": [], "on_the_patients_learnt_from": []}
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        X, y = rng.normal(size=(patients, features)), (np.arange(patients) < hcc).astype(int)
        half = np.arange(patients) % 2 == 0
        learnt = oversample(X[half], y[half], seed)
        together = oversample(X, y, seed)
        part = np.arange(len(together.values)) % 2 == 0
        model = LogisticRegression(max_iter=1000)
        model.fit(learnt.values, learnt.outcome)
        reached["right"].append(_auc(y[~half], model.decision_function(X[~half])))
        reached["on_the_patients_learnt_from"].append(_auc(learnt.outcome, model.decision_function(learnt.values)))
        model.fit(together.values[part], together.outcome[part])
        score = model.decision_function(together.values[~part])
        reached["before_the_split"].append(_auc(together.outcome[~part], score))
    return {name: float(np.mean(aucs)) for name, aucs in reached.items()}


def selection_leak(seed: int, cohorts: int, patients: int, features: int) -> Numbers:
    """Mean AUC of the best of many features of noise, by who chose it; half of the patients have HCC."""
    y = np.arange(patients) % 2
    half = np.arange(patients) < patients / 2
    reached: dict[str, list[float]] = {"right": [], "chosen_on_all": [], "judged_where_chosen": []}
    for number in range(cohorts):
        X = np.random.default_rng([seed, number]).normal(size=(patients, features))
        here, there, everywhere = _auc(y[half], X[half]), _auc(y[~half], X[~half]), _auc(y, X)
        reached["right"].append(there[here.argmax()])
        reached["chosen_on_all"].append(there[everywhere.argmax()])
        reached["judged_where_chosen"].append(here.max())
    return {name: float(np.mean(aucs)) for name, aucs in reached.items()}


def cutoff_leak(seed: int, cohorts: int, patients: int) -> Numbers:
    """Mean Youden's index of a score of noise, at a cut-off of other patients and of the same ones."""
    y = np.arange(patients) % 2
    reached: dict[str, list[float]] = {"right": [], "chosen_on_the_test_patients": []}
    for number in range(cohorts):
        score, other = np.random.default_rng([seed, number]).normal(size=(2, patients))
        for name, source in (("right", other), ("chosen_on_the_test_patients", score)):
            called = score >= evaluation.youden_cutoff(y, source)
            reached[name].append(called[y == 1].mean() - called[y == 0].mean())
    return {name: float(np.mean(found)) for name, found in reached.items()}


def auc_left_by_noise(shift: float, directions: float, events: float) -> Numbers:
    """AUC in unseen patients of aMAP joined by a score that was learnt from noise."""
    return {
        "right": norm.cdf(shift**2 / np.sqrt(2 * (shift**2 + directions / events))),
        "amap_alone": norm.cdf(shift / np.sqrt(2)),
        "by_chance": 0.5,
    }


def _auc(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """AUC of a score without ties, or of each column."""
    ranks = rankdata(score, axis=0)[y == 1]
    return (ranks.sum(axis=0) - len(ranks) * (len(ranks) + 1) / 2) / (len(ranks) * (len(y) - len(ranks)))


CALCULATIONS: MappingProxyType[str, Callable[..., Numbers]] = MappingProxyType(
    {
        name: function
        for name, function in list(globals().items())
        if getattr(function, "__module__", "") == __name__ and not name.startswith("_")
    }
)
"""Calculation by name."""
