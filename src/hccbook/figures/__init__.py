"""Figures: draw tidy tables and images; no statistic is computed here.

Every function takes and returns matplotlib Axes; `panels` makes a figure in the book's style,
`save_figure` writes it and stamps it SYNTHETIC where its patients are simulated.
"""

from __future__ import annotations

from hccbook.figures.calibration import (
    plot_calibration,
    plot_calibration_panels,
    plot_decision_curves,
    plot_decision_panels,
)
from hccbook.figures.cost import plot_cost
from hccbook.figures.discrimination import plot_roc, plot_roc_panels, plot_truth
from hccbook.figures.grey_level_matrices import plot_grey_level_matrix, show_grey_levels
from hccbook.figures.images import before_after, largest_slice, phases_strip, plot_hu_histogram, show_slice
from hccbook.figures.segmentation import plot_dice
from hccbook.figures.selection import plot_coefficients, plot_feature_families, plot_lasso_error, plot_lasso_path
from hccbook.figures.stratification import plot_group_incidence, plot_risk_waterfall, plot_sankey
from hccbook.figures.style import is_stamped, letter_panel, panels, save_figure, stamp_synthetic
from hccbook.figures.survival import plot_cumulative_incidence, plot_cumulative_incidence_panels

__all__ = [
    "before_after",
    "is_stamped",
    "largest_slice",
    "letter_panel",
    "panels",
    "phases_strip",
    "plot_calibration",
    "plot_calibration_panels",
    "plot_coefficients",
    "plot_cost",
    "plot_cumulative_incidence",
    "plot_cumulative_incidence_panels",
    "plot_decision_curves",
    "plot_decision_panels",
    "plot_dice",
    "plot_feature_families",
    "plot_grey_level_matrix",
    "plot_group_incidence",
    "plot_hu_histogram",
    "plot_lasso_error",
    "plot_lasso_path",
    "plot_risk_waterfall",
    "plot_roc",
    "plot_roc_panels",
    "plot_sankey",
    "plot_truth",
    "save_figure",
    "show_grey_levels",
    "show_slice",
    "stamp_synthetic",
]
