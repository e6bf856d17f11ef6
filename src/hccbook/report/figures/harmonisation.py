"""What harmonisation does to the centres' share of each feature's variance, and to the AUC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.marks import CUTOFF, TO_TOP, beside, interval, name_rows, note
from hccbook.report.figures.style import GREY, in_style, series_look
from hccbook.report.tables import cohort_title, estimate_text, require_columns

_CHANCE = CUTOFF | {"color": GREY, "zorder": 1}


@in_style()
def plot_centre_effect(ax: Axes, shares: pd.DataFrame) -> Axes:
    """Share of the features whose variance lies between centres to a given share or less.

    A dashed line marks what centres that do nothing would have on average.

    Parameters
    ----------
    shares : pandas.DataFrame
        Columns stage, feature, share, chance, at_most; a line a stage, in the order of the rows.

    Raises
    ------
    DataError
        If a column is missing, there is no row, or stages differ in what chance gives.
    """
    require_columns(shares, ("stage", "feature", "share", "chance", "at_most"), "centre effect")
    if shares.empty:
        raise DataError("centre effect", "must hold features", "none", "Give features that vary.")
    chances = shares["chance"].unique()
    if len(chances) > 1:
        found = ", ".join(f"{value:.3g}" for value in chances)
        rule = "must be of the same patients in every stage"
        raise DataError("centre effect", rule, f"chance {found}", "Align them.")
    for position, (stage, rows) in enumerate(shares.groupby("stage", sort=False)):
        share, look = rows["share"].to_numpy(), series_look(str(stage), position)
        ax.plot(np.r_[share[0], share], np.r_[0.0, rows["at_most"]], drawstyle="steps-post", label=str(stage), **look)
    ax.axvline(chances[0], **_CHANCE)
    note(ax, "chance", (chances[0], 1), (3, 2), TO_TOP, color=GREY, va="bottom")
    ax.set(xlim=(0, None), ylim=(0, 1))
    ax.set(xlabel="Share of a feature's variance between centres", ylabel="Share of features, cumulative")
    ax.legend(loc="lower right")
    return ax


@in_style()
def plot_harmonised_auc(ax: Axes, aucs: pd.DataFrame) -> Axes:
    """AUC of the model refitted on each variant of the features, with its interval, by cohort.

    Cohorts from top to bottom, variants within them, and the numbers or the note beside them. About 0.28 inches a row
    read well.

    Parameters
    ----------
    aucs : pandas.DataFrame
        Columns variant, cohort, auc, lower, upper, note; one row per variant and cohort.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(aucs, ("variant", "cohort", "auc", "lower", "upper", "note"), "AUC by harmonisation")
    variants = list(dict.fromkeys(aucs["variant"]))
    names: dict[float, str] = {}
    height = 0.0
    for cohort, rows in aucs.groupby("cohort", sort=False):
        for row in rows.itertuples():
            colour = series_look(str(row.variant), variants.index(row.variant))["color"]
            interval(ax, height, row.auc, (row.lower, row.upper), color=colour)
            known = np.isfinite([row.auc, row.lower, row.upper]).all()
            beside(ax, height, estimate_text(row.auc, row.lower, row.upper) if known else row.note)
            names[height] = f"{cohort_title(cohort)}: {row.variant}"
            height += 1.0
        height += 0.5
    ax.axvline(0.5, **_CHANCE)
    name_rows(ax, list(names.values()), list(names))
    ax.set(ylim=(height - 0.9, -0.6), xlabel="AUC (95% CI)")
    return ax
