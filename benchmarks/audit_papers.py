"""Made-up papers whose numbers agree, printed from simulated patients, and errors planted in them.

Nothing here uses the audit: tables come from numpy, scipy and statsmodels, and are rounded as papers round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import chi2_contingency, fisher_exact, mannwhitneyu, norm, ttest_ind
from statsmodels.stats.proportion import proportion_confint

COLUMNS = ("place", "row", "column", "quantity", "value", "unit", "cohort", "subgroup", "lower", "upper")
OUTCOME, GROUPS = "ill", ("free", "ill")
CAUSES = ("virus", "alcohol", "other")
SUBGROUPS = {"sex": ("men", "women"), "age": ("age <50", "age ≥50")}
TIMES = (0, 12, 24, 36)


@dataclass
class Printer:
    """A paper being printed: rows, and the habits of its authors."""

    rng: np.random.Generator
    rows: list[tuple[str, ...]] = field(default_factory=list)
    test: str = "yates"
    interval: str = "wilson"
    quantile: str = "linear"

    def add(self, place: str, row: str, quantity: str, value: str, **more: str) -> None:
        """Print one number."""
        columns = {"place": place, "row": row, "quantity": quantity, "value": value, "column": quantity, **more}
        if place.startswith("Results"):
            columns["column"] = ""
        self.rows.append(tuple(columns.get(name, "") for name in COLUMNS))

    def p(self, value: float) -> str:
        """A p-value."""
        return "<0.001" if value < 0.0005 else f"{value:.3f}"

    def p_of_counts(self, table: list[list[int]]) -> float:
        """p-value of a table of counts by the authors' test."""
        if np.shape(table) == (2, 2) and self.test == "fisher":
            return float(fisher_exact(table).pvalue)
        return float(chi2_contingency(table, correction=self.test == "yates").pvalue)

    def limits(self, count: int, total: int) -> tuple[str, str]:
        """95 % interval of a share by the authors' method."""
        if self.interval == "bootstrap":
            low, high = np.quantile(self.rng.binomial(total, count / total, 2000) / total, (0.025, 0.975))
        else:
            low, high = proportion_confint(count, total, method=self.interval)
        return f"{min(max(low, 0), 1):.3f}", f"{min(max(high, 0), 1):.3f}"


def patients(rng: np.random.Generator, cohorts: tuple[str, ...]) -> pd.DataFrame:
    """Simulated patients: characteristics, scores, outcome, follow-up."""
    n = int(rng.integers(450, 1400))
    cohort = rng.choice(cohorts, n, p=rng.dirichlet([8] * len(cohorts)))
    ill = rng.random(n) < rng.uniform(0.08, 0.2)
    for name in cohorts:
        ill[np.flatnonzero(cohort == name)[:8]] = True
    age = rng.normal(np.where(ill, 57, 52), 9)
    marker = np.exp(rng.normal(np.where(ill, 1.8, 1.3), 0.7))
    lesions = rng.poisson(np.where(ill, 2.2, 1.6))
    new = norm.cdf(rng.normal(np.where(ill, 0.2, -1.2), 0.8))
    old = norm.cdf(rng.normal(np.where(ill, -0.3, -1.0), 0.9))
    event_time, censored = rng.uniform(2, 36, n), rng.uniform(6, 60, n)
    return pd.DataFrame(
        {
            "cohort": cohort,
            "ill": ill,
            "male": rng.random(n) < np.where(ill, 0.8, 0.65),
            "age": age,
            "marker": marker,
            "lesions": lesions,
            "cause": rng.choice(CAUSES, n, p=[0.6, 0.25, 0.15]),
            "new": new,
            "old": old,
            "months": np.where(ill, event_time, censored),
        }
    )


def in_subgroup(people: pd.DataFrame, name: str) -> pd.DataFrame:
    """Patients of one subgroup."""
    chosen = {
        "men": people["male"],
        "women": ~people["male"],
        "age <50": people["age"] < 50,
        "age ≥50": people["age"] >= 50,
    }
    return people[chosen[name]]


def table_1(out: Printer, people: pd.DataFrame, cohorts: tuple[str, ...]) -> None:
    """Characteristics by cohort and outcome."""
    for cohort in ("all", *cohorts):
        here = people if cohort == "all" else people[people["cohort"] == cohort]
        split = {group: here[here["ill"] == (group == OUTCOME)] for group in GROUPS}
        out.add("Table 1", "Patients", "count", str(len(here)), cohort=cohort)
        for group, some in split.items():
            where = {"cohort": cohort, "subgroup": group}
            out.add("Table 1", "Patients", "count", str(len(some)), **where)
            shares = {"Male": some["male"]} | {f"Cause: {cause}": some["cause"] == cause for cause in CAUSES}
            for row, has in shares.items():
                out.add("Table 1", row, "count", str(int(has.sum())), **where)
                out.add("Table 1", row, "percentage", f"{100 * has.mean():.1f}", unit="%", **where)
            for row in ("age", "marker"):
                low, middle, high = (
                    f"{one:.1f}" for one in np.quantile(some[row], (0.25, 0.5, 0.75), method=out.quantile)
                )
                out.add("Table 1", row, "median", middle, lower=low, upper=high, **where)
            out.add("Table 1", "lesions", "mean", f"{some['lesions'].mean():.2f}", **where)
            out.add("Table 1", "lesions", "sd", f"{some['lesions'].std(ddof=1):.2f}", **where)
        parts = list(split.values())
        p = {
            "Male": out.p_of_counts([[int(one["male"].sum()), int((~one["male"]).sum())] for one in parts]),
            "Cause": out.p_of_counts([[int((one["cause"] == cause).sum()) for cause in CAUSES] for one in parts]),
            "age": mannwhitneyu(*(one["age"] for one in parts)).pvalue,
            "marker": mannwhitneyu(*(one["marker"] for one in parts)).pvalue,
            "lesions": ttest_ind(*(one["lesions"] for one in parts)).pvalue,
        }
        for row, value in p.items():
            out.add("Table 1", row, "p-value", out.p(float(value)), cohort=cohort)


def cells_of(some: pd.DataFrame, cutoff: float) -> tuple[int, int, int, int]:
    """TP, FP, FN, TN."""
    flagged, ill = some["new"] >= cutoff, some["ill"]
    return tuple(int(one.sum()) for one in (flagged & ill, flagged & ~ill, ~flagged & ill, ~flagged & ~ill))


def area(some: pd.DataFrame, score: str) -> tuple[float, float]:
    """AUC and its standard error by DeLong's structural components."""
    events, others = (some.loc[some["ill"] == ill, score].to_numpy() for ill in (True, False))
    wins = (events[:, None] > others[None, :]) + 0.5 * (events[:, None] == others[None, :])
    by_event, by_other = wins.mean(axis=1), wins.mean(axis=0)
    variance = sum(one.var(ddof=1) / len(one) if len(one) > 1 else 0.0 for one in (by_event, by_other))
    return float(wins.mean()), math.sqrt(variance)


def table_2(out: Printer, people: pd.DataFrame, cohorts: tuple[str, ...], cutoff: float) -> None:
    """Performance of the model by cohort and subgroup, some of it again in the text."""
    for cohort in cohorts:
        here = people[people["cohort"] == cohort]
        parts = {"": here} | {name: in_subgroup(here, name) for names in SUBGROUPS.values() for name in names}
        for name, some in parts.items():
            tp, fp, fn, tn = cells_of(some, cutoff)
            where = {"cohort": cohort, "subgroup": name}
            out.add("Table 2", cohort, "count", str(len(some)), **where)
            out.add("Table 2", cohort, "events", str(tp + fn), **where)
            out.add("Table 2", cohort, "percentage", f"{100 * (tp + fn) / max(len(some), 1):.1f}", unit="%", **where)
            shares = {
                "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp),
                "npv": (tn, tn + fn), "accuracy": (tp + tn, len(some)),
            }  # fmt: skip
            for measure, (k, total) in shares.items():
                low, high = out.limits(k, total) if total and not name else ("", "")
                value = f"{k / total:.3f}" if total else "n.a."
                out.add("Table 2", cohort, measure, value, lower=low, upper=high, **where)
                if measure == "sensitivity" and not name:
                    out.add("Results, sentence 4", "new", measure, value, lower=low, upper=high, cohort=cohort)
        for score in ("new", "old"):
            value, error = area(here, score)
            texts = {"lower": f"{value - 1.96 * error:.3f}", "upper": f"{min(value + 1.96 * error, 1):.3f}"}
            out.add("Table 3", score, "auc", f"{value:.3f}", cohort=cohort, subgroup=score, **texts)
            if score == "new":
                out.add("Results, sentence 3", score, "auc", f"{value:.3f}", cohort=cohort, subgroup=score, **texts)


def table_4(out: Printer, people: pd.DataFrame) -> None:
    """Logistic regression in all patients."""
    inputs = pd.DataFrame(
        {"age": people["age"] / 10, "male": people["male"].astype(float), "marker": np.log(people["marker"])}
    )
    fit = sm.Logit(people["ill"].astype(float), sm.add_constant(inputs)).fit(disp=False)
    for row in inputs:
        value, error = fit.params[row], fit.bse[row]
        ends = {"lower": f"{math.exp(value - 1.96 * error):.2f}", "upper": f"{math.exp(value + 1.96 * error):.2f}"}
        name = f"{row}, regression"
        out.add("Table 4", name, "coefficient", f"{value:.3f}", cohort="all")
        out.add("Table 4", name, "standard error", f"{error:.3f}", cohort="all")
        out.add("Table 4", name, "odds ratio", f"{math.exp(value):.2f}", cohort="all", **ends)
        out.add("Table 4", name, "p-value", out.p(float(fit.pvalues[row])), cohort="all")


def table_5(out: Printer, people: pd.DataFrame, cutoff: float) -> None:
    """Kaplan-Meier of the risk groups in all patients, and the hazard ratio between them."""
    high = people["new"] >= cutoff
    for group, some in (("high risk", people[high]), ("low risk", people[~high])):
        out.add("Results, sentence 5", "group size", "count", str(len(some)), cohort="all", subgroup=group)
        share = 100 * len(some) / len(people)
        out.add(
            "Results, sentence 5", "share of all", "percentage", f"{share:.1f}", unit="%", cohort="all", subgroup=group
        )
        order = some.sort_values("months")
        left = len(order) - np.arange(len(order))
        alive = np.cumprod(1 - order["ill"].to_numpy() / left)
        for time in TIMES:
            events = int((some["ill"] & (some["months"] <= time)).sum())
            past = int((order["months"] <= time).sum())
            incidence = 0.0 if not past else 1 - alive[past - 1]
            where = {"cohort": "all", "subgroup": group}
            out.add("Table 5", f"{time} months", "at risk", str(int((some["months"] > time).sum())), **where)
            out.add("Table 5", f"{time} months", "cumulative events", str(events), **where)
            out.add("Table 5", f"{time} months", "cumulative incidence", f"{100 * incidence:.1f}", unit="%", **where)
    # The interval of a year of age is narrow, however few the events.
    for row, values in (("high against low risk", high.astype(float)), ("age, per year", people["age"])):
        fit = sm.PHReg(people["months"], values, status=people["ill"].astype(float)).fit()
        value, error = float(fit.params[0]), float(fit.bse[0])
        ends = {"lower": f"{math.exp(value - 1.96 * error):.2f}", "upper": f"{math.exp(value + 1.96 * error):.2f}"}
        out.add("Results, sentence 6", row, "hazard ratio", f"{math.exp(value):.2f}", cohort="all", **ends)
        out.add("Results, sentence 6", row, "p-value", out.p(float(fit.pvalues[0])), cohort="all")


def table_6(out: Printer, people: pd.DataFrame, cohorts: tuple[str, ...], cutoff: float) -> None:
    """Reclassification against the old model, and calibration by thirds of the predicted risk."""
    old_cutoff = people["old"].quantile(1 - (people["new"] >= cutoff).mean())
    for cohort in cohorts:
        here = people[people["cohort"] == cohort]
        up = (here["new"] >= cutoff) & (here["old"] < old_cutoff)
        down = (here["new"] < cutoff) & (here["old"] >= old_cutoff)
        ill, n1, n0 = here["ill"], int(here["ill"].sum()), int((~here["ill"]).sum())
        moves = [int(one.sum()) for one in (up & ill, down & ill, up & ~ill, down & ~ill)]
        names = ("events up", "events down", "nonevents up", "nonevents down")
        halves = ((moves[0] - moves[1]) / n1, (moves[3] - moves[2]) / n0)
        for name, number in zip(names, moves, strict=True):
            out.add("Table 6", "new against old", name, str(number), cohort=cohort)
        for name, number in (("event NRI", halves[0]), ("nonevent NRI", halves[1])):
            out.add("Table 6", "new against old", name, f"{number:.3f}", cohort=cohort)
        error = math.sqrt((moves[0] + moves[1]) / n1**2 + (moves[2] + moves[3]) / n0**2)
        ends = {"lower": f"{sum(halves) - 1.96 * error:.3f}", "upper": f"{sum(halves) + 1.96 * error:.3f}"}
        nri = "net reclassification improvement"
        out.add("Table 6", "new against old", nri, f"{sum(halves):.3f}", cohort=cohort, **ends)
        p = 2 * norm.sf(abs(sum(halves)) / error) if error else 1.0
        out.add("Table 6", "new against old", "p-value", out.p(float(p)), cohort=cohort)
        thirds = pd.qcut(here["new"].rank(method="first"), 3, labels=("lowest", "middle", "highest"))
        for third, some in here.groupby(thirds, observed=True):
            expected, observed = float(some["new"].sum()), int(some["ill"].sum())
            where = {"cohort": cohort, "subgroup": f"{third} third"}
            out.add("Table 7", "calibration", "count", str(len(some)), **where)
            out.add("Table 7", "calibration", "mean predicted risk", f"{some['new'].mean():.3f}", **where)
            out.add("Table 7", "calibration", "expected events", f"{expected:.1f}", **where)
            out.add("Table 7", "calibration", "observed events", str(observed), **where)
            out.add("Table 7", "calibration", "observed to expected ratio", f"{observed / expected:.2f}", **where)


def paper(seed: int) -> tuple[dict, pd.DataFrame]:
    """Description and printed numbers of one paper that agrees with itself."""
    rng = np.random.default_rng([2611, seed])
    cohorts = ("training", "test") if rng.random() < 0.5 else ("training", "validation", "test")
    people, cutoff = patients(rng, cohorts), float(rng.uniform(0.2, 0.4))
    out = Printer(
        rng,
        test=str(rng.choice(["yates", "pearson", "fisher"])),
        interval=str(rng.choice(["wilson", "normal", "beta", "bootstrap"])),
        quantile=str(rng.choice(["linear", "weibull", "hazen"])),
    )
    table_1(out, people, cohorts)
    table_2(out, people, cohorts, cutoff)
    table_4(out, people)
    table_5(out, people, cutoff)
    table_6(out, people, cohorts, cutoff)
    for cohort in ("all", *cohorts):
        here = people if cohort == "all" else people[people["cohort"] == cohort]
        out.add("Results, sentence 1", "Patients", "count", str(len(here)), cohort=cohort)
        out.add("Results, sentence 2", "cases", "count", str(int(here["ill"].sum())), cohort=cohort, subgroup=OUTCOME)
    description = {
        "name": f"paper_{seed}",
        "title": f"Paper {seed}",
        "outcome": {"name": OUTCOME, "events": "events"},
        "model": "new",
        "cohorts": cohorts,
        "pooled": {"all": cohorts},
        "groupings": [
            {"name": "outcome", "groups": GROUPS},
            {"name": "risk", "groups": ("low risk", "high risk"), "flagged": {"": ("high risk",)}},
            *({"name": name, "groups": groups} for name, groups in SUBGROUPS.items()),
        ],
        "models": ["old"],
        "sizes": [
            {"row": "Patients", "quantity": "count"},
            {"place": "Table 2", "quantity": "count"},
            {"row": "group size", "quantity": "count"},
        ],
        "events": [
            {"row": "Patients", "quantity": "count", "subgroup": OUTCOME},
            {"place": "Table 2", "quantity": "events"},
            {"row": "cases", "quantity": "count"},
        ],
        "shares": [{"row": "share of all"}],
        "compares": {"Table 1": GROUPS},
        "whole_numbers": ["lesions"],
        "hazard_groups": ("high risk", "low risk"),
    }
    return description, pd.DataFrame(out.rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class Kind:
    """A kind of error: which cells it strikes, and how.

    Attributes
    ----------
    name : str
        In words.
    strikes : callable
        Rows that it may strike.
    column : str
        Column of the number.
    is_determined : bool
        Whether the rest of the print determines the number, within rounding.
    far : bool
        Whether the change is a tenth to a half of the number, instead of one to three units of the last digit.
    """

    name: str
    strikes: Callable[[pd.DataFrame], pd.Series]
    column: str = "value"
    is_determined: bool = True
    far: bool = False


def _at(quantity: str, place: str = "", **more: str) -> Callable[[pd.DataFrame], pd.Series]:
    def rows(table: pd.DataFrame) -> pd.Series:
        chosen = (table["quantity"] == quantity) & table["place"].str.startswith(place)
        for column, text in more.items():
            chosen &= table[column].str.startswith(text) if text else table[column] == ""
        return chosen

    return rows


def _with_limits(quantities: tuple[str, ...], place: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table["quantity"].isin(quantities) & (table["lower"] != "") & (table["place"] == place)


_SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")

KINDS = (
    Kind("count of a characteristic", _at("count", "Table 1", row="Cause")),
    Kind("percentage of a characteristic", _at("percentage", "Table 1")),
    Kind("size of a group", _at("count", "Table 1", row="Patients")),
    Kind("p-value of counts", _at("p-value", "Table 1", row="Male")),
    Kind("sensitivity", _at("sensitivity", "Table 2")),
    Kind("specificity", _at("specificity", "Table 2")),
    Kind("PPV", _at("ppv", "Table 2")),
    Kind("NPV", _at("npv", "Table 2")),
    Kind("accuracy", _at("accuracy", "Table 2")),
    Kind("people of a subgroup", _at("count", "Table 2")),
    Kind("events of a subgroup", _at("events", "Table 2")),
    Kind("share of events", _at("percentage", "Table 2")),
    Kind("AUC in the text", _at("auc", "Results")),
    Kind("sensitivity in the text", _at("sensitivity", "Results")),
    Kind("size in the text", _at("count", "Results, sentence 1")),
    Kind("size of a risk group", _at("count", "Results, sentence 5")),
    Kind("odds ratio", _at("odds ratio", "Table 4"), far=True),
    Kind("at risk at the start", _at("at risk", "Table 5", row="0 ")),
    Kind("half of an NRI", _at("event NRI", "Table 6")),
    Kind("counted move of an NRI", _at("events up", "Table 6")),
    Kind("observed to expected ratio", _at("observed to expected ratio", "Table 7"), far=True),
    Kind("limit of a share", _with_limits(_SHARES, "Table 2"), "upper", far=True),
    Kind("mean of whole numbers", _at("mean", "Table 1"), is_determined=False),
    Kind("p-value of means", _at("p-value", "Table 1", row="lesions"), is_determined=False, far=True),
    Kind("median", _at("median", "Table 1"), is_determined=False, far=True),
    Kind("quartile", _at("median", "Table 1"), "lower", is_determined=False, far=True),
    Kind("p-value of quartiles", _at("p-value", "Table 1", row="age"), is_determined=False, far=True),
    Kind("limit of an odds ratio", _at("odds ratio", "Table 4"), "upper", is_determined=False, far=True),
    Kind("p-value of a regression", _at("p-value", "Table 4"), is_determined=False, far=True),
    Kind("limit of an AUC", _with_limits(("auc",), "Table 3"), "upper", is_determined=False, far=True),
    Kind("number at risk", _at("at risk", "Table 5", row="24"), is_determined=False, far=True),
    Kind("cumulative incidence", _at("cumulative incidence", "Table 5", row="36"), is_determined=False, far=True),
    Kind("expected events", _at("expected events", "Table 7"), is_determined=False, far=True),
)
"""Kinds of errors that are planted; the last ones in cells that the rest of the print only bounds."""


def changed(text: str, rng: np.random.Generator, far: bool) -> str:
    """Another printed number; a p-value printed as small becomes a large one."""
    if text.startswith("<"):
        return f"{rng.uniform(0.02, 0.9):.3f}"
    places = len(text.partition(".")[2])
    value, step = float(text), int(rng.integers(1, 4)) * 10.0**-places
    if far:
        step = max(step, abs(value) * rng.uniform(0.1, 0.5))
    down = rng.random() < 0.5 and value - step >= 0
    return f"{value - step if down else value + step:.{places}f}"


def planted(table: pd.DataFrame, kind: Kind, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
    """The paper with one error of a kind; nothing where it has no such cell."""
    rows = table.index[kind.strikes(table) & ~table[kind.column].isin(("", "n.a."))]
    if len(rows):
        row, other = int(rng.choice(rows)), table.copy()
        other.loc[row, kind.column] = changed(table.loc[row, kind.column], rng, kind.far)
        if other.loc[row, kind.column] != table.loc[row, kind.column]:
            yield other
