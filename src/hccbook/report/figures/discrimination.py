"""Discrimination: ROC curves, and measured AUCs beside the planted truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.style import (
    BLACK,
    BLUE,
    GREY,
    SMALL_PT,
    VERMILION,
    beneath,
    in_style,
    panel_list,
    panel_title,
    series_look,
)
from hccbook.report.tables import AUC_COLUMNS, estimate_text, model_title, require_columns

ROC_COLUMNS = ("cohort", "model", "fpr", "tpr")
TRUTH_COLUMNS = ("run", "model", "auc", "lower", "upper", "truth")

_RUN_TITLES = {"planted": "Risk planted in the images", "none": "Images carry nothing"}


def _one_cohort(table: pd.DataFrame, cohort: str | None, place: str) -> tuple[pd.DataFrame, str]:
    cohorts = list(dict.fromkeys(table["cohort"]))
    if cohort is None:
        if len(cohorts) > 1:
            raise DataError(place, "must hold one cohort for one panel", ", ".join(cohorts), "Name the cohort.")
        cohort = cohorts[0]
    elif cohort not in cohorts:
        raise DataError(place, f"must hold the cohort {cohort}", ", ".join(cohorts), "Check the spelling.")
    return table[table["cohort"] == cohort], cohort


@in_style()
def plot_roc(ax: Axes, points: pd.DataFrame, auc: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """ROC curves of one cohort, with each model's AUC in the legend.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    points : pandas.DataFrame
        Columns cohort, model, fpr, tpr; points of each curve in order.
    auc : pandas.DataFrame
        Columns cohort, model, n, events, auc, lower, upper.
    cohort : str, optional
        Cohort drawn; not needed where the points hold one.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; the legend stands below it, so that it covers no curve.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or a curve has no AUC or two.

    References
    ----------
    ALARM, Fig. 3; aMAP-CT, Fig. 1.
    """
    require_columns(points, ROC_COLUMNS, "ROC points")
    require_columns(auc, AUC_COLUMNS, "AUC table")
    points, cohort = _one_cohort(points, cohort, "ROC points")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    models = list(dict.fromkeys(points["model"]))
    for position, model in enumerate(models):
        of_model = points[points["model"] == model]
        area = auc[(auc["cohort"] == cohort) & (auc["model"] == model)]
        if len(area) != 1:
            raise DataError(
                f"AUC table, {cohort}, {model}",
                "must have one row",
                f"{len(area)} rows",
                "Compute the AUC of each curve.",
            )
        row = area.iloc[0]
        title = model_title(model)
        ax.plot(
            of_model["fpr"],
            of_model["tpr"],
            **series_look(title, position).keywords(),
            label=f"{title} {estimate_text(row['auc'], row['lower'], row['upper'])}",
            # The paper's own model, listed first, lies on top.
            zorder=3 + len(models) - position,
            clip_on=False,
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), title=panel_title(cohort))
    ax.set(xlabel="1 − specificity", ylabel="Sensitivity")
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    ax.legend(
        title="AUC (95% CI)",
        alignment="left",
        loc="upper center",
        bbox_to_anchor=(0.46, 0),
        bbox_transform=beneath(ax, 36),
        handlelength=1.6,
        handletextpad=0.5,
        labelspacing=0.3,
        borderpad=0,
    )
    return ax


def plot_roc_panels(
    axes: np.ndarray | Sequence[Axes], points: pd.DataFrame, auc: pd.DataFrame, *, cohorts: Sequence[str] | None = None
) -> np.ndarray:
    """ROC curves, a panel a cohort.

    Three panels across the book's width are square at a height of about 3.6 inches.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    points, auc : pandas.DataFrame
        As `plot_roc` takes them.
    cohorts : sequence of str, optional
        Cohorts drawn, in order; all of the points where not given.

    Returns
    -------
    ndarray of Axes
        One a cohort.

    Raises
    ------
    DataError
        As `plot_roc`, or if there are fewer panels than cohorts.
    """
    require_columns(points, ROC_COLUMNS, "ROC points")
    cohorts = list(dict.fromkeys(points["cohort"])) if cohorts is None else list(cohorts)
    drawn = panel_list(axes, len(cohorts), "ROC curves")
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        plot_roc(ax, points, auc, cohort=cohort)
        if position:
            ax.set_ylabel("")
    return np.array(drawn, dtype=object)


@in_style()
def plot_truth(ax: Axes, table: pd.DataFrame) -> Axes:
    """Measured AUC with its confidence interval beside the AUC of an ideal observer of the planted risk.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    table : pandas.DataFrame
        Columns run, model, auc, lower, upper, truth; a row a run (``planted``, ``none``) and model.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; runs from top to bottom in the order of the table.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(table, TRUTH_COLUMNS, "AUC beside truth")
    heights: list[float] = []
    names: list[str] = []
    y = 0.0
    for run, of_run in table.groupby("run", sort=False):
        ax.annotate(
            _RUN_TITLES.get(str(run), str(run)),
            xy=(0, y),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
            fontstyle="italic",
            color=BLACK,
        )
        for row in of_run.itertuples():
            y += 1
            heights.append(y)
            names.append(model_title(row.model))
            first = len(heights) == 1
            ax.plot([row.lower, row.upper], [y, y], color=BLUE, linewidth=2, zorder=2)
            ax.plot(row.auc, y, "o", color=BLUE, markersize=6, zorder=3, label="Measured, 95% CI" if first else None)
            ax.plot(
                row.truth,
                y,
                "D",
                markerfacecolor="none",
                markeredgecolor=VERMILION,
                markeredgewidth=1.6,
                markersize=9,
                zorder=4,
                label="Truth: an ideal observer" if first else None,
            )
            ax.annotate(
                estimate_text(row.auc, row.lower, row.upper),
                xy=(1, y),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_PT,
            )
        y += 1.2
    ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    low = float(np.nanmin([table["lower"].min(), table["truth"].min(), 0.5]))
    ax.set(xlim=(max(0.0, low - 0.05), 1.01), ylim=(y - 0.6, -0.6), xlabel="AUC")
    ax.set_yticks(heights, names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=beneath(ax, 34), ncols=2)
    return ax
