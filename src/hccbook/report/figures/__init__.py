"""Figures: draw tidy tables and images; no statistic is computed here.

Every `plot_` and `show_` function draws on matplotlib Axes and returns them: one panel, ``ax``, or the several that its
docstring names. What it says of its picture stands before its parameters; inches are those of a panel's height.
`panels` makes a figure in the book's style, `plot_panels` draws one figure function a cohort, and `save_figure` writes
the figure and stamps it SYNTHETIC where its patients are simulated.
"""

from hccbook.report.figures.agreement import (
    family_title,
    plot_agreement,
    plot_score_shift,
    plot_segmentation_auc,
    segmentation_title,
)
from hccbook.report.figures.calibration import plot_calibration, plot_decision_curves
from hccbook.report.figures.cost import plot_cost, plot_program_costs
from hccbook.report.figures.crops import show_crops
from hccbook.report.figures.discrimination import plot_cross_validated_roc, plot_roc, plot_truth
from hccbook.report.figures.distributions import (
    plot_borderline_smote,
    plot_outcome_boxes,
    plot_oversampling,
    plot_ridgelines,
)
from hccbook.report.figures.flow import plot_flow, plot_workflow
from hccbook.report.figures.forest import plot_forest, plot_subgroup_forest
from hccbook.report.figures.grey_level_matrices import plot_grey_level_matrix, show_grey_levels
from hccbook.report.figures.harmonisation import plot_centre_effect, plot_harmonised_auc
from hccbook.report.figures.horizon import plot_horizon_auc, plot_horizon_calibration
from hccbook.report.figures.images import largest_slice, show_side_by_side, show_slice
from hccbook.report.figures.layout import legend_below, panels, plot_panels, sentence, show, show_saved
from hccbook.report.figures.leakage import plot_leak_aucs, plot_leak_optimism
from hccbook.report.figures.nomogram import plot_nomogram
from hccbook.report.figures.screening import plot_correlations, plot_volcano
from hccbook.report.figures.segmentation import plot_dice, plot_segmentation_loss
from hccbook.report.figures.selection import plot_coefficients, plot_feature_families, plot_lasso_error, plot_lasso_path
from hccbook.report.figures.stepwise import plot_spared_missed
from hccbook.report.figures.stratification import plot_group_incidence, plot_risk_waterfall, plot_sankey
from hccbook.report.figures.style import save_figure, stamp_synthetic
from hccbook.report.figures.survival import plot_competing_incidence, plot_cumulative_incidence
from hccbook.report.figures.training import plot_shuffled_outcomes, plot_training_auc, plot_training_loss
from hccbook.report.figures.xtile import plot_xtile, plot_xtile_histogram
