"""Cross-validated ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.discrimination import ROC_COLUMNS
from hccbook.report.figures.style import BLUE, GREY, beneath, in_style, panel_list, panel_title
from hccbook.report.tables import AUC_COLUMNS, decimal_text, estimate_text, require_columns

_POOLED, _MEAN = "pooled", "mean of folds"
_TICKS = [0, 0.25, 0.5, 0.75, 1]


@in_style()
def plot_cross_validated_roc(ax: Axes, points: pd.DataFrame, auc: pd.DataFrame, *, cohort: str) -> Axes:
    """ROC curves of the folds, thin, and of all out-of-fold predictions together.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    points : pandas.DataFrame
        Columns cohort, model ("fold 1", ..., "pooled"), fpr, tpr.
    auc : pandas.DataFrame
        Columns cohort, model, n, events, auc, lower, upper, sd, note; with the rows "pooled" and "mean of folds".
    cohort : str
        Cohort drawn.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; a cohort without curves shows the note that says why.

    Raises
    ------
    DataError
        If a column is missing or the cohort has no pooled row.

    References
    ----------
    ALARM, Figure S14.
    """
    require_columns(auc, (*AUC_COLUMNS, "sd", "note"), "cross-validated AUC")
    of_cohort = auc[auc["cohort"] == cohort].set_index("model")
    if _POOLED not in of_cohort.index:
        raise DataError("cross-validated AUC", f"must have {cohort}, {_POOLED}", "no row", "Check the spelling.")
    pooled = of_cohort.loc[_POOLED]
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    if np.isnan(pooled["auc"]):
        text = str(pooled["note"]).replace(": ", ":\n")
        ax.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    else:
        require_columns(points, ROC_COLUMNS, "cross-validated ROC")
        curves = points[points["cohort"] == cohort]
        folds = [model for model in dict.fromkeys(curves["model"]) if model != _POOLED]
        for position, fold in enumerate(folds):
            curve = curves[curves["model"] == fold]
            mean = of_cohort.loc[_MEAN]
            label = f"{len(folds)} folds, mean {decimal_text(mean['auc'], 3)} (SD {decimal_text(mean['sd'], 3)})"
            ax.plot(
                curve["fpr"],
                curve["tpr"],
                color="#A9C7DD",
                linewidth=1.0,
                label=None if position else label,
                zorder=2,
                clip_on=False,
            )
        curve = curves[curves["model"] == _POOLED]
        label = f"Pooled {estimate_text(pooled['auc'], pooled['lower'], pooled['upper'])}"
        ax.plot(curve["fpr"], curve["tpr"], color=BLUE, linewidth=2.0, label=label, zorder=3, clip_on=False)
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(
            handles[::-1],
            labels[::-1],
            title="AUC (95% CI)",
            alignment="left",
            loc="upper center",
            bbox_to_anchor=(0.46, 0),
            bbox_transform=beneath(ax, 36),
            borderpad=0,
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), title=panel_title(cohort), xlabel="1 − specificity", ylabel="Sensitivity")
    ax.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    ax.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    return ax


def plot_cross_validated_roc_panels(
    axes: np.ndarray | Sequence[Axes], points: pd.DataFrame, auc: pd.DataFrame
) -> np.ndarray:
    """Cross-validated ROC curves, a panel a cohort; takes and refuses what `plot_cross_validated_roc` does.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    points, auc : pandas.DataFrame
        As there.

    Returns
    -------
    ndarray of Axes
        One a cohort.

    Raises
    ------
    DataError
        As there, or if there are fewer panels than cohorts.
    """
    require_columns(auc, (*AUC_COLUMNS, "sd", "note"), "cross-validated AUC")
    cohorts = list(dict.fromkeys(auc["cohort"]))
    drawn = panel_list(axes, len(cohorts), "cross-validated ROC")
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        plot_cross_validated_roc(ax, points, auc, cohort=cohort)
        if position:
            ax.set_ylabel("")
    return np.array(drawn, dtype=object)
