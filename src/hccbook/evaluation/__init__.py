"""Evaluation of predictions: discrimination, reclassification, calibration, decisions, diagnosis, survival."""

from hccbook.evaluation.calibration import (
    CalibrationSummary,
    calibration_curve,
    calibration_groups,
    calibration_summary,
    calibration_summary_table,
    calibration_table,
)
from hccbook.evaluation.decision import decision_curves, net_benefit
from hccbook.evaluation.diagnostic import diagnostic_performance, predictive_values, wilson_interval
from hccbook.evaluation.discrimination import (
    AucEstimate,
    DelongTest,
    auc_bootstrap,
    auc_delong,
    auc_table,
    delong_test,
    roc_points,
    roc_table,
)
from hccbook.evaluation.reclassification import (
    IntegratedDiscrimination,
    NetReclassification,
    integrated_discrimination,
    net_reclassification,
    net_reclassification_from_counts,
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

__all__ = [
    "AucEstimate",
    "CalibrationSummary",
    "DelongTest",
    "IntegratedDiscrimination",
    "LogRank",
    "NetReclassification",
    "auc_bootstrap",
    "auc_delong",
    "auc_table",
    "calibration_curve",
    "calibration_groups",
    "calibration_summary",
    "calibration_summary_table",
    "calibration_table",
    "cumulative_incidence",
    "decision_curves",
    "delong_test",
    "diagnostic_performance",
    "group_incidence",
    "incidence_at",
    "integrated_discrimination",
    "logrank",
    "logrank_table",
    "net_benefit",
    "net_reclassification",
    "net_reclassification_from_counts",
    "numbers_at_risk",
    "predictive_values",
    "roc_points",
    "roc_table",
    "wilson_interval",
]
