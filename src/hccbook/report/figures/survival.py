"""Cumulative incidence of HCC by group, with the numbers at risk, and with death as a competing event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter
from matplotlib.transforms import Affine2D, ScaledTranslation

from hccbook.evaluation.competing_risks import AALEN_JOHANSEN, DEATH, KAPLAN_MEIER
from hccbook.evaluation.survival import EVERYBODY, MIN_AT_RISK
from hccbook.report.figures.layout import legend_below, panel_list
from hccbook.report.figures.marks import REFERENCE, note
from hccbook.report.figures.style import DOTTED, SMALL_PT, group_look, in_style, panel_title
from hccbook.report.tables import decimal_text, group_title, p_phrase
from hccbook.report.tables.schemas import only_row, require_columns, rows_of

_CURVES = ("cohort", "group", "months", "incidence", "lower", "upper", "at_risk")
_FIRST_ROW_PT, _ROW_PT = -44.0, 11.0
_MARGINS_PT = 44.0  # of a panel, at the left and right of its axis
_DIGIT_PT, _GAP_PT = 0.64 * SMALL_PT, 3.5
_SAMPLE_PT = 20.0


@in_style()
def plot_cumulative_incidence(
    ax: Axes,
    incidence: pd.DataFrame,
    at_risk: pd.DataFrame,
    logrank: pd.DataFrame | None = None,
    *,
    cohort: str | None = None,
    horizon_months: float | None = None,
) -> Axes:
    """Cumulative incidence of HCC by group as steps with confidence bands, numbers at risk beneath.

    A curve ends where fewer than `MIN_AT_RISK` are followed. The numbers at risk name the groups, so that no legend
    covers a curve.

    Parameters
    ----------
    incidence : pandas.DataFrame
        Columns cohort, group, months, incidence, lower, upper, at_risk; incidence and bounds are fractions (0 to 1).
    at_risk : pandas.DataFrame
        Columns cohort, group, months, at_risk, events; its months become the ticks, or every second, third, ... of
        them where their numbers would meet.
    logrank : pandas.DataFrame, optional
        Columns cohort, chi2, p; the p-value is printed.
    cohort : str, optional
        Cohort drawn; not needed where the frame holds one. Cohorts of one frame share a vertical scale.
    horizon_months : float, optional
        Month marked by a vertical line.

    Raises
    ------
    DataError
        If a column is missing, the cohort is not there, or it has no log-rank row or two.

    References
    ----------
    aMAP-CT, Fig. 2 and 4B.
    """
    curves, of_cohort = rows_of(incidence, _CURVES, "cumulative incidence", cohort)
    require_columns(at_risk, ("cohort", "group", "months", "at_risk", "events"), "numbers at risk")
    counts = at_risk[at_risk["cohort"] == of_cohort]
    end = float(max([*counts["months"], curves["months"].max()]))
    looks = {}
    for position, (group, line) in enumerate(curves.groupby("group", sort=False)):
        looks[str(group)] = group_look(group_title(group), position)
        _step(ax, line, label=group_title(group), **looks[str(group)])
    _axes_of_time(ax, end, _top(incidence), horizon_months)
    ax.set(title=panel_title(of_cohort), ylabel="Cumulative incidence of HCC")
    if logrank is not None:
        require_columns(logrank, ("cohort", "chi2", "p"), "log-rank test")
        test = only_row(logrank, "log-rank test", "Add the test.", cohort=of_cohort)
        behind = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        note(ax, f"Log-rank {p_phrase(test['p'])}", (0, 1), (5, -2), "axes fraction", va="top", bbox=behind)
    ticks = _kept_ticks(ax, counts, end)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    _write_at_risk(ax, counts, looks, ticks)
    return ax


def _step(ax: Axes, line: pd.DataFrame, label: str, *, banded: bool = True, **look: object) -> None:
    """Curve and band as far as enough patients are followed."""
    line = line[line["at_risk"] >= MIN_AT_RISK]
    if banded:
        band = {"step": "post", "color": look["color"], "alpha": 0.16, "linewidth": 0}
        ax.fill_between(line["months"], line["lower"], line["upper"], **band)
    ax.step(line["months"], line["incidence"], where="post", label=label, **look)


def _top(incidence: pd.DataFrame) -> float:
    """Upper end of the vertical scale, for all curves of a frame as far as they are drawn."""
    drawn = incidence.loc[incidence["at_risk"] >= MIN_AT_RISK, "upper"].max()
    return min(1.0, max(0.02, 1.15 * float(np.nan_to_num(drawn))))


def _axes_of_time(ax: Axes, end: float, top: float, horizon_months: float | None) -> None:
    if horizon_months is not None:
        ax.axvline(horizon_months, **REFERENCE)
    ax.set(xlim=(0, end), ylim=(0, top), xlabel="Months")
    ax.xaxis.set_major_locator(MultipleLocator(12))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.05 else 1))


def _kept_ticks(ax: Axes, counts: pd.DataFrame, end: float) -> list[float]:
    """Months whose numbers at risk find room beside one another."""
    ticks = sorted(counts["months"].unique())
    place = ax.get_subplotspec()
    across = place.get_gridspec().ncols if place else 1
    width = max(72 * ax.figure.get_figwidth() / across - _MARGINS_PT, 1.0)
    digits = max((len(f"{number:.0f}") for number in counts["at_risk"].dropna()), default=1)
    step = max((end / max(len(ticks) - 1, 1)) if len(ticks) < 2 else ticks[1] - ticks[0], 1e-9)
    every = int(np.ceil((digits * _DIGIT_PT + _GAP_PT) / (width * step / end))) if end > 0 else 1
    return ticks[:: max(every, 1)]


def _write_at_risk(ax: Axes, counts: pd.DataFrame, looks: Mapping[str, Mapping], ticks: Sequence[float]) -> None:
    """Numbers at risk beneath the ticks; above those of each group a piece of its curve, and its name."""
    note(ax, "Number at risk", (0, 0), (-6, _FIRST_ROW_PT), "axes fraction", va="center", fontweight="bold")
    for position, (group, look) in enumerate(looks.items()):
        named = _FIRST_ROW_PT - (2 * position + 1) * _ROW_PT
        y = named - _ROW_PT
        _line_sample(ax, named, look)
        style = {"va": "center", "color": look["color"]}
        name = "All patients" if group == EVERYBODY else group_title(group)
        note(ax, name, (0, 0), (_SAMPLE_PT, named), "axes fraction", **style)
        numbers = counts[counts["group"].astype(str) == group].set_index("months")["at_risk"]
        for tick in ticks:
            # Four digits without a comma find room where five signs do not.
            text = decimal_text(numbers.get(tick), 0).replace(",", "")
            note(ax, text, (tick, 0), (0, y), ax.get_xaxis_transform(), ha="center", va="center")


def _line_sample(ax: Axes, points: float, look: Mapping[str, object]) -> None:
    """Piece of a curve at the panel's left edge, so many points above the lower one."""
    place = Affine2D().scale(_SAMPLE_PT - 4, 1).translate(-2, points).scale(1 / 72) + ax.figure.dpi_scale_trans
    sample = Line2D([0, 1], [0, 0], transform=place + ScaledTranslation(0, 0, ax.transAxes), clip_on=False, **look)
    sample.set_in_layout(False)
    ax.add_artist(sample)


@in_style()
def plot_competing_incidence(
    axes: np.ndarray | Sequence[Axes], curves: pd.DataFrame, *, horizon_months: float | None = None
) -> np.ndarray:
    """Incidence of HCC by two estimators, and of death before HCC, by group, with bands by Aalen-Johansen.

    Parameters
    ----------
    axes : array of Axes
        Two panels: HCC, death before HCC.
    curves : pandas.DataFrame
        Columns cohort, group, estimate, months, incidence, lower, upper, at_risk, of one cohort, as
        `hccbook.evaluation.competing_incidence` gives them.
    horizon_months : float, optional
        Month marked by a vertical line.

    Returns
    -------
    ndarray of Axes
        The two panels.

    Raises
    ------
    DataError
        If a column is missing, there are several cohorts, or fewer than two panels.
    """
    curves, _ = rows_of(curves, (*_CURVES, "estimate"), "competing incidence", None)
    drawn = panel_list(axes, 2, "competing incidence")
    titles = ("HCC", "Death before HCC")
    shown = ({KAPLAN_MEIER: DOTTED, AALEN_JOHANSEN: "-"}, {DEATH: "-"})
    for ax, title, styles in zip(drawn, titles, shown, strict=True):
        own = curves[curves["estimate"].isin(list(styles))]
        for position, group in enumerate(own["group"].unique()):
            for estimate, style in styles.items():
                line = own[(own["group"] == group) & (own["estimate"] == estimate)]
                look = group_look(group_title(str(group)), position) | {"linestyle": style}
                label = f"{group_title(str(group))}, {estimate}" if len(styles) > 1 else group_title(str(group))
                _step(ax, line, label, banded=estimate != KAPLAN_MEIER, **look)
        _axes_of_time(ax, float(own["months"].max()), _top(own), horizon_months)
        ax.set(title=title, ylabel=f"Cumulative incidence of {'HCC' if title == 'HCC' else 'death'}")
    legend_below(drawn[:1], columns=1)
    legend_below(drawn[1:], columns=1)
    return np.array(drawn, dtype=object)
