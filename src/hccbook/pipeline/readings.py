"""What a reader should see in a table or figure, in sentences made from its numbers.

Each function takes the tidy tables that its item shows and returns one sentence or two. What contradicts expectation is
said wherever it happens: a risk that falls with a risk factor, a combination that its parts outdo, a benefit that none
has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hccbook.evaluation.competing_risks import AALEN_JOHANSEN, DEATH, KAPLAN_MEIER
from hccbook.evaluation.decision import MAX_THRESHOLD, TREAT_ALL, TREAT_NONE
from hccbook.papers import find_paper
from hccbook.pipeline.files import read_json
from hccbook.report.figures import segmentation_title
from hccbook.report.tables import (
    cohort_title,
    feature_title,
    group_title,
    model_title,
    odds_ratio_text,
    p_phrase,
    unbounded_text,
    variable_title,
)
from hccbook.run import RunPaths

RISK_FACTORS = ("amap", "radiomics", "deep", "ct_image", "age", "male", "bilirubin", "afp")
"""Variables with which the risk of HCC is known, or built, to rise."""

PROTECTIVE = ("albumin", "platelets")
"""Variables with which it is known to fall."""


def percent(share: float, places: int = 1) -> str:
    """Share (0 to 1) in per cent, as it stands in a sentence."""
    return f"{unbounded_text(100 * share, places)} %"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _cohort(name: str) -> str:
    title = cohort_title(name)
    return title[:1].lower() + title[1:]


# --- what contradicts expectation -------------------------------------------------------------------------------------


def weight_cautions(title: str, combination: Mapping[str, Any]) -> list[str]:
    """Scores of a fitted model with which its risk falls, a sentence each.

    Parameters
    ----------
    title : str
        Printed name of the model.
    combination : mapping
        Its last regression, as the model file has it: names, coefficients (of standardised scores).
    """
    return [
        f"In {title} of this run the probability of HCC falls as the {_named(name)} rises (weight "
        f"{unbounded_text(weight, 2)} a standard deviation), although a higher {_named(name)} means a higher risk: a "
        "sign of overfitting, not of protection."
        for name, weight in zip(combination["names"], combination["coefficients"], strict=True)
        if name in RISK_FACTORS and weight < 0
    ]


def model_cautions(run: RunPaths, paper: str) -> list[str]:
    """`weight_cautions` of a paper's model in a run; none where the run has not fitted it."""
    file = run.root / paper / "model.json"
    return weight_cautions(find_paper(paper).title, read_json(file)["combination"]) if file.is_file() else []


def _named(name: str) -> str:
    words = variable_title(name) if variable_title(name) != name else model_title(name)
    return words if words[:1].islower() or words[1:2].isupper() else words[:1].lower() + words[1:]


def contrary_odds_text(odds: pd.DataFrame) -> str:
    """Variables whose odds ratio points the other way than the variable's risk, and how sure that is.

    Parameters
    ----------
    odds : pandas.DataFrame
        Columns analysis, variable, odds_ratio, lower, upper.
    """
    known = odds.dropna(subset=["odds_ratio"])
    falling = known["variable"].isin(RISK_FACTORS) & (known["odds_ratio"] < 1)
    rising = known["variable"].isin(PROTECTIVE) & (known["odds_ratio"] > 1)
    contrary = [
        f"{variable_title(row.variable)} ({row.analysis}, odds ratio "
        f"{odds_ratio_text(row.odds_ratio, row.lower, row.upper)})"
        for row in known[falling | rising].itertuples()
    ]
    if not contrary:
        return "Every odds ratio points the way in which its variable is known to act."
    return (
        f"Against what is known of it points {_listed(contrary)}: where variables that say nearly the same stand in "
        "one regression, one of them takes the sign that corrects the others, and says nothing of its own."
    )


def incidence_text(at_horizon: pd.DataFrame, logrank: pd.DataFrame, months: float) -> str:
    """Incidence of the outer groups in each cohort, the test, and where the order is not as the names say.

    Parameters
    ----------
    at_horizon : pandas.DataFrame
        Columns cohort, group (low, high), incidence, of one month, as of `hccbook.evaluation.incidence_at`.
    logrank : pandas.DataFrame
        Columns cohort, p.
    months : float
    """
    wide = at_horizon.astype({"group": str}).pivot(index="cohort", columns="group", values="incidence")
    p = logrank.set_index("cohort")["p"]
    cohorts = list(dict.fromkeys(at_horizon["cohort"]))
    parts = [
        f"{percent(wide.loc[name, 'high'])} against {percent(wide.loc[name, 'low'])} in the {_cohort(name)} "
        f"({p_phrase(p[name])})"
        for name in cohorts
    ]
    text = f"By {months:g} months HCC comes to {_listed(parts)}, high risk against low."
    alike = [_cohort(name) for name in cohorts if not p[name] < 0.05]
    if alike:
        text += f" In the {_listed(alike)} the two groups are not told apart."
    turned = [_cohort(name) for name in cohorts if wide.loc[name, "high"] < wide.loc[name, "low"]]
    if turned:
        text += f" In the {_listed(turned)} those called high-risk have less HCC than the others."
    return text


# --- discrimination, calibration, benefit -----------------------------------------------------------------------------


def roc_text(auc: pd.DataFrame, model: str) -> str:
    """AUC of a model from the cohort that it learnt from to the others, and the single scores that outdo it.

    Parameters
    ----------
    auc : pandas.DataFrame
        Columns cohort, model, auc; the cohort of development first.
    model : str
        The model among those of the column.
    """
    own = auc[auc["model"] == model].set_index("cohort")["auc"]
    learnt, *unseen = own.index
    later = _listed(f"{unbounded_text(own[name], 3)} in the {_cohort(name)}" for name in unseen)
    text = f"{model_title(model)} has an AUC of {unbounded_text(own[learnt], 3)} where it was learnt, and {later}."
    better = [
        f"{model_title(row.model)} ({unbounded_text(row.auc, 3)}, {_cohort(row.cohort)})"
        for row in auc.itertuples()
        if row.cohort in unseen and row.model != model and row.auc > own[row.cohort]
    ]
    if better:
        text += f" The whole is outdone by {_listed(better)}: what the combination is to gain, it does not gain there."
    return text


def calibration_text(summary: pd.DataFrame) -> str:
    """Whether predictions are too high, too low or too extreme, by cohort.

    Parameters
    ----------
    summary : pandas.DataFrame
        Columns cohort, intercept, slope, ici.
    """
    parts = []
    for row in summary.itertuples():
        level = (
            "too much" if row.intercept < -0.5 else "too little" if row.intercept > 0.5 else "about the right amount of"
        )
        spread = ", with predictions too extreme" if row.slope < 0.8 else ""
        parts.append(
            f"{level} HCC in the {_cohort(row.cohort)} (intercept {unbounded_text(row.intercept, 2)}, slope "
            f"{unbounded_text(row.slope, 2)}, ICI {unbounded_text(row.ici, 3)}){spread}"
        )
    return f"The model predicts {'; '.join(parts)}."


def decision_text(curves: pd.DataFrame, model: str) -> str:
    """At which thresholds a model is worth more than treating all and treating none.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns cohort, model, threshold, net_benefit.
    model : str
    """
    parts = []
    for cohort, own in curves[curves["threshold"] <= MAX_THRESHOLD].groupby("cohort", sort=False):
        wide = own.pivot(index="threshold", columns="model", values="net_benefit")
        useful = wide.index[wide[model] > wide[[TREAT_ALL, TREAT_NONE]].max(axis=1)]
        where = f"from {percent(useful.min(), 0)} to {percent(useful.max(), 0)}" if len(useful) else "at no threshold"
        parts.append(f"{where} ({_cohort(str(cohort))}, {len(useful)} of {len(wide)} thresholds)")
    return (
        f"Acting on {model_title(model)} is worth more than treating everybody or nobody at thresholds "
        f"{_listed(parts)}, looked at up to {percent(MAX_THRESHOLD, 0)}."
    )


def cross_validation_text(crossed: pd.DataFrame, auc: pd.DataFrame, model: str) -> str:
    """How far refitting in a cohort lifts its AUC over that of the model as it came.

    Parameters
    ----------
    crossed : pandas.DataFrame
        Columns cohort, model (with ``pooled``), auc.
    auc : pandas.DataFrame
        Columns cohort, model, auc.
    model : str
    """
    pooled = crossed[crossed["model"] == "pooled"].set_index("cohort")["auc"].dropna()
    came = auc[auc["model"] == model].set_index("cohort")["auc"]
    parts = [
        f"{unbounded_text(pooled[name], 3)} after {unbounded_text(came[name], 3)} in the {_cohort(name)}"
        for name in pooled.index
    ]
    if not parts:
        return "No cohort has enough patients with HCC for its folds."
    return (
        f"Refitted in each cohort the last regression has {_listed(parts)}: "
        "a cohort that lends its outcomes validates no model."
    )


def subgroup_text(subgroups: pd.DataFrame) -> str:
    """How many comparisons of subgroups have p below 0.05, and how many would by chance.

    Parameters
    ----------
    subgroups : pandas.DataFrame
        Columns characteristic, level, n, events, auc, p_difference.
    """
    tests = subgroups.drop_duplicates("characteristic")["p_difference"].dropna()
    least = subgroups[subgroups["characteristic"] != "all"].nsmallest(1, "events").iloc[0]
    text = (
        f"Of {len(tests)} comparisons {int((tests < 0.05).sum())} with p below 0.05, where chance gives one in twenty"
    )
    return f"{text}; the smallest subgroup ({least['level']}) has {int(least['events'])} patients with HCC."


# --- selection --------------------------------------------------------------------------------------------------------


def screening_text(associations: pd.DataFrame, kept: int) -> str:
    """How many features pass p below 0.05, against chance, and how many the selection kept.

    Parameters
    ----------
    associations : pandas.DataFrame
        Columns feature, p; of the real patients.
    kept : int
        Features that the selection's own test let pass; others, where SMOTE had added patients before it.
    """
    n, passed = len(associations), int((associations["p"] < 0.05).sum())
    if not n:
        return "No feature was tested."
    oversampled = f" The selection saw SMOTE's patients too, and kept {kept:,}: a test takes them for people."
    return (
        f"{passed:,} of {n:,} features ({percent(passed / n)}) have p below 0.05, where chance alone would give "
        f"{unbounded_text(n / 20, 0)}; of the same patients p and AUC say the same, so that the points lie on a line."
    ) + (oversampled if kept != passed else "")


def contrary_coefficients_text(weights: pd.DataFrame, associations: pd.DataFrame) -> str:
    """How many selected features weigh against the direction that they have on their own.

    Parameters
    ----------
    weights : pandas.DataFrame
        Columns feature, coefficient.
    associations : pandas.DataFrame
        Columns feature, auc: of the feature alone in the development cohort.
    """
    both = weights[weights["coefficient"] != 0].merge(associations[["feature", "auc"]], on="feature")
    contrary = both.loc[both["coefficient"] * (both["auc"] - 0.5) < 0, "feature"]
    if contrary.empty:
        return f"Each of the {len(both)} selected features weighs the way it points on its own."
    return (
        f"{len(contrary)} of {len(both)} selected features weigh against the way they point on their own, which a "
        "LASSO of correlated features does and no reader of coefficients expects."
    )


# --- groups and deaths ------------------------------------------------------------------------------------------------


def groups_text(groups: pd.DataFrame) -> str:
    """How many of those with HCC each group holds, and whether incidence rises from group to group.

    Parameters
    ----------
    groups : pandas.DataFrame
        Columns group, n, events, incidence, lower, upper; from low to high.
    """
    known = groups[groups["n"] > 0]
    highest, lowest, events = known.iloc[-1], known.iloc[0], int(known["events"].sum())
    text = (
        f"{group_title(highest['group'])} holds {int(highest['events'])} of {events} with HCC, among "
        f"{percent(highest['n'] / known['n'].sum())} of all; {int(lowest['events'])} are told "
        f"{group_title(lowest['group']).lower()}."
    )
    if not known["incidence"].is_monotonic_increasing:
        text += " The incidence does not rise from group to group."
    return text


def flows_text(flows: pd.DataFrame) -> str:
    """Whom the stepwise strategy calls high-risk, and how many with HCC it calls low-risk.

    Parameters
    ----------
    flows : pandas.DataFrame
        Columns source, target, n, events; the last column of groups begins with "Final".
    """
    final = flows[flows["target"].str.startswith("Final")].groupby("target")[["n", "events"]].sum()
    n, events = final.sum()
    high = final.reindex(["Final high"]).fillna(0).iloc[0]
    return (
        f"The final high-risk group holds {int(high['events'])} of {int(events)} patients with HCC "
        f"({percent(high['events'] / max(events, 1))}) among {percent(high['n'] / n)} of all; "
        f"{int(events - high['events'])} develop HCC as low-risk."
    )


def competing_text(at_horizon: pd.DataFrame, ended: pd.DataFrame, months: float) -> str:
    """By how much Kaplan-Meier's incidence is above that with death as a competing event, in each group.

    Parameters
    ----------
    at_horizon : pandas.DataFrame
        As of `hccbook.evaluation.held_at`, of one cohort.
    ended : pandas.DataFrame
        Columns hcc and died; one row per patient.
    months : float
        Horizon.
    """
    wide = at_horizon.pivot(index="group", columns="estimate", values="incidence")
    parts = [
        f"{percent(row[KAPLAN_MEIER])} by Kaplan-Meier and {percent(row[AALEN_JOHANSEN])} by Aalen-Johansen at "
        f"{group_title(str(group)).lower()}, where {percent(row[DEATH])} died before"
        for group, row in wide.iterrows()
    ]
    widest = 100 * (wide[KAPLAN_MEIER] - wide[AALEN_JOHANSEN]).max()
    return (
        f"{ended['died'].sum():,} of {len(ended):,} people die before HCC and {ended['hcc'].sum():,} develop it. "
        f"By {months:g} months the incidence of HCC is {'; '.join(parts)}: counting deaths as ends of follow-up "
        f"overstates it by up to {unbounded_text(widest, 1)} percentage points."
    )


def comparisons_text(table: pd.DataFrame, estimate: str) -> str:
    """In how many comparisons the model is better than what it is compared with, and in how many p is below 0.05.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns p and the estimate, positive where the model is better.
    estimate : str
        Column of the estimate.
    """
    known = table.dropna(subset=[estimate])
    worse = known[known[estimate] < 0]
    text = f"{len(known) - len(worse)} of {len(known)} differences are in the model's favour, "
    text += f"{int(((known[estimate] > 0) & (known['p'] < 0.05)).sum())} of them with p below 0.05"
    sure = int((worse["p"] < 0.05).sum())
    return text + (f"; against it are {len(worse)}, {sure} of them with p below 0.05." if len(worse) else ".")


# --- networks and masks -----------------------------------------------------------------------------------------------


def shuffled_text(control: pd.DataFrame) -> str:
    """How well networks tuned on shuffled outcomes rank unseen patients, beside one tuned on the true ones.

    Parameters
    ----------
    control : pandas.DataFrame
        Columns outcomes (``observed`` or ``shuffled``), unseen_auc; one row per fine-tuning.
    """
    unseen = control.dropna(subset=["unseen_auc"]).set_index("outcomes")["unseen_auc"]
    shuffled, observed = unseen[unseen.index == "shuffled"], unseen[unseen.index == "observed"]
    if shuffled.empty or observed.empty:
        return "No fine-tuning was repeated with shuffled outcomes."
    text = (
        f"With shuffled outcomes unseen patients are ranked with an AUC from {unbounded_text(shuffled.min(), 2)} to "
        f"{unbounded_text(shuffled.max(), 2)}, on average {unbounded_text(shuffled.mean(), 2)}; with the true ones "
        f"{unbounded_text(observed.mean(), 2)}."
    )
    if (shuffled - 0.5).abs().max() >= abs(observed.mean() - 0.5):
        text += " A shuffle reaches as far from one half as the truth does, so that this AUC alone proves no learning."
    return text


def agreement_text(title: str, icc: pd.DataFrame) -> str:
    """How many features depend on who drew the mask, and the worst of them.

    Parameters
    ----------
    title : str
        Printed name of the model.
    icc : pandas.DataFrame
        Columns feature, icc; one row per feature.
    """
    known = icc.dropna(subset=["icc"])
    poor, worst = known[known["icc"] < 0.5], known.loc[known["icc"].idxmin()]
    return (
        f"{title}: {len(poor):,} of {len(known):,} features ({percent(len(poor) / len(known))}) agree poorly between "
        f"masks, least {feature_title(worst['feature'])} with an intraclass correlation of "
        f"{unbounded_text(worst['icc'], 2)}."
    )


def moved_text(title: str, scores: pd.DataFrame) -> str:
    """How far other masks move people without HCC.

    Parameters
    ----------
    title : str
        Printed name of the model.
    scores : pandas.DataFrame
        Columns hcc (0, 1), used, and one a mask: probabilities, one row per patient.
    """
    healthy = scores[scores["hcc"] == 0].drop(columns="hcc")
    moved = healthy.drop(columns="used").sub(healthy["used"], axis=0).abs()
    patient, mask = moved.stack().idxmax()
    far = int((moved.max(axis=1) > 0.5).sum())
    return (
        f"{title}: one without HCC goes from {unbounded_text(healthy.loc[patient, 'used'], 2)} to "
        f"{unbounded_text(healthy.loc[patient, mask], 2)} ({segmentation_title(mask).lower()}), and {far} of "
        f"{len(healthy)} move by more than 0.5 under some mask, though nothing about them has changed but the mask."
    )
