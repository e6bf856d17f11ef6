"""Feature selection: LASSO path and error, coefficients, families of features."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hccbook.report.figures.marks import CUTOFF, TO_TOP, note
from hccbook.report.figures.style import BLUE, GREY, VERMILION, in_style, series_look
from hccbook.report.tables import decimal_text, feature_title, require_columns
from hccbook.report.tables.titles import feature_class_title

_MAX_COLOURED = 20


def _mark_penalty(ax: Axes, penalty: float | None) -> None:
    if penalty is not None:
        ax.axvline(penalty, **CUTOFF)
        note(ax, "chosen", (penalty, 1), (3, -2), TO_TOP, va="top")


@in_style()
def plot_lasso_path(ax: Axes, path: pd.DataFrame, *, penalty: float | None = None) -> Axes:
    """Coefficients along the LASSO path, coloured where they are not 0 at the chosen penalty.

    Of more than 20 such features only the 20 with the largest coefficients there are, and the others dark grey.

    Parameters
    ----------
    path : pandas.DataFrame
        Columns feature, penalty, coefficient (of standardised features).
    penalty : float, optional
        Chosen penalty, marked.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(path, ("feature", "penalty", "coefficient"), "LASSO path")
    chosen = path[(path["penalty"] == penalty) & (path["coefficient"] != 0)].set_index("feature")["coefficient"]
    coloured = chosen.abs().nlargest(_MAX_COLOURED).index
    looks = {name: {"color": GREY, "linewidth": 0.8, "zorder": 2.5} for name in chosen.index}
    for position, name in enumerate(name for name in chosen.index if name in coloured):
        looks[name] = {"color": series_look("", position)["color"], "linewidth": 1.4, "zorder": 3}
    for name, line in path.sort_values("penalty").groupby("feature", sort=False):
        look = looks.get(name, {"color": "#B5B5B5", "linewidth": 0.8, "zorder": 2})
        ax.plot(line["penalty"], line["coefficient"], **look)
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.set(xscale="log", xlabel="Penalty", ylabel="Coefficient")
    _mark_penalty(ax, penalty)
    return ax


@in_style()
def plot_lasso_error(ax: Axes, error: pd.DataFrame, *, penalty: float | None = None) -> Axes:
    """Cross-validated error along the LASSO path.

    Parameters
    ----------
    error : pandas.DataFrame
        Columns penalty, error, lower, upper; the bounds are one standard error to each side.
    penalty : float, optional
        Chosen penalty, marked.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(error, ("penalty", "error", "lower", "upper"), "LASSO error")
    line = error.sort_values("penalty")
    ax.fill_between(line["penalty"], line["lower"], line["upper"], color=BLUE, alpha=0.18, linewidth=0)
    ax.plot(line["penalty"], line["error"], color=BLUE)
    ax.set(xscale="log", xlabel="Penalty", ylabel="Cross-validated squared error")
    _mark_penalty(ax, penalty)
    return ax


@in_style()
def plot_coefficients(ax: Axes, coefficients: pd.DataFrame) -> Axes:
    """ALARM Fig. 2B: coefficients of the chosen features as lollipops; a positive one raises the risk.

    Parameters
    ----------
    coefficients : pandas.DataFrame
        Columns feature, coefficient; drawn from top to bottom in the order of the frame.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(coefficients, ("feature", "coefficient"), "coefficients")
    y = range(len(coefficients))
    values = coefficients["coefficient"].to_numpy(float)
    colours = [VERMILION if value > 0 else BLUE for value in values]
    ax.hlines(y, 0, values, color=colours, linewidth=1.8)
    ax.scatter(values, y, s=34, color=colours, zorder=3)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set_yticks(y, [feature_title(name) for name in coefficients["feature"]])
    ax.set_ylim(len(values) - 0.4, -0.6)
    # Long names leave a panel narrower than its label.
    ax.set_xlabel("Coefficient (a positive one raises the risk)", loc="right")
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.08)
    return ax


@in_style()
def plot_feature_families(ax: Axes, families: pd.DataFrame) -> Axes:
    """ALARM Figure S4: number of features by family, each bar with its count.

    Parameters
    ----------
    families : pandas.DataFrame
        Columns family, n; drawn from top to bottom in the order of the frame.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(families, ("family", "n"), "feature families")
    y = range(len(families))
    ax.barh(y, families["n"], color=BLUE, height=0.66)
    for place, n in zip(y, families["n"], strict=True):
        note(ax, decimal_text(n, 0), (n, place), (4, 0), va="center")
    ax.set_yticks(y, [feature_class_title(family) for family in families["family"]])
    ax.set(ylim=(len(families) - 0.4, -0.6), xlabel="Features")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.margins(x=0.1)
    return ax
