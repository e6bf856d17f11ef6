"""Discrimination: ROC curves, cross-validated ones too, and measured AUCs beside the planted truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.layout import legend_under
from hccbook.report.figures.marks import REFERENCE, TO_SIDE, beside, interval, name_rows, note, quarter_ticks
from hccbook.report.figures.style import BLUE, VERMILION, in_style, panel_title, series_look
from hccbook.report.tables import decimal_text, estimate_text, model_title, ratio_text
from hccbook.report.tables.schemas import AUC_COLUMNS, only_row, require_columns, rows_of

_ROC_COLUMNS = ("cohort", "model", "fpr", "tpr")
_RUN_TITLES = {"planted": "Risk planted in the images", "none": "Null run: features carry nothing"}
_POOLED, _MEAN = "pooled", "mean of folds"


@in_style()
def plot_roc(ax: Axes, points: pd.DataFrame, auc: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """ALARM Fig. 3, aMAP-CT Fig. 1: ROC curves of one cohort, with each model's AUC in the legend.

    Three panels across the book's width are square at a height of about 3.6 inches. The legend stands below it, so that
    it covers no curve.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns cohort, model, fpr, tpr; points of each curve in order.
    auc : pandas.DataFrame
        Columns cohort, model, n, events, auc, lower, upper.
    cohort : str, optional
        Cohort drawn; not needed where the points hold one.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or a curve has no AUC or two.
    """
    require_columns(auc, AUC_COLUMNS, "AUC table")
    points, cohort = rows_of(points, _ROC_COLUMNS, "ROC points", cohort)
    _roc_axes(ax, cohort)
    curves = points.groupby("model", sort=False)
    counted = ""
    for position, (model, curve) in enumerate(curves):
        area = only_row(auc, "AUC table", "Compute the AUC of each curve.", cohort=cohort, model=model)
        title = model_title(model)
        label = f"{title} {estimate_text(*area[['auc', 'lower', 'upper']])}"
        # The paper's own model, listed first, lies on top.
        look = {**series_look(title, position), "zorder": 3 + len(curves) - position}
        ax.plot(curve["fpr"], curve["tpr"], label=label, clip_on=False, **look)
        counted = f", {ratio_text(area['events'], area['n'])} HCC"
    _auc_legend(ax, counted, handlelength=1.6, handletextpad=0.5, labelspacing=0.3)
    return ax


@in_style()
def plot_cross_validated_roc(ax: Axes, auc: pd.DataFrame, points: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """ALARM Figure S14: ROC curves of the folds, thin, and of all out-of-fold predictions together.

    A cohort without curves shows the note that says why.

    Parameters
    ----------
    auc : pandas.DataFrame
        Columns cohort, model, n, events, auc, lower, upper, sd, note; with the rows "pooled" and "mean of folds".
    points : pandas.DataFrame
        Columns cohort, model ("fold 1", ..., "pooled"), fpr, tpr.
    cohort : str, optional
        Cohort drawn; not needed where the AUCs hold one.

    Raises
    ------
    DataError
        If a column is missing or the cohort has no pooled row.
    """
    areas, cohort = rows_of(auc, (*AUC_COLUMNS, "sd", "note"), "cross-validated AUC", cohort)
    areas = areas.set_index("model")
    if _POOLED not in areas.index:
        raise DataError("cross-validated AUC", f"must have {cohort}, {_POOLED}", "no row", "Check the spelling.")
    pooled = areas.loc[_POOLED]
    _roc_axes(ax, cohort)
    if np.isnan(pooled["auc"]):
        ax.text(0.5, 0.5, str(pooled["note"]).replace(": ", ":\n"), ha="center", va="center", wrap=True)
        return ax
    require_columns(points, _ROC_COLUMNS, "cross-validated ROC")
    curves = dict(list(points[points["cohort"] == cohort].groupby("model", sort=False)))
    whole = curves.pop(_POOLED)
    for position, curve in enumerate(curves.values()):
        mean, sd = (decimal_text(areas.loc[_MEAN, name], 3) for name in ("auc", "sd"))
        label = None if position else f"{len(curves)} folds, mean {mean} (SD {sd})"
        ax.plot(curve["fpr"], curve["tpr"], color="#A9C7DD", linewidth=1.0, label=label, zorder=2, clip_on=False)
    label = f"Pooled {estimate_text(pooled['auc'], pooled['lower'], pooled['upper'])}"
    ax.plot(whole["fpr"], whole["tpr"], color=BLUE, linewidth=2.0, label=label, zorder=3, clip_on=False)
    _auc_legend(ax, f", {ratio_text(pooled['events'], pooled['n'])} HCC", reverse=True)
    return ax


def _roc_axes(ax: Axes, cohort: str) -> None:
    ax.plot([0, 1], [0, 1], **REFERENCE)
    ax.set(title=panel_title(cohort), xlabel="1 − specificity", ylabel="Sensitivity")
    quarter_ticks(ax)


def _auc_legend(ax: Axes, counted: str, **look: object) -> None:
    legend_under(ax, 36, 0.46, title=f"AUC (95% CI){counted}", alignment="left", borderpad=0, **look)


@in_style()
def plot_truth(ax: Axes, table: pd.DataFrame) -> Axes:
    """Measured AUC with its confidence interval beside the AUC of an ideal observer of the planted risk.

    Runs from top to bottom in the order of the table.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns run, model, auc, lower, upper, truth; one row per run (``planted``, ``none``) and model.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(table, ("run", "model", "auc", "lower", "upper", "truth"), "AUC beside truth")
    names: dict[float, str] = {}
    y = 0.0
    for run, of_run in table.groupby("run", sort=False):
        note(ax, _RUN_TITLES.get(str(run), str(run)), (0, y), (4, 0), TO_SIDE, va="center", fontstyle="italic")
        for row in of_run.itertuples():
            y += 1
            measured, truth = (None, None) if names else ("Measured, 95% CI", "Truth: an ideal observer")
            names[y] = model_title(row.model)
            interval(ax, y, row.auc, (row.lower, row.upper), color=BLUE, label=measured)
            look = {"markerfacecolor": "none", "markeredgecolor": VERMILION, "markeredgewidth": 1.6, "markersize": 9}
            ax.plot(row.truth, y, "D", zorder=4, label=truth, **look)
            beside(ax, y, estimate_text(row.auc, row.lower, row.upper))
        y += 1.2
    ax.axvline(0.5, **REFERENCE)
    low = float(np.nanmin([table["lower"].min(), table["truth"].min(), 0.5]))
    ax.set(xlim=(max(0.0, low - 0.05), 1.01), ylim=(y - 0.6, -0.6), xlabel="AUC")
    name_rows(ax, list(names.values()), list(names))
    legend_under(ax, x=0, loc="upper left", ncols=2)
    return ax
