"""Risk groups: patients in order of their score, incidence by group, stepwise reclassification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve
from matplotlib.ticker import PercentFormatter

from hccbook.errors import DataError
from hccbook.report.figures.style import (
    BLACK,
    FONT_PT,
    GREY,
    OUTCOME_COLOURS,
    SMALL_PT,
    group_colour,
    in_style,
)
from hccbook.report.tables import INCIDENCE_COLUMNS, decimal_text, group_title, require_columns

PATIENT_COLUMNS = ("patient", "cohort", "score", "hcc", "group")
FLOW_COLUMNS = ("source", "target", "n", "events")


@in_style()
def plot_risk_waterfall(
    ax: Axes, patients: pd.DataFrame, cutoffs: Sequence[float], *, groups: Sequence[str] | None = None
) -> Axes:
    """Patients in order of their score, coloured by outcome, over the bands of the risk groups.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    patients : pandas.DataFrame
        Columns patient, cohort, score, hcc (0, 1), group; a row a patient, in any order.
    cutoffs : sequence of float
        Cut-offs on the score, ascending; one fewer than there are groups.
    groups : sequence of str, optional
        Names of the groups from the lowest band up; low, medium and high risk, or low and high, where not given.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; a strip of ticks under the points marks each patient with HCC.

    Raises
    ------
    DataError
        If a column is missing, the cut-offs do not ascend, or the names do not fit them.

    References
    ----------
    ALARM, Fig. 5A.
    """
    require_columns(patients, PATIENT_COLUMNS, "patients' scores")
    cutoffs = [float(cutoff) for cutoff in cutoffs]
    if not cutoffs or cutoffs != sorted(set(cutoffs)):
        raise DataError("cut-offs", "must ascend", cutoffs, "Give them from low to high.")
    if groups is None:
        groups = {1: ("low", "high"), 2: ("low", "medium", "high")}.get(len(cutoffs), ())
    if len(groups) != len(cutoffs) + 1:
        raise DataError("groups", f"must be {len(cutoffs) + 1} names", len(groups), "Name each band once.")
    ordered = patients.sort_values(["score", "patient"], kind="stable").reset_index(drop=True)
    low, high = min(float(ordered["score"].min()), cutoffs[0]), max(float(ordered["score"].max()), cutoffs[-1])
    # A probability keeps its natural axis; another score takes its own range.
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low - 0.04 * (high - low), high + 0.04 * (high - low))
    strip = 0.09 * (high - low)
    edges = [low, *cutoffs, high]
    for position, group in enumerate(groups):
        title = group_title(group)
        colour = group_colour(title, position)
        ax.axhspan(edges[position], edges[position + 1], color=colour, alpha=0.13, linewidth=0, zorder=0)
        ax.annotate(
            title,
            xy=(1, (edges[position] + edges[position + 1]) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
            color=colour if colour != group_colour("Medium risk") else "#9A6A00",
            fontweight="bold",
        )
    for cutoff in cutoffs:
        ax.axhline(cutoff, color=BLACK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        ax.annotate(
            f"cut-off {decimal_text(cutoff, 2)}",
            xy=(0, cutoff),
            xycoords=("axes fraction", "data"),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=SMALL_PT,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
    rank = np.arange(1, len(ordered) + 1)
    with_hcc = ordered["hcc"].to_numpy() == 1
    crowded = len(ordered) > 300
    for outcome, chosen in ((0, ~with_hcc), (1, with_hcc)):
        ax.scatter(
            rank[chosen],
            ordered["score"].to_numpy()[chosen],
            s=(8 if crowded else 16) * (2 if outcome else 1),
            color=OUTCOME_COLOURS[outcome],
            edgecolor="white" if outcome else "none",
            linewidth=0.4,
            zorder=2 + outcome,
            label="HCC" if outcome else "No HCC",
            rasterized=crowded and not outcome,
        )
    ax.vlines(
        rank[with_hcc],
        low - strip,
        low - 0.2 * strip,
        color=OUTCOME_COLOURS[1],
        linewidth=0.7 if crowded else 1.2,
        zorder=3,
    )
    ax.axhline(low, color=GREY, linewidth=0.6)
    margin = 0.015 * len(ordered)
    ax.set(xlim=(1 - margin, len(ordered) + margin), ylim=(low - 1.15 * strip, high + 0.01 * (high - low)))
    ax.set(xlabel="Patients in order of score", ylabel="Score")
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high + 1e-9])
    ax.legend(loc="center left", markerscale=1.4, handletextpad=0.2)
    return ax


@in_style()
def plot_group_incidence(ax: Axes, groups: pd.DataFrame) -> Axes:
    """Incidence of HCC by risk group, with confidence intervals and the counts.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    groups : pandas.DataFrame
        Columns group, n, events, incidence, lower, upper; incidence and bounds are fractions (0 to 1).

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; under each group stand its events and patients.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Fig. 5B.
    """
    require_columns(groups, INCIDENCE_COLUMNS, "risk groups")
    names = []
    for position, row in enumerate(groups.itertuples()):
        title = group_title(row.group)
        colour = group_colour(title, position)
        names.append(f"{title.removesuffix(' risk')}\n{decimal_text(row.events, 0)}/{decimal_text(row.n, 0)}")
        ax.bar(position, row.incidence, width=0.62, color=colour, alpha=0.85, linewidth=0, zorder=2)
        ax.errorbar(
            position,
            row.incidence,
            yerr=[[max(row.incidence - row.lower, 0)], [max(row.upper - row.incidence, 0)]],
            color=BLACK,
            linewidth=1.1,
            capsize=4,
            capthick=1.1,
            zorder=3,
        )
        ax.annotate(
            f"{decimal_text(row.incidence * 100, 1)}%",
            xy=(position, row.upper),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL_PT,
            fontweight="bold",
        )
    top = float(groups["upper"].max())
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.15 * top if top > 0 else 1))
    ax.set(xlabel="Risk group, HCC/patients", ylabel="Incidence of HCC (95% CI)")
    ax.set_xticks(range(len(groups)), names)
    ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax


def _spread(heights: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move label heights apart to at least `gap`, keeping their order, as near to where they were as it goes."""
    placed = list(heights)
    for position in range(1, len(placed)):
        placed[position] = max(placed[position], placed[position - 1] + gap)
    over = placed[-1] - high if placed else 0
    if over > 0:
        placed[-1] -= over
        for position in range(len(placed) - 2, -1, -1):
            placed[position] = min(placed[position], placed[position + 1] - gap)
    return [max(height, low) for height in placed]


def _columns(flows: pd.DataFrame) -> list[list[str]]:
    """Nodes by column from left to right, in each in the order in which they appear."""
    nodes = list(dict.fromkeys(pd.concat([flows["source"], flows["target"]])))
    column = dict.fromkeys(nodes, 0)
    pairs = list(zip(flows["source"], flows["target"], strict=True))
    for _ in nodes:
        moved = {target: column[source] + 1 for source, target in pairs if column[target] <= column[source]}
        if not moved:
            break
        column.update(moved)
    else:
        raise DataError(
            "flows",
            "must run one way, from column to column",
            "a node that flows back to itself",
            "Name the nodes by column, such as 'aMAP low' and 'Final low'.",
        )
    return [[node for node in nodes if column[node] == place] for place in range(max(column.values()) + 1)]


def _named(column: list[str]) -> tuple[str, dict[str, str]]:
    """Heading of a column and titles of its nodes: "aMAP low", "aMAP high" to "aMAP", "Low risk", "High risk"."""
    parts = [node.split(" ", 1) for node in column]
    shared = all(len(part) == 2 and part[0] == parts[0][0] for part in parts)
    bare = [part[1] for part in parts] if shared else column
    titles = [group_title(name) for name in bare]
    return parts[0][0] if shared else "", {
        node: title[:1].upper() + title[1:] for node, title in zip(column, titles, strict=True)
    }


@in_style()
def plot_sankey(ax: Axes, flows: pd.DataFrame) -> Axes:
    """Flows of patients from group to group, with patients and HCC on each band.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    flows : pandas.DataFrame
        Columns source, target, n, events; a node's column follows from the flows, and nodes stand from top to
        bottom in the order in which they appear. Where all nodes of a column begin with the same word
        ("aMAP low", "aMAP high"), that word stands above the column.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; heights are in patients, a band has the colour of its target.

    Raises
    ------
    DataError
        If a column is missing, a flow is there twice, flows run in a circle, or no patient flows.

    References
    ----------
    aMAP-CT, Fig. 4A.
    """
    require_columns(flows, FLOW_COLUMNS, "flows")
    flows = flows[flows["n"] > 0]
    if flows.empty:
        raise DataError("flows", "must have patients", "none", "Check the stepwise groups.")
    if flows.duplicated(["source", "target"]).any():
        raise DataError("flows", "must have one row a source and target", "a pair twice", "Add its rows up.")
    columns = _columns(flows)
    into, out_of = flows.groupby("target")["n"].sum(), flows.groupby("source")["n"].sum()
    size = {node: float(max(into.get(node, 0), out_of.get(node, 0))) for column in columns for node in column}
    total = max(sum(size[node] for node in column) for column in columns)
    gap, width, step = 0.1 * total, 0.03, 1 / max(len(columns) - 1, 1)
    left, top, title = {}, {}, {}
    headings = []
    for place, column in enumerate(columns):
        heading, names = _named(column)
        headings.append(heading)
        title |= names
        # Columns with fewer groups are centred on the others.
        y = -(sum(size[node] for node in column) + gap * (len(column) - 1)) / 2
        for node in column:
            left[node], top[node] = place * step * (1 - width), y
            y += size[node] + gap
    rank = {node: position for column in columns for position, node in enumerate(column)}
    low, high = min(top.values()), max(top[node] + size[node] for node in top)
    leaving, arriving = dict(top), dict(top)
    for column in columns[:-1]:
        labels = []
        for source in column:
            of_source = flows[flows["source"] == source]
            for row in sorted(of_source.itertuples(), key=lambda flow: rank[flow.target]):
                start, end = leaving[source], arriving[row.target]
                leaving[source] += row.n
                arriving[row.target] += row.n
                colour = group_colour(title[row.target], rank[row.target])
                ax.add_patch(_band(left[source] + width, left[row.target], start, end, float(row.n), colour))
                text = f"{decimal_text(row.n, 0)} patients, {decimal_text(row.events, 0)} HCC"
                labels.append((start + row.n / 2, text))
        heights = _spread([height for height, _ in labels], 0.065 * (high - low), low, high)
        for height, (_, text) in zip(heights, labels, strict=True):
            ax.annotate(
                text,
                xy=(left[column[0]] + width, height),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_PT,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
                zorder=4,
            )
    for place, (column, heading) in enumerate(zip(columns, headings, strict=True)):
        first, last = place == 0, place == len(columns) - 1
        for node in column:
            colour = group_colour(title[node], rank[node])
            ax.add_patch(Rectangle((left[node], top[node]), width, size[node], color=colour, linewidth=0, zorder=3))
            # Outer groups are named outside, those between above their bar.
            side = (-5, "right") if first else (5, "left") if last else (0, "center")
            ax.annotate(
                title[node],
                xy=(
                    left[node] + (0 if first else width if last else width / 2),
                    top[node] + (size[node] / 2 if first or last else 0),
                ),
                xytext=(side[0], 0 if first or last else 2),
                textcoords="offset points",
                ha=side[1],
                va="center" if first or last else "bottom",
                fontsize=SMALL_PT,
                fontweight="bold",
                zorder=5,
            )
        ax.annotate(
            heading,
            xy=(left[column[0]] + width / 2, low),
            xytext=(0, 16),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=FONT_PT,
            color=GREY,
        )
    ax.set(xlim=(0, 1), ylim=(high, low))
    ax.set_axis_off()
    return ax


def _band(left: float, right: float, start: float, end: float, size: float, colour: str) -> PathPatch:
    middle = (left + right) / 2
    points = [
        (left, start),
        (middle, start),
        (middle, end),
        (right, end),
        (right, end + size),
        (middle, end + size),
        (middle, start + size),
        (left, start + size),
        (left, start),
    ]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return PathPatch(Curve(points, codes), facecolor=colour, alpha=0.38, linewidth=0)
