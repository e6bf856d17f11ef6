"""Discrimination and calibration at a horizon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    in_style,
    legend_below,
    panel_list,
    panel_title,
    series_look,
)
from hccbook.report.tables import HORIZON_AUC_COLUMNS, model_title, require_columns

HORIZON_GROUP_COLUMNS = ("cohort", "predicted", "observed", "lower", "upper", "n", "events", "at_risk")


@in_style()
def plot_horizon_auc_panels(axes: np.ndarray | Sequence[Axes], auc: pd.DataFrame) -> np.ndarray:
    """AUC at each horizon with its confidence interval, and the binary AUC at the right, a panel a cohort.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    auc : pandas.DataFrame
        Columns cohort, model, months, cases, controls, unknown, auc, lower, upper, binary_auc, note.

    Returns
    -------
    ndarray of Axes
        One a cohort; a horizon without an AUC has no point.

    Raises
    ------
    DataError
        If a column is missing or there are fewer panels than cohorts.
    """
    require_columns(auc, HORIZON_AUC_COLUMNS, "AUC at a horizon")
    cohorts = list(dict.fromkeys(auc["cohort"]))
    drawn = panel_list(axes, len(cohorts), "AUC at a horizon")
    horizons = sorted(auc["months"].unique())
    models = list(dict.fromkeys(auc["model"]))
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        own = auc[auc["cohort"] == cohort]
        for rank, model in enumerate(models):
            line = own[own["model"] == model].sort_values("months")
            if line.empty:
                continue
            look = series_look(model_title(model), rank)
            shift = 0.16 * (rank - (len(models) - 1) / 2)
            x = np.array([horizons.index(month) for month in line["months"]]) + shift
            ax.vlines(x, line["lower"], line["upper"], color=look.color, linewidth=1.2, alpha=0.6)
            ax.plot(x, line["auc"], **look.keywords(), marker="o", markersize=4.5, label=model_title(model))
            ax.plot(len(horizons) + shift, line["binary_auc"].iloc[0], "D", color=look.color, markersize=5)
        ax.axvline(len(horizons) - 0.5, color=GREY, linewidth=0.6)
        ax.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        names = [*(f"{month:g}" for month in horizons), "binary"]
        ax.set_xticks(range(len(names)), names)
        ax.set(xlim=(-0.5, len(horizons) + 0.5), ylim=(0, 1.02), xlabel="Months", title=panel_title(cohort))
        ax.set_ylabel("" if position else "AUC (95% CI)")
    legend_below(drawn, columns=4)
    return np.array(drawn, dtype=object)


@in_style()
def plot_horizon_calibration_panels(
    axes: np.ndarray | Sequence[Axes], groups: pd.DataFrame, *, months: float = 36.0
) -> np.ndarray:
    """Prediction beside the Kaplan-Meier incidence at a horizon, by group of rising prediction, a panel a cohort.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    groups : pandas.DataFrame
        Columns cohort, predicted, observed, lower, upper, n, events, at_risk; probabilities; groups in rising order.
    months : float
        Horizon, for the label.

    Returns
    -------
    ndarray of Axes
        One a cohort; under each group its HCC by the horizon and its patients; an open point stands for a group of
        which nobody was followed to the horizon.

    Raises
    ------
    DataError
        If a column is missing or there are fewer panels than cohorts.
    """
    require_columns(groups, HORIZON_GROUP_COLUMNS, "calibration at a horizon")
    cohorts = list(dict.fromkeys(groups["cohort"]))
    drawn = panel_list(axes, len(cohorts), "calibration at a horizon")
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        own = groups[groups["cohort"] == cohort]
        x = np.arange(len(own))
        ax.vlines(x + 0.08, own["lower"], own["upper"], color=BLUE, linewidth=1.2, alpha=0.7)
        for followed, face in ((True, BLUE), (False, "white")):
            chosen = (own["at_risk"].to_numpy() > 0) == followed
            ax.plot(
                x[chosen] + 0.08, own["observed"].to_numpy()[chosen], "o", markerfacecolor=face, markeredgecolor=BLUE,
                markersize=6, label="Incidence (95% CI)" if followed else None,
            )  # fmt: skip
        ax.plot(
            x - 0.08, own["predicted"], "D", markerfacecolor="none", markeredgecolor=VERMILION, markersize=6,
            label="Predicted",
        )  # fmt: skip
        ax.set_xticks(x, [f"{row.events}/{row.n}" for row in own.itertuples()])
        ax.set(xlim=(-0.5, len(own) - 0.5), ylim=(-0.02, 1.02), title=panel_title(cohort))
        ax.set_xlabel("Groups by prediction, HCC/n")
        ax.set_ylabel("" if position else f"HCC by {months:g} months")
    legend_below(drawn, columns=2)
    return np.array(drawn, dtype=object)
