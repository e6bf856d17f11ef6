"""Calibration curves and decision curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hccbook.errors import DataError
from hccbook.report.figures.style import (
    GREY,
    OUTCOME_COLOURS,
    SMALL_PT,
    in_style,
    legend_below,
    panel_list,
    panel_title,
    series_look,
)
from hccbook.report.tables import CALIBRATION_COLUMNS, cohort_title, decimal_text, model_title, require_columns

CALIBRATION_POINT_COLUMNS = ("cohort", "model", "predicted", "observed", "lower", "upper")
DECISION_COLUMNS = ("cohort", "model", "threshold", "net_benefit")
PREDICTION_COLUMNS = ("predicted", "hcc")


def _series(table: pd.DataFrame, place: str) -> list[tuple[str, str, str]]:
    """(cohort, model, label) of each line: labelled by what differs between the lines."""
    pairs = list(dict.fromkeys(zip(table["cohort"], table["model"], strict=True)))
    cohorts, models = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    if len(cohorts) > 1 and len(models) > 1:
        raise DataError(
            place,
            "must hold one cohort or one model for one panel",
            f"cohorts {', '.join(sorted(cohorts))} and models {', '.join(sorted(models))}",
            "Select the rows of one, or draw a panel each.",
        )
    by_cohort = len(cohorts) > 1
    return [(cohort, model, cohort_title(cohort) if by_cohort else model_title(model)) for cohort, model in pairs]


@in_style()
def plot_calibration(
    ax: Axes,
    points: pd.DataFrame,
    *,
    summary: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    limit: float = 1.0,
    legend: bool = True,
) -> Axes:
    """Calibration curve with its confidence band, over a histogram of the predictions.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    points : pandas.DataFrame
        Columns cohort, model, predicted, observed, lower, upper; probabilities, points in order of `predicted`.
        One cohort with several models, or one model in several cohorts.
    summary : pandas.DataFrame, optional
        Columns cohort, model, intercept, slope, ici, e50, e90, emax; printed where there is one line.
    predictions : pandas.DataFrame, optional
        Columns predicted and hcc (0, 1), a row a patient; drawn below the curve as two histograms,
        each scaled to its own highest bar.
    limit : float
        Right and upper end of the axes, a probability.
    legend : bool
        Whether the lines are named beneath the panel.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel.

    Raises
    ------
    DataError
        If a column is missing, or there are several cohorts and several models.

    References
    ----------
    ALARM, Fig. 4A.
    """
    require_columns(points, CALIBRATION_POINT_COLUMNS, "calibration points")
    series = _series(points, "calibration points")
    ax.plot([0, limit], [0, limit], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), label="Perfect calibration")
    for position, (cohort, model, label) in enumerate(series):
        line = points[(points["cohort"] == cohort) & (points["model"] == model)]
        look = series_look(label, position)
        ax.fill_between(line["predicted"], line["lower"], line["upper"], color=look.color, alpha=0.18, linewidth=0)
        ax.plot(line["predicted"], line["observed"], **look.keywords(), label=label)
    if predictions is not None:
        _histograms(ax, predictions, limit)
    if summary is not None and len(series) == 1:
        require_columns(summary, CALIBRATION_COLUMNS, "calibration summary")
        row = summary[(summary["cohort"] == series[0][0]) & (summary["model"] == series[0][1])]
        if len(row) != 1:
            raise DataError(
                f"calibration summary, {series[0][0]}, {series[0][1]}",
                "must have one row",
                f"{len(row)} rows",
                "Add it.",
            )
        row = row.iloc[0]
        lines = (
            f"Intercept {decimal_text(row['intercept'], 2)}",
            f"Slope {decimal_text(row['slope'], 2)}",
            f"ICI {decimal_text(row['ici'], 3)}",
        )
        ax.annotate(
            "\n".join(lines),
            xy=(limit, 0),
            # Above the two lines that follow.
            xytext=(-2, 3 + 2 * 1.25 * SMALL_PT),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=SMALL_PT,
            bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
        ax.annotate(
            f"E50 {decimal_text(row['e50'], 3)}\nE90 {decimal_text(row['e90'], 3)}",
            xy=(limit, 0),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=SMALL_PT,
        )
    bottom = -0.16 * limit if predictions is not None else 0
    ax.set(xlim=(0, limit), ylim=(bottom, limit))
    ax.set(xlabel="Predicted probability of HCC", ylabel="Observed proportion")
    ticks = np.linspace(0, limit, 5)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    if len({cohort for cohort, _, _ in series}) == 1:
        ax.set_title(panel_title(series[0][0]))
    if legend:
        legend_below([ax], columns=2)
    return ax


def _histograms(ax: Axes, predictions: pd.DataFrame, limit: float) -> None:
    require_columns(predictions, PREDICTION_COLUMNS, "predictions")
    edges = np.linspace(0, limit, 41)
    base, height = -0.08 * limit, 0.07 * limit
    for outcome, sign in ((1, 1), (0, -1)):
        counts, _ = np.histogram(predictions.loc[predictions["hcc"] == outcome, "predicted"], edges)
        scaled = counts / max(counts.max(), 1) * height
        ax.bar(
            edges[:-1],
            sign * scaled,
            width=np.diff(edges),
            bottom=base,
            align="edge",
            color=OUTCOME_COLOURS[outcome],
            linewidth=0,
            label=f"Patients {'with' if outcome else 'without'} HCC",
        )
    ax.axhline(base, color=GREY, linewidth=0.5)
    ax.axhline(0, color=GREY, linewidth=0.5)


@in_style()
def plot_decision_curves(ax: Axes, curves: pd.DataFrame, *, legend: bool = True) -> Axes:
    """Decision curves: net benefit of acting on each model, on all and on none.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    curves : pandas.DataFrame
        Columns cohort, model, threshold, net_benefit; one cohort, models including ``treat all``
        and ``treat none``; thresholds are probabilities, in order.
    legend : bool
        Whether the lines are named beneath the panel.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; the vertical axis ends a little below nought, since what lies there is only
        worse than treating none.

    Raises
    ------
    DataError
        If a column is missing or there are several cohorts.

    References
    ----------
    ALARM, Fig. 4B.
    """
    require_columns(curves, DECISION_COLUMNS, "decision curves")
    cohorts = list(dict.fromkeys(curves["cohort"]))
    if len(cohorts) > 1:
        raise DataError(
            "decision curves", "must hold one cohort for one panel", ", ".join(cohorts), "Select the rows of one."
        )
    for position, model in enumerate(dict.fromkeys(curves["model"])):
        line = curves[curves["model"] == model]
        title = model_title(model)
        ax.plot(line["threshold"], line["net_benefit"], **series_look(title, position).keywords(), label=title)
    top = float(curves["net_benefit"].max())
    top = top if top > 0 else 0.01
    ax.set(xlim=(0, float(curves["threshold"].max())), ylim=(-0.25 * top, 1.08 * top))
    ax.set(xlabel="Threshold probability", ylabel="Net benefit", title=panel_title(cohorts[0]))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if legend:
        legend_below([ax], columns=3)
    return ax


@in_style()
def plot_calibration_panels(
    axes: np.ndarray | Sequence[Axes],
    points: pd.DataFrame,
    *,
    summary: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    limit: float = 1.0,
) -> np.ndarray:
    """Calibration curves, a panel a cohort.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    points, summary : pandas.DataFrame
        As `plot_calibration` takes them.
    predictions : pandas.DataFrame, optional
        As there, with a column ``cohort``.
    limit : float
        Right and upper end of the axes, a probability.

    Returns
    -------
    ndarray of Axes
        One a cohort.

    Raises
    ------
    DataError
        As `plot_calibration`, or if there are fewer panels than cohorts.
    """
    require_columns(points, CALIBRATION_POINT_COLUMNS, "calibration points")
    cohorts = list(dict.fromkeys(points["cohort"]))
    drawn = panel_list(axes, len(cohorts), "calibration curves")
    if predictions is not None:
        require_columns(predictions, ("cohort", *PREDICTION_COLUMNS), "predictions")
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        of_cohort = None if predictions is None else predictions[predictions["cohort"] == cohort]
        of_points = points[points["cohort"] == cohort]
        plot_calibration(ax, of_points, summary=summary, predictions=of_cohort, limit=limit, legend=False)
        ax.set_xlabel("Predicted probability")
        if position:
            ax.set_ylabel("")
    legend_below(drawn, columns=4)
    return np.array(drawn, dtype=object)


@in_style()
def plot_decision_panels(axes: np.ndarray | Sequence[Axes], curves: pd.DataFrame) -> np.ndarray:
    """Decision curves, a panel a cohort; takes and refuses what `plot_decision_curves` does.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as cohorts.
    curves : pandas.DataFrame
        Columns cohort, model, threshold, net_benefit.

    Returns
    -------
    ndarray of Axes
        One a cohort.

    Raises
    ------
    DataError
        If a column is missing or there are fewer panels than cohorts.
    """
    require_columns(curves, DECISION_COLUMNS, "decision curves")
    cohorts = list(dict.fromkeys(curves["cohort"]))
    drawn = panel_list(axes, len(cohorts), "decision curves")
    for position, (ax, cohort) in enumerate(zip(drawn, cohorts, strict=True)):
        plot_decision_curves(ax, curves[curves["cohort"] == cohort], legend=False)
        if position:
            ax.set_ylabel("")
    legend_below(drawn, columns=6)
    return np.array(drawn, dtype=object)
