"""Evaluation: association, discrimination, reclassification, calibration, decisions, diagnosis, subgroups, survival."""

from hccbook.evaluation.association import (
    feature_associations,
    feature_counts,
    outcome_densities,
    outcome_differences,
    spearman_correlations,
)
from hccbook.evaluation.calibration import calibration_curve, calibration_summary
from hccbook.evaluation.centres import centre_table, image_characteristics
from hccbook.evaluation.comparators import (
    comparator_table,
    harmonised_auc,
    outcome_within,
    published_comparators,
    score_inputs,
)
from hccbook.evaluation.decision import decision_curves, net_benefit
from hccbook.evaluation.diagnostic import diagnostic_performance, predictive_values
from hccbook.evaluation.discrimination import auc_bootstrap, auc_delong, auc_table, delong_test, roc_points
from hccbook.evaluation.hazards import (
    CoxFit,
    cox_regression,
    firth_cox,
    group_hazard_ratios,
    score_hazard_ratios,
)
from hccbook.evaluation.high_risk import high_risk_calls, high_risk_performance
from hccbook.evaluation.incidence_rates import person_year_rates, rate_from_risk, risk_from_rate
from hccbook.evaluation.model_comparison import (
    clinical_combinations,
    delong_table,
    idi_table,
    nri_table,
    single_score_probabilities,
)
from hccbook.evaluation.nomogram import nomogram_scales
from hccbook.evaluation.odds_ratios import multivariable_odds_ratios, univariable_odds_ratios
from hccbook.evaluation.outcomes import by_cohort
from hccbook.evaluation.reclassification import integrated_discrimination, net_reclassification
from hccbook.evaluation.subgroups import (
    CrossValidation,
    clinical_subgroups,
    cross_validation,
    enrolment,
    study_flow,
    subgroup_auc,
    subgroup_performance,
    whole_cohort_intervals,
)
from hccbook.evaluation.survival import (
    LogRank,
    cumulative_incidence,
    group_incidence,
    incidence_at,
    logrank,
    logrank_table,
    numbers_at_risk,
)
from hccbook.evaluation.time_dependent import (
    HorizonAuc,
    censoring_weights,
    survival_calibration_groups,
    survival_decision_curves,
    survival_net_benefit,
    time_dependent_auc,
    time_dependent_auc_table,
)
