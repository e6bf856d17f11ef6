"""Risk groups: patients in order of their score, incidence by group, stepwise reclassification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve
from matplotlib.ticker import PercentFormatter

from hccbook.errors import DataError
from hccbook.report.figures.marks import CUTOFF, TO_SIDE, beside, note
from hccbook.report.figures.style import BLACK, FONT_PT, GREY, OUTCOME_COLOURS, group_colour, in_style
from hccbook.report.tables import cutoff_text, decimal_text, group_title
from hccbook.report.tables.schemas import INCIDENCE_COLUMNS, require_columns

_NODE_WIDTH = 0.03


@in_style()
def plot_risk_waterfall(ax: Axes, patients: pd.DataFrame, cutoffs: Sequence[float]) -> Axes:
    """ALARM Fig. 5A: patients in order of their score, coloured by outcome, over the bands of the risk groups.

    A strip of ticks under the points marks each patient with HCC.

    Parameters
    ----------
    patients : pandas.DataFrame
        Columns patient, cohort, score, hcc (0, 1), group; one row per patient, in any order.
    cutoffs : sequence of float
        One or two cut-offs on the score, ascending: low and high risk, or low, medium and high.

    Raises
    ------
    DataError
        If a column is missing, or the cut-offs do not ascend or are not one or two.
    """
    require_columns(patients, ("patient", "cohort", "score", "hcc", "group"), "patients' scores")
    cutoffs, groups = ascending_cutoffs(cutoffs)
    ordered = patients.sort_values(["score", "patient"], kind="stable")
    low, high = score_range(ordered["score"], cutoffs, margin=0.04)
    _bands(ax, [low, *cutoffs, high], groups)
    strip = 0.09 * (high - low)
    _patients(ax, ordered, (low - strip, low - 0.2 * strip))
    ax.axhline(low, color=GREY, linewidth=0.6)
    margin = 0.015 * len(ordered)
    ax.set(xlim=(1 - margin, len(ordered) + margin), ylim=(low - 1.15 * strip, high + 0.01 * (high - low)))
    ax.set(xlabel="Patients in order of score", ylabel="Score")
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high + 1e-9])
    ax.legend(loc="center left", markerscale=1.4, handletextpad=0.2)
    return ax


def ascending_cutoffs(cutoffs: Sequence[float]) -> tuple[list[float], tuple[str, ...]]:
    """One or two cut-offs on a score, and the groups that they part from the lowest up.

    Raises
    ------
    DataError
        If there are others, or they do not ascend.
    """
    cutoffs = [float(cutoff) for cutoff in cutoffs]
    groups = {1: ("low", "high"), 2: ("low", "medium", "high")}.get(len(cutoffs))
    if groups is None or cutoffs != sorted(set(cutoffs)):
        raise DataError("cut-offs", "must be one or two and must ascend", cutoffs, "Give, for example, (0.21, 0.65).")
    return cutoffs, groups


def score_range(scores: pd.Series, cutoffs: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    """Ends of a score's axis: 0 and 1 of a probability, else those of the scores and cut-offs with a margin."""
    low, high = min(float(scores.min()), cutoffs[0]), max(float(scores.max()), cutoffs[-1])
    margin *= high - low
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low - margin, high + margin)


def _bands(ax: Axes, edges: Sequence[float], groups: Sequence[str]) -> None:
    """Colours of the risk groups from edge to edge, their names at the right, and the cut-offs between them."""
    for position, group in enumerate(groups):
        title = group_title(group)
        colour = group_colour(title, position)
        low, high = edges[position : position + 2]
        ax.axhspan(low, high, color=colour, alpha=0.13, linewidth=0, zorder=0)
        # The orange of an area is too pale for letters.
        ink = "#9A6A00" if colour == group_colour("Medium risk") else colour
        beside(ax, (low + high) / 2, title, 5, color=ink, fontweight="bold")
    behind = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    for cutoff in edges[1:-1]:
        ax.axhline(cutoff, **CUTOFF, zorder=1)
        note(ax, f"cut-off {cutoff_text(cutoff)}", (0, cutoff), (4, 2), TO_SIDE, bbox=behind)


def _patients(ax: Axes, ordered: pd.DataFrame, strip: tuple[float, float]) -> None:
    """Points at their scores from left to right, and a tick from end to end of the strip for each patient with HCC."""
    rank, score = np.arange(1, len(ordered) + 1), ordered["score"].to_numpy()
    with_hcc = ordered["hcc"].to_numpy() == 1
    crowded = len(ordered) > 300
    size = 8 if crowded else 16
    look = {"color": OUTCOME_COLOURS[0], "edgecolor": "none", "linewidth": 0.4, "zorder": 2, "label": "No HCC"}
    ax.scatter(rank[~with_hcc], score[~with_hcc], s=size, rasterized=crowded, **look)
    look |= {"color": OUTCOME_COLOURS[1], "edgecolor": "white", "zorder": 3, "label": "HCC"}
    ax.scatter(rank[with_hcc], score[with_hcc], s=2 * size, **look)
    ax.vlines(rank[with_hcc], *strip, color=OUTCOME_COLOURS[1], linewidth=0.7 if crowded else 1.2, zorder=3)


@in_style()
def plot_group_incidence(ax: Axes, groups: pd.DataFrame) -> Axes:
    """Incidence of HCC by risk group, with confidence intervals, and under each group its events and patients.

    Parameters
    ----------
    groups : pandas.DataFrame
        Columns group, n, events, incidence, lower, upper; incidence and bounds are fractions (0 to 1).

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
        reach = [[max(row.incidence - row.lower, 0)], [max(row.upper - row.incidence, 0)]]
        look = {"color": BLACK, "linewidth": 1.1, "capsize": 4, "capthick": 1.1, "zorder": 3}
        ax.errorbar(position, row.incidence, yerr=reach, **look)
        percent = f"{decimal_text(row.incidence * 100, 1)}%"
        note(ax, percent, (position, row.upper), (0, 4), ha="center", va="bottom", fontweight="bold")
    top = float(groups["upper"].max())
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.15 * top if top > 0 else 1))
    ax.set(xlabel="Risk group, HCC/patients", ylabel="Incidence of HCC (95% CI)")
    ax.set_xticks(range(len(groups)), names)
    ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax


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
        rule, hint = (
            "must run one way, from column to column",
            "Name the nodes by column, such as 'aMAP low' and 'Final low'.",
        )
        raise DataError("flows", rule, "a node that flows back to itself", hint)
    return [[node for node in nodes if column[node] == place] for place in range(max(column.values()) + 1)]


def _named(column: list[str]) -> tuple[str, dict[str, str]]:
    """Heading of a column and titles of its nodes: "aMAP low", "aMAP high" to "aMAP", "Low risk", "High risk"."""
    parts = [node.split(" ", 1) for node in column]
    shared = all(len(part) == 2 and part[0] == parts[0][0] for part in parts)
    bare = [part[1] for part in parts] if shared else column
    titles = [group_title(name) for name in bare]
    titles = [title[:1].upper() + title[1:] for title in titles]
    return parts[0][0] if shared else "", dict(zip(column, titles, strict=True))


@in_style()
def plot_sankey(ax: Axes, flows: pd.DataFrame) -> Axes:
    """aMAP-CT Fig. 4A: flows of patients from group to group, with patients and HCC on each band.

    Heights are in patients, a band has the colour of its target.

    Parameters
    ----------
    flows : pandas.DataFrame
        Columns source, target, n, events; a node's column follows from the flows, and nodes stand from top to
        bottom in the order in which they appear. Where all nodes of a column begin with the same word
        ("aMAP low", "aMAP high"), that word stands above the column.

    Raises
    ------
    DataError
        If a column is missing, a flow is there twice, flows run in a circle, or no patient flows.
    """
    require_columns(flows, ("source", "target", "n", "events"), "flows")
    flows = flows[flows["n"] > 0]
    if flows.empty:
        raise DataError("flows", "must have patients", "none", "Check the stepwise groups.")
    if flows.duplicated(["source", "target"]).any():
        raise DataError("flows", "must have one row a source and target", "a pair twice", "Add its rows up.")
    columns = _columns(flows)
    boxes = _boxes(flows, columns)
    low, high = min(box.top for box in boxes.values()), max(box.top + box.size for box in boxes.values())
    _draw_flows(ax, flows, boxes, 0.065 * (high - low), (low, high))
    for place, column in enumerate(columns):
        first, last = place == 0, place == len(columns) - 1
        for node in column:
            box = boxes[node]
            ax.add_patch(Rectangle((box.left, box.top), _NODE_WIDTH, box.size, color=box.colour, linewidth=0, zorder=3))
            look = {"fontweight": "bold", "zorder": 5}
            # Outer groups are named outside, those between above their bar.
            if first or last:
                x, away, side = (box.left, -5, "right") if first else (box.left + _NODE_WIDTH, 5, "left")
                note(ax, box.title, (x, box.top + box.size / 2), (away, 0), ha=side, va="center", **look)
            else:
                middle = (box.left + _NODE_WIDTH / 2, box.top)
                note(ax, box.title, middle, (0, 2), ha="center", va="bottom", **look)
        top = (box.left + _NODE_WIDTH / 2, low)
        note(ax, _named(column)[0], top, (0, 16), ha="center", va="bottom", fontsize=FONT_PT, color=GREY)
    ax.set(xlim=(0, 1), ylim=(high, low))
    ax.set_axis_off()
    return ax


class _Box(NamedTuple):
    """One group: its rank in its column, where it stands (top and size in patients), its name, its colour."""

    rank: int
    left: float
    top: float
    size: float
    title: str
    colour: str


def _boxes(flows: pd.DataFrame, columns: list[list[str]]) -> dict[str, _Box]:
    into, out_of = (flows.groupby(end)["n"].sum() for end in ("target", "source"))
    size = {node: float(max(into.get(node, 0), out_of.get(node, 0))) for column in columns for node in column}
    gap = 0.1 * max(sum(size[node] for node in column) for column in columns)
    step = 1 / max(len(columns) - 1, 1)
    boxes = {}
    for place, column in enumerate(columns):
        _, titles = _named(column)
        # Columns with fewer groups are centred on the others.
        top = -(sum(size[node] for node in column) + gap * (len(column) - 1)) / 2
        for rank, node in enumerate(column):
            colour = group_colour(titles[node], rank)
            boxes[node] = _Box(rank, place * step * (1 - _NODE_WIDTH), top, size[node], titles[node], colour)
            top += size[node] + gap
    return boxes


def _draw_flows(ax: Axes, flows: pd.DataFrame, boxes: dict[str, _Box], gap: float, ends: tuple[float, float]) -> None:
    """Bands from group to group, and beside each group its patients and HCC, at least a gap apart."""
    leaving, arriving = ({node: box.top for node, box in boxes.items()} for _ in range(2))
    rank = {node: box.rank for node, box in boxes.items()}
    ordered = flows.sort_values(["source", "target"], key=lambda nodes: nodes.map(rank), kind="stable")
    behind = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    for left, of_column in ordered.groupby(ordered["source"].map(lambda node: boxes[node].left)):
        heights = []
        for row in of_column.itertuples():
            start, end, target = leaving[row.source], arriving[row.target], boxes[row.target]
            leaving[row.source] += row.n
            arriving[row.target] += row.n
            ax.add_patch(_band((left + _NODE_WIDTH, target.left), (start, end), float(row.n), target.colour))
            heights.append(start + row.n / 2)
        for height, row in zip(_spread(heights, gap, *ends), of_column.itertuples(), strict=True):
            text = f"{decimal_text(row.n, 0)} patients, {decimal_text(row.events, 0)} HCC"
            note(ax, text, (left + _NODE_WIDTH, height), (4, 0), va="center", bbox=behind, zorder=4)


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


def _band(x: tuple[float, float], y: tuple[float, float], size: float, colour: str) -> PathPatch:
    (left, right), (start, end), middle = x, y, sum(x) / 2
    upper = [(left, start), (middle, start), (middle, end), (right, end)]
    lower = [(across, down + size) for across, down in reversed(upper)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return PathPatch(Curve([*upper, *lower, upper[0]], codes), facecolor=colour, alpha=0.38, linewidth=0)
