"""What harmonisation does to the centres' share of each feature's variance, and to the AUC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.style import GREY, SMALL_PT, in_style, series_look
from hccbook.report.tables import cohort_title, estimate_text, require_columns

CENTRE_EFFECT_COLUMNS = ("stage", "feature", "share", "chance", "at_most")
HARMONISED_AUC_COLUMNS = ("variant", "cohort", "auc", "lower", "upper", "note")


@in_style()
def plot_centre_effect(ax: Axes, shares: pd.DataFrame) -> Axes:
    """Share of the features whose variance lies between centres to a given share or less.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    shares : pandas.DataFrame
        Columns stage, feature, share, chance, at_most; a line a stage, in the order of the rows.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; a dashed line marks what centres that do nothing would have on average.

    Raises
    ------
    DataError
        If a column is missing, there is no row, or stages differ in what chance gives.
    """
    require_columns(shares, CENTRE_EFFECT_COLUMNS, "centre effect")
    if shares.empty:
        raise DataError("centre effect", "must hold features", "none", "Give features that vary.")
    chances = shares["chance"].unique()
    if len(chances) > 1:
        found = ", ".join(f"{value:.3g}" for value in chances)
        raise DataError(
            "centre effect", "must be of the same patients in every stage", f"chance {found}", "Align them."
        )
    for position, (stage, rows) in enumerate(shares.groupby("stage", sort=False)):
        share, at_most = rows["share"].to_numpy(), rows["at_most"].to_numpy()
        ax.plot(
            np.r_[share[0], share],
            np.r_[0.0, at_most],
            drawstyle="steps-post",
            label=str(stage),
            **series_look(str(stage), position).keywords(),
        )
    ax.axvline(chances[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    ax.annotate(
        "chance",
        xy=(chances[0], 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, 2),
        textcoords="offset points",
        fontsize=SMALL_PT,
        color=GREY,
        va="bottom",
    )
    ax.set(xlim=(0, None), ylim=(0, 1))
    ax.set_xlabel("Share of a feature's variance between centres")
    ax.set_ylabel("Share of features, cumulative")
    ax.legend(loc="lower right")
    return ax


@in_style()
def plot_harmonised_auc(ax: Axes, aucs: pd.DataFrame) -> Axes:
    """AUC of the model refitted on each variant of the features, with its interval, by cohort.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel; about 0.28 inches a row read well.
    aucs : pandas.DataFrame
        Columns variant, cohort, auc, lower, upper, note; a row a variant and cohort.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; cohorts from top to bottom, variants within them, and the numbers or the note beside them.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(aucs, HARMONISED_AUC_COLUMNS, "AUC by harmonisation")
    variants = list(dict.fromkeys(aucs["variant"]))
    height, heights, names = 0.0, [], []
    for cohort, rows in aucs.groupby("cohort", sort=False):
        for row in rows.itertuples():
            colour = series_look(str(row.variant), variants.index(row.variant)).color
            ax.plot([row.lower, row.upper], [height, height], color=colour, linewidth=2)
            ax.plot(row.auc, height, "o", color=colour, markersize=6)
            known = np.isfinite([row.auc, row.lower, row.upper]).all()
            ax.annotate(
                estimate_text(row.auc, row.lower, row.upper) if known else row.note,
                xy=(1, height),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_PT,
            )
            heights.append(height)
            names.append(f"{cohort_title(cohort)}: {row.variant}")
            height += 1.0
        height += 0.5
    ax.axvline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    ax.set_yticks(heights, names)
    ax.set_ylim(height - 0.9, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("AUC (95% CI)")
    return ax
