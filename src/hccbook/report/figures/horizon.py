"""Discrimination and calibration at a horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.marks import REFERENCE
from hccbook.report.figures.style import BLUE, GREY, VERMILION, in_style, panel_title, series_look
from hccbook.report.tables import model_title
from hccbook.report.tables.schemas import HORIZON_AUC_COLUMNS, require_columns, rows_of


@in_style()
def plot_horizon_auc(ax: Axes, auc: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """AUC at each horizon with its confidence interval, and the binary AUC at the right.

    Panels of one frame share a scale. `legend_below` names its lines; a horizon without an AUC has no point.

    Parameters
    ----------
    auc : pandas.DataFrame
        Columns cohort, model, months, cases, controls, unknown, auc, lower, upper, binary_auc, note.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one. Horizons and models keep their place in every cohort.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or there are several and none is named.
    """
    own, cohort = rows_of(auc, HORIZON_AUC_COLUMNS, "AUC at a horizon", cohort)
    horizons, models = sorted(auc["months"].unique()), list(auc["model"].unique())
    for model, line in own.groupby("model", sort=False):
        line = line.sort_values("months")
        rank, title = models.index(model), model_title(model)
        look = series_look(title, rank)
        shift = 0.16 * (rank - (len(models) - 1) / 2)
        x = np.array([horizons.index(month) for month in line["months"]]) + shift
        ax.vlines(x, line["lower"], line["upper"], color=look["color"], linewidth=1.2, alpha=0.6)
        ax.plot(x, line["auc"], **look, marker="o", markersize=4.5, label=title)
        ax.plot(len(horizons) + shift, line["binary_auc"].iloc[0], "D", color=look["color"], markersize=5)
    ax.axvline(len(horizons) - 0.5, color=GREY, linewidth=0.6)
    ax.axhline(0.5, **REFERENCE)
    names = [*(f"{month:g}" for month in horizons), "binary"]
    ax.set_xticks(range(len(names)), names)
    low = max(0.0, float(np.nanmin([auc["lower"].min(), auc["auc"].min(), 0.5])) - 0.05)
    ax.set(xlim=(-0.5, len(horizons) + 0.5), ylim=(low, 1.02), xlabel="Months", ylabel="AUC (95% CI)")
    ax.set_title(panel_title(cohort))
    return ax


@in_style()
def plot_horizon_calibration(
    ax: Axes, groups: pd.DataFrame, *, cohort: str | None = None, months: float = 36.0
) -> Axes:
    """Prediction beside the Kaplan-Meier incidence at a horizon, by group of rising prediction.

    `legend_below` names its points; under each group its HCC by the horizon and its patients; an open point stands for
    a group of which nobody was followed to the horizon. Cohorts of one frame share a vertical scale.

    Parameters
    ----------
    groups : pandas.DataFrame
        Columns cohort, predicted, observed, lower, upper, n, events, at_risk; probabilities; groups in rising order.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one.
    months : float
        Horizon, for the label.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or there are several and none is named.
    """
    columns = ("cohort", "predicted", "observed", "lower", "upper", "n", "events", "at_risk")
    require_columns(groups, columns, "calibration at a horizon")
    top = min(1.0, max(0.05, 1.15 * float(groups[["upper", "predicted"]].max(axis=None))))
    groups, cohort = rows_of(groups, columns, "calibration at a horizon", cohort)
    x = np.arange(len(groups))
    ax.vlines(x + 0.08, groups["lower"], groups["upper"], color=BLUE, linewidth=1.2, alpha=0.7)
    followed = groups["at_risk"].to_numpy() > 0
    for chosen, face, label in ((followed, BLUE, "Incidence (95% CI)"), (~followed, "white", None)):
        look = {"markerfacecolor": face, "markeredgecolor": BLUE, "markersize": 6, "label": label}
        ax.plot(x[chosen] + 0.08, groups.loc[chosen, "observed"], "o", **look)
    look = {"markerfacecolor": "none", "markeredgecolor": VERMILION, "markersize": 6, "label": "Predicted"}
    ax.plot(x - 0.08, groups["predicted"], "D", **look)
    ax.set_xticks(x, [f"{row.events}/{row.n}" for row in groups.itertuples()])
    ax.set(xlim=(-0.5, len(groups) - 0.5), ylim=(-0.02 * top, 1.02 * top), title=panel_title(cohort))
    ax.set(xlabel="Groups by prediction, HCC/n", ylabel=f"HCC by {months:g} months")
    return ax
