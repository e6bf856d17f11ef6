"""Calibration curves and decision curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter

from hccbook.errors import DataError
from hccbook.evaluation.decision import MAX_THRESHOLD
from hccbook.report.figures.marks import REFERENCE, note, quarter_ticks
from hccbook.report.figures.style import GREY, SMALL_PT, in_style, panel_title, series_look
from hccbook.report.tables import cohort_title, decimal_text, model_title
from hccbook.report.tables.schemas import CALIBRATION_COLUMNS, only_row, require_columns, rows_of

_SUMMARY_SHARE = 0.45  # of the panel's width and height, that the summary takes


@in_style()
def plot_calibration(
    ax: Axes,
    points: pd.DataFrame,
    *,
    cohort: str | None = None,
    summary: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
) -> Axes:
    """ALARM Fig. 4A: calibration curve with its confidence band; `legend_below` names its lines.

    Beneath the panel a strip of ticks a line says where its predictions lie.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns cohort, model, predicted, observed, lower, upper; probabilities, points in order of `predicted`.
    cohort : str, optional
        Cohort drawn; all where not given, which must then have one model.
    summary : pandas.DataFrame, optional
        Columns cohort, model, intercept, slope, ici, e50, e90, emax; printed where there is one line.
    predictions : pandas.DataFrame, optional
        Columns cohort, model, predicted: one row per patient.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, there are several cohorts and several models, or a line has
        no summary or two.
    """
    columns = ("cohort", "model", "predicted", "observed", "lower", "upper")
    if cohort is None:
        require_columns(points, columns, "calibration points")
    else:
        points, _ = rows_of(points, columns, "calibration points", cohort)
    series = _series(points)
    ax.plot([0, 1], [0, 1], **REFERENCE | {"zorder": 2}, label="Perfect calibration")
    for position, (label, line) in enumerate(series.items()):
        look = series_look(label, position)
        ax.fill_between(line["predicted"], line["lower"], line["upper"], color=look["color"], alpha=0.18, linewidth=0)
        ax.plot(line["predicted"], line["observed"], **look, label=label)
    if summary is not None and len(series) == 1:
        _write_summary(ax, summary, points)
    # In one of several panels the longer label would meet its neighbour's.
    ax.set_xlabel("Predicted probability of HCC" if cohort is None else "Predicted probability")
    ax.set_ylabel("Observed proportion")
    quarter_ticks(ax)
    if predictions is not None:
        _strips(ax, points, predictions)
    one_cohort = points["cohort"].nunique() == 1
    ax.set_title(panel_title(points["cohort"].iloc[0]) if one_cohort else model_title(points["model"].iloc[0]))
    return ax


def _strips(ax: Axes, points: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """A tick for each prediction, a strip a line in the lines' order, between the panel's zero and its lower edge."""
    require_columns(predictions, ("cohort", "model", "predicted"), "predictions")
    key = ["cohort", "model"]
    drawn = points[key].drop_duplicates().merge(predictions, on=key, how="left")
    strips = _series(drawn)
    for position, (label, own) in enumerate(strips.items()):
        top = -0.02 - 0.04 * position
        colour = series_look(label, position)["color"]
        ax.vlines(own["predicted"], top - 0.03, top, color=colour, linewidth=0.5, alpha=0.35)
    ax.set_ylim(-0.03 - 0.04 * len(strips), 1)
    ax.axhline(0, color=GREY, linewidth=0.6)


def _series(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Points of each line by its label, which is what differs between the lines."""
    cohorts, models = (points[column].unique() for column in ("cohort", "model"))
    if len(cohorts) > 1 and len(models) > 1:
        rule = "must hold one cohort or one model for one panel"
        found = f"cohorts {', '.join(sorted(cohorts))} and models {', '.join(sorted(models))}"
        raise DataError("calibration points", rule, found, "Select the rows of one, or draw a panel each.")
    by, title = ("cohort", cohort_title) if len(cohorts) > 1 else ("model", model_title)
    return {title(name): line for name, line in points.groupby(by, sort=False)}


def _write_summary(ax: Axes, summary: pd.DataFrame, drawn: pd.DataFrame) -> None:
    require_columns(summary, CALIBRATION_COLUMNS, "calibration summary")
    cohort, model = drawn[["cohort", "model"]].iloc[0]
    row = only_row(summary, "calibration summary", "Add it.", cohort=cohort, model=model)
    lines = (
        f"Intercept {decimal_text(row['intercept'], 2)}",
        f"Slope {decimal_text(row['slope'], 2)}",
        f"ICI {decimal_text(row['ici'], 3)}",
    )
    distances = f"E50 {decimal_text(row['e50'], 3)}\nE90 {decimal_text(row['e90'], 3)}"
    # The corner under the diagonal, unless curve or band pass there.
    under = drawn["predicted"] > 1 - _SUMMARY_SHARE
    below, line_pt = 2 * 1.25 * SMALL_PT, 1.25 * SMALL_PT
    if (drawn.loc[under, "lower"] < _SUMMARY_SHARE).any():
        note(ax, "\n".join(lines), (0, 1), (5, -2), "axes fraction", va="top")
        note(ax, distances, (0, 1), (5, -2 - 3 * line_pt), "axes fraction", va="top")
    else:
        corner = {"ha": "right", "va": "bottom"}
        note(ax, "\n".join(lines), (1, 0), (-2, 3 + below), **corner)
        note(ax, distances, (1, 0), (-2, 3), **corner)


@in_style()
def plot_decision_curves(ax: Axes, curves: pd.DataFrame, *, cohort: str | None = None) -> Axes:
    """ALARM Fig. 4B: decision curves, the net benefit of acting on each model, on all and on none.

    `legend_below` names its lines. They are drawn up to `MAX_THRESHOLD`; the vertical axis ends a little below zero,
    since what lies there is only worse than treating none.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns cohort, model, threshold, net_benefit; models including ``treat all`` and ``treat none``; thresholds
        are probabilities, in order.
    cohort : str, optional
        Cohort drawn; not needed where the curves hold one.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or there are several and none is named.
    """
    curves, cohort = rows_of(curves, ("cohort", "model", "threshold", "net_benefit"), "decision curves", cohort)
    curves = curves[curves["threshold"] <= MAX_THRESHOLD]
    for position, (model, line) in enumerate(curves.groupby("model", sort=False)):
        title = model_title(model)
        ax.plot(line["threshold"], line["net_benefit"], **series_look(title, position), label=title)
    top = float(curves["net_benefit"].max())
    top = top if top > 0 else 0.01
    ax.set(xlim=(0, float(curves["threshold"].max())), ylim=(-0.25 * top, 1.08 * top))
    ax.set(xlabel="Threshold probability", ylabel="Net benefit", title=panel_title(cohort))
    ax.xaxis.set_major_locator(MultipleLocator(0.05))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax
