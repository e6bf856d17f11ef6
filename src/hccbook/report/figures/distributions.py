"""Distributions by outcome: ridgelines, boxes, and the oversampled cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.layout import legend_under, panel_list
from hccbook.report.figures.marks import TO_TOP, name_rows, note
from hccbook.report.figures.screening import no_feature
from hccbook.report.figures.style import BLACK, GREY, OUTCOME_COLOURS, VERMILION, in_style, panel_title
from hccbook.report.tables import feature_title, p_phrase, variable_title
from hccbook.report.tables.schemas import require_columns, rows_of

_OVERLAP = 1.2
_WIDEST = 6.0  # standard deviations: what lies further out would squeeze all others
_OUTCOMES = ((0, "No HCC"), (1, "HCC"))
_BOX_LOOK: Mapping[str, object] = {
    "widths": 0.3,
    "patch_artist": True,
    "boxprops": {"facecolor": "none", "edgecolor": BLACK, "linewidth": 0.9, "zorder": 3},
    "medianprops": {"color": BLACK, "linewidth": 1.6, "zorder": 4},
    "whiskerprops": {"color": BLACK, "linewidth": 0.9},
    "capprops": {"color": BLACK, "linewidth": 0.9},
    "showfliers": False,
    "manage_ticks": False,
}

BORDERLINE_KINDS: Mapping[str, Mapping[str, object]] = {
    "No HCC": {"color": GREY, "s": 14, "linewidth": 0},
    "HCC, synthetic": {"facecolor": "none", "edgecolor": VERMILION, "s": 18, "linewidth": 0.8, "marker": "D"},
    "HCC, safe": {"color": OUTCOME_COLOURS[1], "s": 34, "linewidth": 0},
    "HCC, in danger": {"color": BLACK, "s": 44, "linewidth": 0, "marker": "^"},
    "HCC, alone": {"color": BLACK, "s": 44, "linewidth": 1.4, "marker": "x"},
}
"""How each kind of patient is drawn: by shape as well as by colour."""


@in_style()
def plot_ridgelines(ax: Axes, densities: pd.DataFrame) -> Axes:
    """ALARM Fig. 2A: density of each feature with and without HCC, one ridge above another.

    With an empty frame it says that no feature was selected. About 0.33 inches a feature read well.

    Parameters
    ----------
    densities : pandas.DataFrame
        Columns variable, hcc (0, 1), x (standard deviations from the mean), density; features from top to bottom in
        the order of the frame. Each ridge is scaled to its own highest point; of what lies more than six standard
        deviations from the mean nothing is drawn.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if no_feature(ax, densities, ("variable", "hcc", "x", "density"), "densities"):
        return ax
    names = densities["variable"].unique()
    for place, (_, ridge) in enumerate(densities.groupby("variable", sort=False)):
        scale = _OVERLAP / float(ridge["density"].max())
        ax.axhline(place, color="#DDDDDD", linewidth=0.6, zorder=3 * place)
        for outcome, label in _OUTCOMES:
            line = ridge[ridge["hcc"] == outcome]
            top = place - scale * line["density"]
            colour = OUTCOME_COLOURS[outcome]
            # Each ridge lies over the one above it, as hills do.
            ax.fill_between(line["x"], place, top, color=colour, alpha=0.45, linewidth=0, zorder=3 * place + 1)
            ax.plot(line["x"], top, color=colour, linewidth=1.1, zorder=3 * place + 2, label=None if place else label)
    name_rows(ax, [feature_title(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -_OVERLAP - 0.15)
    # Long names leave a panel narrower than its label.
    ax.set_xlabel("Standard deviations from the mean of all patients", loc="right")
    ax.set_xlim(max(float(densities["x"].min()), -_WIDEST), min(float(densities["x"].max()), _WIDEST))
    legend_under(ax, ncols=2)
    return ax


@in_style()
def plot_outcome_boxes(
    ax: Axes, differences: pd.DataFrame, patients: pd.DataFrame | None = None, *, variable: str | None = None
) -> Axes:
    """One score with and without HCC in each cohort: boxes, the patients themselves, and the Mann-Whitney p.

    `legend_below` names its colours; above each cohort its p, or that there is no test.

    Parameters
    ----------
    differences : pandas.DataFrame
        Columns cohort, variable, hcc (0, 1), n, median, q1, q3, low, high, p, note.
    patients : pandas.DataFrame, optional
        Columns cohort, hcc and the variable; drawn as points behind the boxes.
    variable : str, optional
        Score drawn; not needed where the differences hold one.

    Raises
    ------
    DataError
        If a column is missing, the variable is not there, or there are several and none is named.

    References
    ----------
    ALARM, Figure S12.
    """
    columns = ("cohort", "variable", "hcc", "n", "median", "q1", "q3", "low", "high", "p", "note")
    differences, variable = rows_of(differences, columns, "differences", variable, by="variable")
    if patients is not None:
        require_columns(patients, ("cohort", "hcc", variable), "patients")
    cohorts = differences["cohort"].unique()
    for place, (cohort, rows) in enumerate(differences.groupby("cohort", sort=False)):
        for row in rows[rows["n"] > 0].itertuples():
            at = place + (0.2 if row.hcc else -0.2)
            if patients is not None:
                own = patients.loc[(patients["cohort"] == cohort) & (patients["hcc"] == row.hcc), variable].to_numpy()
                # Multiples of the golden ratio spread points without chance.
                aside = 0.26 * (((np.arange(own.size) * 0.6180339887) % 1) - 0.5)
                look = {"color": OUTCOME_COLOURS[row.hcc], "alpha": 0.55, "linewidth": 0}
                ax.scatter(at + aside, own, s=5, zorder=2, rasterized=True, **look)
            box = {"med": row.median, "q1": row.q1, "q3": row.q3, "whislo": row.low, "whishi": row.high}
            ax.bxp([box], positions=[at], **_BOX_LOOK)
        first = rows.iloc[0]
        # In two lines: three cohorts side by side leave each p little room.
        p = p_phrase(first["p"]).replace(" ", "\n", 1) if first["note"] == "" else "no\ntest"
        note(ax, p, (place, 1), (0, 1), TO_TOP, ha="center", va="bottom")
    for outcome, label in _OUTCOMES:
        ax.scatter([], [], s=28, marker="s", color=OUTCOME_COLOURS[outcome], label=label)
    # One under another: three cohorts side by side leave each name little room.
    ax.set_xticks(range(len(cohorts)), [panel_title(str(cohort)).replace(" ", "\n") for cohort in cohorts])
    ax.set(xlim=(-0.55, len(cohorts) - 0.45), ylabel=variable_title(variable))
    ax.tick_params(axis="x", length=0)
    return ax


@in_style()
def plot_oversampling(axes: np.ndarray | Sequence[Axes], points: pd.DataFrame) -> np.ndarray:
    """ALARM Figure S1: the discovery cohort before and after Borderline-SMOTE, on its two image scores.

    Parameters
    ----------
    axes : array of Axes
        Two panels: before, after.
    points : pandas.DataFrame
        Columns radiomics, deep, y (0, 1) and synthetic (bool), as ``AlarmModel.augmented_`` has them.

    Returns
    -------
    ndarray of Axes
        The two panels, on the same scales; the titles give the counts.

    Raises
    ------
    DataError
        If a column is missing or there are fewer than two panels.
    """
    require_columns(points, ("radiomics", "deep", "y", "synthetic"), "oversampled cohort")
    drawn = panel_list(axes, 2, "oversampling")
    made = points["synthetic"].to_numpy(bool)
    looks = {
        "No HCC": {"color": OUTCOME_COLOURS[0], "s": 12, "linewidth": 0},
        "HCC, synthetic": {"facecolor": "none", "edgecolor": VERMILION, "s": 16, "linewidth": 0.8, "marker": "D"},
        "HCC": {"color": OUTCOME_COLOURS[1], "s": 24, "linewidth": 0},
    }
    for ax, title, shown in zip(drawn, ("Before", "After"), (points[~made], points), strict=True):
        named = np.where(shown["synthetic"].astype(bool), "HCC, synthetic", np.where(shown["y"] == 1, "HCC", "No HCC"))
        for label, look in looks.items():
            part = shown[named == label]
            if len(part):
                ax.scatter(part["radiomics"], part["deep"], label=label, zorder=3, **look)
        cases = int((shown["y"] == 1).sum())
        ax.set(title=f"{title}: {cases} HCC, {len(shown) - cases} without", xlabel="Radiomics score")
        ax.set_xlim(*_with_margin(points["radiomics"]))
        ax.set_ylim(*_with_margin(points["deep"]))
    drawn[0].set_ylabel("Deep-learning score")
    drawn[1].legend(loc="upper left", handletextpad=0.2, borderpad=0.4, frameon=True, framealpha=0.8, edgecolor=GREY)
    return np.array(drawn, dtype=object)


@in_style()
def plot_borderline_smote(ax: Axes, points: pd.DataFrame) -> Axes:
    """Made-up patients on a plane, and what Borderline-SMOTE takes each of them for.

    Parameters
    ----------
    ax : Axes
        Panel to draw on.
    points : pandas.DataFrame
        Columns x, y and kind, one of the keys of `BORDERLINE_KINDS`.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(points, ("x", "y", "kind"), "patients on a plane")
    for kind, look in BORDERLINE_KINDS.items():
        part = points[points["kind"] == kind]
        ax.scatter(part["x"], part["y"], label=f"{kind}: {len(part)}", zorder=3, **look)
    ax.set(xlabel="One feature, SD", ylabel="Another feature, SD")
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), handletextpad=0.2, frameon=False)
    return ax


def _with_margin(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    edge = 0.06 * (high - low) or 0.5
    return low - edge, high + edge
