"""Figures: draw tidy tables and images; no statistic is computed here.

Every function takes and returns matplotlib Axes; `panels` makes a figure in the book's style,
`save_figure` writes it and stamps it SYNTHETIC where its patients are simulated.
"""

from __future__ import annotations

from hccbook.figures.agreement import (
    family_title,
    outline_title,
    plot_agreement,
    plot_outline_auc,
    plot_score_shift,
)
from hccbook.figures.calibration import (
    plot_calibration,
    plot_calibration_panels,
    plot_decision_curves,
    plot_decision_panels,
)
from hccbook.figures.cost import plot_cost
from hccbook.figures.crops import show_crops
from hccbook.figures.cross_validation import plot_cross_validated_roc, plot_cross_validated_roc_panels
from hccbook.figures.discrimination import plot_roc, plot_roc_panels, plot_truth
from hccbook.figures.distributions import (
    plot_outcome_box_panels,
    plot_outcome_boxes,
    plot_oversampling,
    plot_ridgelines,
)
from hccbook.figures.flow import plot_flow, plot_workflow
from hccbook.figures.forest import plot_forest, plot_subgroup_forest
from hccbook.figures.grey_level_matrices import plot_grey_level_matrix, show_grey_levels
from hccbook.figures.harmonisation import plot_centre_effect, plot_harmonised_auc
from hccbook.figures.horizon import plot_horizon_auc_panels, plot_horizon_calibration_panels
from hccbook.figures.images import before_after, largest_slice, phases_strip, plot_hu_histogram, show_slice
from hccbook.figures.leakage import plot_leak_aucs, plot_leak_optimism
from hccbook.figures.nomogram import plot_nomogram
from hccbook.figures.screening import plot_correlations, plot_volcano
from hccbook.figures.segmentation import plot_dice, plot_outline_loss
from hccbook.figures.selection import plot_coefficients, plot_feature_families, plot_lasso_error, plot_lasso_path
from hccbook.figures.stepwise import plot_spared_missed
from hccbook.figures.stratification import plot_group_incidence, plot_risk_waterfall, plot_sankey
from hccbook.figures.style import is_stamped, letter_panel, panels, save_figure, stamp_synthetic
from hccbook.figures.survival import plot_cumulative_incidence, plot_cumulative_incidence_panels
from hccbook.figures.training import plot_shuffled_outcomes, plot_training_auc, plot_training_loss
from hccbook.figures.xtile import plot_xtile, plot_xtile_histogram

__all__ = [
    "before_after",
    "family_title",
    "is_stamped",
    "largest_slice",
    "letter_panel",
    "outline_title",
    "panels",
    "phases_strip",
    "plot_agreement",
    "plot_calibration",
    "plot_calibration_panels",
    "plot_centre_effect",
    "plot_coefficients",
    "plot_correlations",
    "plot_cost",
    "plot_cross_validated_roc",
    "plot_cross_validated_roc_panels",
    "plot_cumulative_incidence",
    "plot_cumulative_incidence_panels",
    "plot_decision_curves",
    "plot_decision_panels",
    "plot_dice",
    "plot_feature_families",
    "plot_flow",
    "plot_forest",
    "plot_grey_level_matrix",
    "plot_group_incidence",
    "plot_harmonised_auc",
    "plot_horizon_auc_panels",
    "plot_horizon_calibration_panels",
    "plot_hu_histogram",
    "plot_lasso_error",
    "plot_lasso_path",
    "plot_leak_aucs",
    "plot_leak_optimism",
    "plot_nomogram",
    "plot_outcome_box_panels",
    "plot_outcome_boxes",
    "plot_outline_auc",
    "plot_outline_loss",
    "plot_oversampling",
    "plot_ridgelines",
    "plot_risk_waterfall",
    "plot_roc",
    "plot_roc_panels",
    "plot_sankey",
    "plot_score_shift",
    "plot_shuffled_outcomes",
    "plot_spared_missed",
    "plot_subgroup_forest",
    "plot_training_auc",
    "plot_training_loss",
    "plot_truth",
    "plot_volcano",
    "plot_workflow",
    "plot_xtile",
    "plot_xtile_histogram",
    "save_figure",
    "show_crops",
    "show_grey_levels",
    "show_slice",
    "stamp_synthetic",
]
