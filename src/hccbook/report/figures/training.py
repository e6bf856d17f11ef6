"""Fine-tuning of a network: loss and AUC by epoch, and what shuffled outcomes reach."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hccbook.report.figures.layout import legend_under
from hccbook.report.figures.marks import TO_TOP, note
from hccbook.report.figures.style import BLACK, BLUE, GREY, ORANGE, PALE, VERMILION, in_style
from hccbook.report.tables import require_columns


@in_style()
def plot_training_loss(ax: Axes, history: pd.DataFrame, *, chosen: int) -> Axes:
    """Loss on the patients tuned on, and on those held out, by epoch.

    Where the tuned part changes stands a dotted line. An empty history is said to be one.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns epoch, tuned (the part that the epoch changed), train_loss, inner_loss, inner_auc.
    chosen : int
        Epoch that was kept, marked.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if _not_tuned(ax, history):
        return ax
    ax.plot(history["epoch"], history["train_loss"], color=ORANGE, linestyle=(0, (5, 1.5)), label="Tuned on")
    ax.plot(history["epoch"], history["inner_loss"], color=BLUE, label="Held out")
    ax.set(ylabel="Loss")
    return _by_epoch(ax, history, "inner_loss", chosen)


@in_style()
def plot_training_auc(ax: Axes, history: pd.DataFrame, *, chosen: int) -> Axes:
    """AUC of the held-out development patients by epoch; chance, one half, is a thin line.

    Parameters
    ----------
    history : pandas.DataFrame
        As for `plot_training_loss`.
    chosen : int
        Epoch that was kept, marked.

    Raises
    ------
    DataError
        If a column is missing.
    """
    if _not_tuned(ax, history):
        return ax
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    ax.plot(history["epoch"], history["inner_auc"], color=BLUE, label="Held out")
    ax.set(ylabel="AUC", ylim=(-0.03, 1.03))
    return _by_epoch(ax, history, "inner_auc", chosen)


def _not_tuned(ax: Axes, history: pd.DataFrame) -> bool:
    """Whether the history has no epoch, which the panel then says."""
    if len(history):
        require_columns(history, ("epoch", "tuned", "train_loss", "inner_loss", "inner_auc"), "training history")
        return False
    ax.set_axis_off()
    note(ax, "not tuned", (0.5, 0.5), (0, 0), "axes fraction", ha="center")
    return True


def _by_epoch(ax: Axes, history: pd.DataFrame, column: str, chosen: int) -> Axes:
    ax.set(xlabel="Epoch")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    first = history.drop_duplicates("tuned")
    for epoch in first["epoch"].iloc[1:]:
        ax.axvline(epoch - 0.5, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    for epoch, tuned in zip(first["epoch"], first["tuned"], strict=True):
        note(ax, str(tuned).replace("_", " "), (max(epoch - 0.5, 0), 1), (3, 3), TO_TOP, color=GREY)
    kept = history[history["epoch"] == chosen]
    if len(kept):
        look = {"color": VERMILION, "edgecolor": BLACK, "linewidth": 0.6}
        ax.scatter(kept["epoch"], kept[column], s=42, zorder=3, label="Kept", **look)
    legend_under(ax)
    return ax


@in_style()
def plot_shuffled_outcomes(ax: Axes, control: pd.DataFrame) -> Axes:
    """AUC after fine-tuning with the true outcomes, and with shuffled ones; an AUC that is absent has no point.

    Parameters
    ----------
    control : pandas.DataFrame
        Columns outcomes (``observed`` or ``shuffled``), shuffle, inner_auc, unseen_auc; one row per fine-tuning.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(control, ("outcomes", "shuffle", "inner_auc", "unseen_auc"), "shuffled outcomes")
    ax.axhline(0.5, color=GREY, linewidth=0.8)
    looks = {"observed": ("Outcomes as they are", "o", VERMILION), "shuffled": ("Outcomes shuffled", "D", PALE)}
    for outcomes, (label, marker, colour) in looks.items():
        own = control[control["outcomes"] == outcomes]
        for place, column in enumerate(("inner_auc", "unseen_auc")):
            # Side by side, so that equal values can be told apart.
            shift = 0.12 * (own["shuffle"] - own["shuffle"].mean()) + (0.15 if outcomes == "shuffled" else -0.15)
            look = {"marker": marker, "color": colour, "edgecolor": BLACK, "linewidth": 0.5, "zorder": 3}
            ax.scatter(place + shift, own[column], s=36, label=None if place else label, **look)
    ax.set_xticks([0, 1], ["Held out", "Unseen"])
    ax.tick_params(axis="x", length=0)
    ax.set(ylabel="AUC", xlim=(-0.6, 1.6), ylim=(-0.03, 1.03))
    ax.set_xlabel(" ")  # as in the panels beside it, so that the legends are level
    legend_under(ax, handletextpad=0.3)
    return ax
