"""Evaluation: association, discrimination, reclassification, calibration, decisions, diagnosis, subgroups, survival."""

from hccbook.evaluation.association import (
    feature_associations,
    feature_counts,
    outcome_densities,
    outcome_differences,
    screened_features,
    spearman_correlations,
)
from hccbook.evaluation.calibration import calibration_curve, calibration_summary
from hccbook.evaluation.comparators import comparator_table, harmonised_auc, outcome_within, published_comparators
from hccbook.evaluation.competing_risks import competing_incidence, held_at, recorded_deaths
from hccbook.evaluation.decision import decision_curves, net_benefit
from hccbook.evaluation.diagnostic import diagnostic_performance, predictive_values
from hccbook.evaluation.discrimination import auc_bootstrap, auc_delong, auc_table, delong_test, roc_points
from hccbook.evaluation.hazards import group_hazard_ratios, score_hazard_ratios
from hccbook.evaluation.high_risk import high_risk_calls, high_risk_performance
from hccbook.evaluation.incidence_rates import person_year_rates, rate_from_risk
from hccbook.evaluation.model_comparison import (
    clinical_combinations,
    delong_table,
    idi_table,
    nri_table,
    single_score_probabilities,
)
from hccbook.evaluation.nomogram import nomogram_scales
from hccbook.evaluation.odds_ratios import multivariable_odds_ratios, univariable_odds_ratios
from hccbook.evaluation.outcomes import by_cohort, cohorts_may_be_refused
from hccbook.evaluation.reclassification import integrated_discrimination, net_reclassification
from hccbook.evaluation.risk_groups import (
    lead_times,
    risk_groups,
    stepwise_flows,
    stepwise_groups,
    stepwise_tradeoff,
    youden_cutoff,
)
from hccbook.evaluation.subgroups import (
    cross_validation,
    subgroup_auc,
    subgroup_performance,
    whole_cohort_intervals,
)
from hccbook.evaluation.survival import (
    cumulative_incidence,
    follow_up,
    group_incidence,
    incidence_at,
    logrank_table,
    numbers_at_risk,
)
from hccbook.evaluation.time_dependent import (
    survival_calibration_groups,
    survival_decision_curves,
    time_dependent_auc_table,
)
from hccbook.evaluation.xtile import xtile, xtile_map, xtile_permutation
